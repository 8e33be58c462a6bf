"""Errors in data that a CUDA kernel cannot raise, found in :func:`recops.debug`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recops._debug import checks_data
from recops.ops._composite import composite


def raise_data_errors(op: str, arguments: tuple[Any, ...], result: Tensor) -> None:
    """Raise the error that a CUDA kernel has marked by NaN in a floating-point result.

    The composite of the op finds and names the error. It runs in :func:`recops.debug` only, and
    only if the result has a NaN.
    """
    if result.is_cuda and checks_data(result) and bool(result.isnan().any()):
        composite(op)(*arguments)
