"""Batches on the device of a model."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import TypeVar, cast

import torch

from recops_models.data.prefetch import ordered_map
from recops_models.training.device import HOST, pin, to_device

_T = TypeVar("_T")

_AHEAD = 2
"""Batches in pinned memory that wait for their copy."""


def device_batches(batches: Iterable[_T], device: torch.device) -> Iterator[_T]:
    """Yield ``batches`` with their tensors on ``device``.

    For a device other than the CPU, a thread iterates over ``batches`` and copies them to pinned
    memory in advance. The copies to the device then run while it computes.

    Args:
        batches: nested tuples and dictionaries of host tensors.
        device: where the tensors go.
    """
    if device.type == HOST.type:
        yield from batches
        return
    pinned = ordered_map(partial(pin, device=device), batches, workers=1, ahead=_AHEAD)
    with closing(cast("Generator[_T, None, None]", pinned)):
        for batch in pinned:
            yield to_device(batch, device)
