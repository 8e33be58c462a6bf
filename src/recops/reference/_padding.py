"""Replacement of padding by zeros, because its values must have no effect."""

from __future__ import annotations

import torch
from torch import Tensor


def without_padding(values: Tensor, lengths: Tensor) -> Tensor:
    """Return values ``[B, T, …]`` with zeros past the lengths ``[B]``.

    Padding may be NaN. A mask of the results alone would not protect gradients, since 0 · NaN is
    NaN.
    """
    is_event = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
    return values.where(is_event.view(*is_event.shape, *[1] * (values.ndim - 2)), 0)
