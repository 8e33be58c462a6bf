"""Counts of calls that wait for a device, found on CPU tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

_READS = (
    "__bool__",
    "__float__",
    "__index__",
    "__int__",
    "cpu",
    "item",
    "masked_select",
    "new_tensor",
    "nonzero",
    "numpy",
    "tolist",
    "unique",
)


@contextmanager
def device_reads() -> Iterator[Counter[str]]:
    """Count reads of tensors by the host, and copies of host data into new tensors."""
    counts: Counter[str] = Counter()

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return call(*arguments, **options)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for name in _READS:
            patch.setattr(torch.Tensor, name, counted(name, getattr(torch.Tensor, name)))
        patch.setattr(torch, "tensor", counted("tensor", torch.tensor))
        yield counts
