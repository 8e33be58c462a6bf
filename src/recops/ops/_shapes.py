"""Checks of shapes in composites, with the messages of the kernels."""

from __future__ import annotations

from torch import Tensor


def check_dim(op: str, name: str, tensor: Tensor, dim: int) -> None:
    """Check the number of dimensions."""
    if tensor.ndim != dim:
        raise ValueError(f"{op}: {name} must have {dim} dimensions, got {list(tensor.shape)}")


def check_shape(op: str, name: str, tensor: Tensor, *sizes: int) -> None:
    """Check all sizes of a tensor."""
    if tuple(tensor.shape) != sizes:
        raise ValueError(f"{op}: {name} must be {list(sizes)}, got {list(tensor.shape)}")


def check_numel(op: str, name: str, tensor: Tensor, count: int) -> None:
    """Check the number of values."""
    if tensor.numel() != count:
        raise ValueError(f"{op}: {name} must have {count} values, got {list(tensor.shape)}")


def check_between(op: str, name: str, value: int, least: int, most: int) -> None:
    """Check that a number is from ``least`` to ``most``."""
    if not least <= value <= most:
        raise ValueError(f"{op}: {name} must be from {least} to {most}, got {value}")
