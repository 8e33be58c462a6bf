"""In which dtype results are computed: float64 for float64 inputs, else float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """What is summed in, and carried, beside inputs of ``dtype``."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def parameter_dtypes(x: Tensor) -> tuple[torch.dtype, ...]:
    """What parameters may be beside ``x``: of its dtype, or float32 beside 16 bits; under autocast,
    which widens all of them, of 16 bits beside float32 as well.
    """
    if x.dtype == torch.float64:
        return (x.dtype,)
    if _autocast(x.device.type):
        return torch.float32, torch.bfloat16, torch.float16
    return (x.dtype,) if x.dtype == torch.float32 else (x.dtype, torch.float32)


def widened(x: Tensor) -> Tensor:
    """``x`` in the dtype that its results are computed in."""
    return x.to(compute_dtype(x.dtype))


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Where torch's own ops on the device of ``x`` compute in the dtypes that they are given."""
    kind = x.device.type
    # Where there is none, nothing is entered, so that exported programs hold no trace of it.
    return torch.autocast(kind, enabled=False) if _autocast(kind) else nullcontext()


def _autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
