"""Argument checks that need no data: dtype, device, shape. Checks on data sit in the op itself."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
INDICES = (torch.int32, torch.int64)


def check_tensor(
    op: str,
    name: str,
    value: object,
    *,
    ndim: int | tuple[int, ...] | None,
    dtypes: Iterable[torch.dtype],
    device: torch.device | None = None,
) -> None:
    """``value`` is a tensor of one of ``dtypes``, with ``ndim`` dimensions, on ``device``.

    None asks for no number of dimensions, and for no device.

    Raises:
        TypeError: not a tensor, or of another dtype.
        ValueError: another number of dimensions, or on another device.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}: {name} must be a tensor, got {type(value).__name__}")
    if value.dtype not in dtypes:
        wanted = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise TypeError(
            f"{op}: {name} must be one of {wanted}, got {str(value.dtype).removeprefix('torch.')}"
        )
    if (
        value.ndim != ndim
        and ndim is not None
        and (isinstance(ndim, int) or value.ndim not in ndim)
    ):
        wanted = str(ndim) if isinstance(ndim, int) else " or ".join(str(n) for n in ndim)
        raise ValueError(
            f"{op}: {name} must have {wanted} dimensions, got shape {tuple(value.shape)}"
        )
    if device is not None and value.device != device:
        raise ValueError(f"{op}: {name} must be on {device}, got {value.device}")
