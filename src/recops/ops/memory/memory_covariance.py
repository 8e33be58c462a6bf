"""How alike the slots of a memory are."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_flag, check_tensor
from recops._load import ops

__all__ = ["memory_covariance"]


def memory_covariance(memory: Tensor, *, squared: bool = True) -> Tensor:
    """``½ ‖C − diag C‖²_F`` with ``C = Mc Mcᵀ / H`` and Mc the memory, each slot less its mean.

    The regularizer that keeps HPMN's slots apart. Differentiable; the norm has the gradient zero
    where all covariances are.

    Args:
        memory: ``[B, m, H]`` floating, H ≥ 1.
        squared: False for the norm itself, not halved, as in the released code.

    Returns:
        ``[B]``, float32 (float64 for float64).

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: another number of dimensions.

    Costs O(B · m² · H).

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
