"""What the functions of memory networks check, and how far apart they keep states."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, INDICES, check_integer, check_tensor
from recops._dtypes import compute_dtype
from recops._load import ops

# The most steps for which states are kept so far apart: about the square root, in few sizes, so
# that a compiled program serves all lengths in between.
_INTERVALS = ((512, 16), (2048, 32))
_LONGEST_INTERVAL = 64


def check_input(op: str, name: str, x: object, ndim: int, width: int) -> None:
    """``x`` is floating, of ``ndim`` dimensions, the last ``width`` wide.

    Raises:
        TypeError, ValueError: it is not.
    """
    check_tensor(op, name, x, ndim=ndim, dtypes=FLOATS)
    assert isinstance(x, Tensor)
    if x.shape[-1] != width:
        raise ValueError(f"{op}: {name} must be {width} wide, got shape {tuple(x.shape)}")


def check_index(op: str, name: str, index: object, size: int, like: Tensor) -> None:
    """``index`` is a vector of ``size`` integers.

    Raises:
        TypeError, ValueError: it is not.
    """
    check_tensor(op, name, index, ndim=1, dtypes=INDICES, device=like.device)
    assert isinstance(index, Tensor)
    if index.shape[0] != size:
        raise ValueError(f"{op}: {name} must have {size} entries, got {index.shape[0]}")


def check_pool(op: str, memory: Tensor, x: Tensor) -> None:
    """A pool of states to change or read is where ``x`` is, and of the dtype that x is computed in.

    Raises:
        TypeError, ValueError: it is not.
    """
    if memory.device != x.device:
        raise ValueError(f"{op}: the pool must be on {x.device}, got {memory.device}")
    due = compute_dtype(x.dtype)
    if memory.dtype != due:
        raise TypeError(
            f"{op}: the pool must be {due} beside inputs of {x.dtype}, got {memory.dtype}"
        )


def rows_of_pool(op: str, rows: Tensor, pool: int) -> Tensor:
    """The rows as int64, each one of the pool, to gather by.

    Raises:
        IndexError: one is outside the pool.
    """
    index = rows.long()
    return ops.memory_rows(index, pool, op) if index.device.type in ("cpu", "meta") else index


def check_contiguous(op: str, *tensors: Tensor) -> None:
    """Tensors to change in place are dense.

    Raises:
        ValueError: one is not.
    """
    for tensor in tensors:
        if not tensor.is_contiguous():
            raise ValueError(f"{op}: the pool's tensors must be contiguous, got {tensor.stride()}")


def interval(op: str, checkpoint: int | None, steps: int, tensors: list[Tensor]) -> int:
    """Steps from one kept state to the next; 0 where no gradient will ask for any.

    Raises:
        TypeError, ValueError: ``checkpoint`` is no integer from 1 on.
    """
    if checkpoint is not None:
        check_integer(op, "checkpoint", checkpoint, least=1)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
        return 0
    if checkpoint is not None:
        return checkpoint
    for most, apart in _INTERVALS:
        if steps <= most:
            return apart
    return _LONGEST_INTERVAL


def num_checkpoints(steps: int, every: int) -> int:
    """How many states a scan keeps."""
    return max(steps - 1, 0) // every if every > 0 else 0


torch.library.register_fake(
    "recops::memory_rows", lambda rows, pool, op: rows.new_empty(rows.shape)
)


def mark_changed(*tensors: Tensor) -> None:
    """Tell autograd that an op wrote into them: a graph that kept them as they were then raises."""
    if not torch.compiler.is_compiling():
        torch.autograd.graph.increment_version(tensors)
