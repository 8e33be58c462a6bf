"""Content-based addressing of an external memory."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_tensor
from recops._load import ops

__all__ = ["memory_address"]


def memory_address(key: Tensor, memory: Tensor, beta: Tensor) -> Tensor:
    """Compute the addressing weights ``softmax_j(β · cos(key, memory_j))``.

    The cosine adds 1e-8 to the product of norms. Differentiable; for an all-zero key or slot the
    derivative treats its norm as constant.

    Args:
        key: ``[B, D]`` floating.
        memory: ``[B, m, D]``.
        beta: ``[B]``, the sharpness of the softmax.

    Returns:
        ``weights [B, m]``, float32 (float64 if any argument is float64).

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes or devices do not match.

    Time is O(B · m · D).

    Source: Graves et al., "Neural Turing machines", 2014, equations 5 and 6.

    Examples:
        >>> memory = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> recops.memory_address(torch.tensor([[0.0, 2.0]]), memory, torch.tensor([50.0]))
        tensor([[1.9287e-22, 1.0000e+00]])
    """
    op = "memory_address"
    check_tensor(op, "memory", memory, ndim=3, dtypes=FLOATS)
    rows, _, width = memory.shape
    for name, tensor, shape in (("key", key, (rows, width)), ("beta", beta, (rows,))):
        check_tensor(op, name, tensor, ndim=len(shape), dtypes=FLOATS, device=memory.device)
        if tensor.shape != shape:
            raise ValueError(f"{op}: {name} must be {shape}, got {tuple(tensor.shape)}")
    return ops.memory_address(key, memory, beta)


def _composite(key: Tensor, memory: Tensor, beta: Tensor) -> Tensor:
    from recops.reference.memory import memory_address as composite

    return composite(key, memory, beta)


torch.library.define("recops::memory_address", "(Tensor key, Tensor memory, Tensor beta) -> Tensor")
torch.library.impl("recops::memory_address", "CompositeImplicitAutograd", _composite)
