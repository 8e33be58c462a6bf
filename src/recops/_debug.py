"""Checks of tensor data on devices other than the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from recops._host import reads_are_free

__all__ = ["debug"]

_depth = 0  # Not a context variable: backward passes run in threads of torch.


@contextmanager
def debug() -> Iterator[None]:
    """Check the data of tensors on every device, in all threads of the process.

    Ops check types, shapes and devices of their arguments on every device. Data, such as indices,
    lengths and NaN, is always checked on the CPU. On another device a check makes the host wait for
    all work before it, so data is checked in this mode only. Without it, an index out of range has
    the effect that it has in torch: CUDA reports a device-side assertion at a later call.

    Examples:
        >>> with recops.debug():  # Run a step that fails on a GPU here; the error names the value.
        ...     codes = recops.rq_encode(torch.zeros(1, 2), torch.zeros(1, 3, 2))[0]
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def checks_data(tensor: Tensor) -> bool:
    """Return whether the data of tensors on this tensor's device is checked.

    A compiled composite checks nothing, because it cannot branch on values. Ops in compiled code
    still check: ``torch.compile`` does not look inside them.
    """
    return reads_are_free(tensor) or (_depth > 0 and not torch.compiler.is_compiling())
