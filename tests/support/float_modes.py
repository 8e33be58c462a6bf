"""Floating-point modes of torch's threads, and counts of subnormal numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

MODES = [[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0]]
"""Modes of the calling thread and of torch's other threads."""


def thread_modes() -> list[int]:
    """Return 1 for each thread that flushes subnormals, else 0; the calling thread comes first."""
    modes: list[int] = torch.ops.recops.swap_flush_subnormals([0])
    torch.ops.recops.swap_flush_subnormals(modes)
    return modes


@contextmanager
def modes_set(modes: list[int], set_threads: Callable[[int], None]) -> Iterator[None]:
    """Run the body on ``len(modes)`` threads in these modes, and check that it keeps them."""
    set_threads(len(modes))
    before = torch.ops.recops.swap_flush_subnormals(modes)
    try:
        yield
        assert thread_modes() == modes
    finally:
        torch.ops.recops.swap_flush_subnormals(before)


def count_subnormals(tensor: Tensor) -> int:
    """Count the subnormal values by their bits, which no mode changes."""
    double = tensor.dtype == torch.float64
    bits = tensor.detach().contiguous().view(torch.int64 if double else torch.int32)
    magnitude = bits & (2**63 - 1 if double else 2**31 - 1)
    smallest_normal = 1 << 52 if double else 1 << 23
    return int(((magnitude > 0) & (magnitude < smallest_normal)).sum())
