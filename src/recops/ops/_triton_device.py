"""The card that runs a Triton launch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

OLDEST_CAPABILITY = 80
"""Oldest compute capability for which kernels are compiled in the tests."""


def capability(x: Tensor) -> int:
    """Return the compute capability of the card of a tensor, such as 90.

    A tensor in the CPU's memory is one of the interpreter, which acts as the newest card.
    """
    if not x.is_cuda:
        return 90
    major, minor = torch.cuda.get_device_capability(x.device)
    return 10 * major + minor


def on_device(x: Tensor) -> AbstractContextManager[object]:
    """Return a context in which launches run on the card of a tensor."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
