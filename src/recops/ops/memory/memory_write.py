"""Writing to an external memory."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_tensor
from recops._load import ops

__all__ = ["memory_write"]


def memory_write(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """Erase and add to the slots of a memory: ``memory ∘ (1 − w eᵀ) + w aᵀ``. Differentiable.

    Args:
        memory: ``[B, m, D]`` floating.
        weights: ``[B, m]``.
        erase: ``[B, D]``, from 0 to 1.
        add: ``[B, D]``.

    Returns:
        ``[B, m, D]``, float32 (float64 if any argument is float64).

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes or devices do not match.

    Time is O(B · m · D).

    Source: Graves et al., "Neural Turing machines", 2014, equations 3 and 4.

    Examples:
        >>> memory, one = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.ones(1, 2)
        >>> recops.memory_write(memory, torch.tensor([[0.0, 1.0]]), one, 5 * one)
        tensor([[[1., 0.],
                 [5., 5.]]])
    """
    op = "memory_write"
    check_tensor(op, "memory", memory, ndim=3, dtypes=FLOATS)
    rows, slots, width = memory.shape
    expected = {"weights": (weights, slots), "erase": (erase, width), "add": (add, width)}
    for name, (tensor, size) in expected.items():
        check_tensor(op, name, tensor, ndim=2, dtypes=FLOATS, device=memory.device)
        if tensor.shape != (rows, size):
            raise ValueError(f"{op}: {name} must be {(rows, size)}, got {tuple(tensor.shape)}")
    return ops.memory_write(memory, weights, erase, add)


def _composite(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    from recops.reference.memory import memory_write as composite

    return composite(memory, weights, erase, add)


torch.library.define(
    "recops::memory_write", "(Tensor memory, Tensor weights, Tensor erase, Tensor add) -> Tensor"
)
torch.library.impl("recops::memory_write", "CompositeImplicitAutograd", _composite)
