"""Arithmetic without subnormal numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from recops._load import ops

__all__ = ["flush_subnormals"]


@contextmanager
def flush_subnormals() -> Iterator[None]:
    """Treat subnormal numbers as zero on the CPU, on the calling thread and torch's own threads.

    A number is subnormal when its size is below 2⁻¹²⁶ (float32) or 2⁻¹⁰²² (float64). Gradients and
    the moments of an optimizer decay to such sizes, and most processors then compute many times
    slower. :func:`torch.set_flush_denormal` sets the mode of the calling thread only.

    At the end, also after an exception, each thread gets its former mode back. Other threads of the
    caller keep their mode. Threads that start inside inherit the mode of the thread that starts
    them. The scans of recops flush subnormals by themselves.

    Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, section 10.2.3
    (flags FTZ and DAZ); Arm Architecture Reference Manual, register FPCR (flag FZ). On other
    processors this does nothing.

    Examples:
        >>> smallest_normal = torch.full((4,), torch.finfo(torch.float32).tiny)
        >>> with recops.flush_subnormals():
        ...     half = smallest_normal / 2
        >>> half
        tensor([0., 0., 0., 0.])
    """
    before = ops.swap_flush_subnormals([1] * torch.get_num_threads())
    try:
        yield
    finally:
        ops.swap_flush_subnormals(before)
