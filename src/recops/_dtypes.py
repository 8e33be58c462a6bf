"""In which dtype results are computed: float64 for float64 inputs, else float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """What is summed in, and carried, beside inputs of ``dtype``."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def parameter_dtypes(dtype: torch.dtype) -> tuple[torch.dtype, ...]:
    """What parameters may be beside inputs of ``dtype``: of that, or float32 beside 16 bits."""
    wide = compute_dtype(dtype)
    return (dtype,) if dtype == wide else (dtype, wide)


def widened(x: Tensor) -> Tensor:
    """``x`` in the dtype that its results are computed in."""
    return x.to(compute_dtype(x.dtype))


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Where torch's own ops on the device of ``x`` compute in the dtypes that they are given."""
    kind = x.device.type
    # Where there is none, nothing is entered, so that exported programs hold no trace of it.
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
