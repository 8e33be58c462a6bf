"""Dtypes of computation: float64 for float64 inputs, else float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of sums and carried states for inputs of ``dtype``."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def widest_dtype(device: torch.device) -> torch.dtype:
    """Return the widest floating dtype of a device: float64, but float32 if it has none, as MPS."""
    return _WIDEST.get(device.type) or _widest_dtype(device.type)


_WIDEST = dict.fromkeys(("cpu", "cuda", "xpu", "meta"), torch.float64) | {"mps": torch.float32}


@cache
def _widest_dtype(kind: str) -> torch.dtype:
    try:
        torch.empty(0, dtype=torch.float64, device=kind)
    except TypeError:
        return torch.float32
    return torch.float64


def parameter_dtypes(x: Tensor) -> tuple[torch.dtype, ...]:
    """Return the dtypes that parameters may have for the input ``x``.

    These are the dtype of ``x`` and, if ``x`` is 16-bit, float32. Autocast converts all inputs to
    float32, so under autocast 16-bit parameters may also accompany a float32 ``x``.
    """
    if x.dtype == torch.float64:
        return (x.dtype,)
    if _autocast(x.device.type):
        return torch.float32, torch.bfloat16, torch.float16
    return (x.dtype,) if x.dtype == torch.float32 else (x.dtype, torch.float32)


def widened(x: Tensor) -> Tensor:
    """Return ``x`` converted to the dtype of its computation."""
    return x.to(compute_dtype(x.dtype))


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Return a context that disables autocast on the device of ``x``."""
    kind = x.device.type
    # Without active autocast, enter nothing: exported programs then contain no autocast region.
    return torch.autocast(kind, enabled=False) if _autocast(kind) else nullcontext()


def _autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
