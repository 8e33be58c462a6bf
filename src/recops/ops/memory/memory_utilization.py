"""Utilization regularizer of the slots of a memory."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_tensor
from recops._load import ops

__all__ = ["memory_utilization"]


def memory_utilization(usage: Tensor) -> Tensor:
    """Compute the utilization regularizer ``Σ_i (usage_i − mean)²``. Differentiable.

    MIMN uses this regularizer to spread writes evenly over its slots.

    Args:
        usage: ``[B, m]`` floating, the sum of the write weights of each slot.

    Returns:
        ``[B]``, float32 (float64 for float64).

    Raises:
        TypeError: ``usage`` has an unsupported dtype.
        ValueError: ``usage`` has another number of dimensions.

    Time is O(B · m).

    Source: that of :func:`mimn_scan`.

    Examples:
        >>> recops.memory_utilization(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
        tensor([2., 0.])
    """
    check_tensor("memory_utilization", "usage", usage, ndim=2, dtypes=FLOATS)
    return ops.memory_utilization(usage)


def _composite(usage: Tensor) -> Tensor:
    from recops.reference.memory import memory_utilization as composite

    return composite(usage)


torch.library.define("recops::memory_utilization", "(Tensor usage) -> Tensor")
torch.library.impl("recops::memory_utilization", "CompositeImplicitAutograd", _composite)
