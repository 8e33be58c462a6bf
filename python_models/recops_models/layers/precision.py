"""Floating-point precision that a device has."""

from __future__ import annotations

from functools import cache

import torch


def widest_float(device: torch.device) -> torch.dtype:
    """Return float64, or float32 for a device without float64, such as Apple's GPUs.

    Example:
        >>> import torch
        >>> from recops_models.layers.precision import widest_float
        >>> widest_float(torch.device("cpu"))
        torch.float64
    """
    return _widest_float(device.type)


@cache
def _widest_float(kind: str) -> torch.dtype:
    try:
        torch.empty(0, dtype=torch.float64, device=kind)
    except TypeError:
        return torch.float32
    return torch.float64
