"""Reading an external memory."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_tensor
from recops._load import ops

__all__ = ["memory_read"]


def memory_read(weights: Tensor, memory: Tensor) -> Tensor:
    """Compute the weighted sum of slots ``Σ_j weights_j memory_j``. Differentiable.

    Args:
        weights: ``[B, m]`` floating.
        memory: ``[B, m, D]``.

    Returns:
        ``[B, D]``, float32 (float64 if any argument is float64).

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes or devices do not match.

    Time is O(B · m · D).

    Source: Graves et al., "Neural Turing machines", 2014, equation 2.

    Examples:
        >>> memory = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> recops.memory_read(torch.tensor([[0.25, 0.75]]), memory)
        tensor([[0.2500, 0.7500]])
    """
    op = "memory_read"
    check_tensor(op, "memory", memory, ndim=3, dtypes=FLOATS)
    check_tensor(op, "weights", weights, ndim=2, dtypes=FLOATS, device=memory.device)
    if weights.shape != memory.shape[:2]:
        expected = tuple(memory.shape[:2])
        raise ValueError(f"{op}: weights must be {expected}, got {tuple(weights.shape)}")
    return ops.memory_read(weights, memory)


def _composite(weights: Tensor, memory: Tensor) -> Tensor:
    from recops.reference.memory import memory_read as composite

    return composite(weights, memory)


torch.library.define("recops::memory_read", "(Tensor weights, Tensor memory) -> Tensor")
torch.library.impl("recops::memory_read", "CompositeImplicitAutograd", _composite)
