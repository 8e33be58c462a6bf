"""Covariance regularizer of the slots of a memory."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_flag, check_tensor
from recops._load import ops

__all__ = ["memory_covariance"]


def memory_covariance(memory: Tensor, *, squared: bool = True) -> Tensor:
    """Compute the covariance regularizer ``½ ‖C − diag C‖²_F`` with ``C = Mc Mcᵀ / H``.

    Mc is the memory minus the mean of each slot. HPMN uses this regularizer to make its slots
    differ. Differentiable; the gradient of the norm (``squared=False``) is zero if all covariances
    are zero.

    Args:
        memory: ``[B, m, H]`` floating, H ≥ 1.
        squared: False for the norm, neither squared nor halved, as in the released code.

    Returns:
        ``[B]``, float32 (float64 for float64).

    Raises:
        TypeError: the memory has an unsupported dtype.
        ValueError: the memory has another number of dimensions.

    Time is O(B · m² · H).

    Source: that of :func:`hpmn_scan`.

    Examples:
        >>> memory = torch.tensor([[[1.0, -1.0], [2.0, -2.0]]])
        >>> recops.memory_covariance(memory)
        tensor([4.])
    """
    check_tensor("memory_covariance", "memory", memory, ndim=3, dtypes=FLOATS)
    check_flag("memory_covariance", "squared", squared)
    return ops.memory_covariance(memory, squared)


def _composite(memory: Tensor, squared: bool) -> Tensor:
    from recops.reference.memory import memory_covariance as composite

    return composite(memory, squared=squared)


torch.library.define("recops::memory_covariance", "(Tensor memory, bool squared) -> Tensor")
torch.library.impl("recops::memory_covariance", "CompositeImplicitAutograd", _composite)
