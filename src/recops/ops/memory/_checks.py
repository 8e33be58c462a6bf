"""Argument checks and checkpoint intervals of the memory networks."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, INDICES, check_integer, check_tensor
from recops._debug import checks_data
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._composite import check_range, first_index

# Pairs (most steps, interval between kept states). Intervals are about the square root of the
# steps. There are only a few, so that one compiled program serves many lengths.
_INTERVALS = ((512, 16), (2048, 32))
_LONGEST_INTERVAL = 64


def check_input(op: str, name: str, x: object, ndim: int, width: int) -> None:
    """Check that ``x`` is floating with ``ndim`` dimensions, and that the last has size ``width``.

    Raises:
        TypeError, ValueError: ``x`` has another dtype or shape.
    """
    check_tensor(op, name, x, ndim=ndim, dtypes=FLOATS)
    assert isinstance(x, Tensor)
    if x.shape[-1] != width:
        raise ValueError(f"{op}: {name} must be {width} wide, got shape {tuple(x.shape)}")


def check_index(op: str, name: str, index: object, size: int, like: Tensor) -> None:
    """Check that ``index`` is a vector of ``size`` integers on the device of ``like``.

    Raises:
        TypeError, ValueError: ``index`` has another dtype, shape or device.
    """
    check_tensor(op, name, index, ndim=1, dtypes=INDICES, device=like.device)
    assert isinstance(index, Tensor)
    if index.shape[0] != size:
        raise ValueError(f"{op}: {name} must have {size} entries, got {index.shape[0]}")


def check_pool(op: str, memory: Tensor, x: Tensor) -> None:
    """Check that a pool of states has the device of ``x`` and the dtype of its computation.

    Raises:
        TypeError, ValueError: the pool has another device or dtype.
    """
    if memory.device != x.device:
        raise ValueError(f"{op}: the pool must be on {x.device}, got {memory.device}")
    expected = compute_dtype(x.dtype)
    if memory.dtype != expected:
        raise TypeError(
            f"{op}: the pool must be {expected} for inputs of {x.dtype}, got {memory.dtype}"
        )


def rows_of_pool(op: str, rows: Tensor, pool: int) -> Tensor:
    """Check that ``rows`` are rows of the pool, and return them as int64.

    Raises:
        IndexError: a row is outside the pool.
    """
    return ops.memory_rows(rows.long(), pool, op)


def check_contiguous(op: str, *tensors: Tensor) -> None:
    """Check that tensors to change in place are contiguous.

    Raises:
        ValueError: a tensor is not contiguous.
    """
    for tensor in tensors:
        if not tensor.is_contiguous():
            raise ValueError(f"{op}: the pool's tensors must be contiguous, got {tensor.stride()}")


def check_finite(op: str, x: Tensor) -> None:
    """Check that all values of ``x`` are finite, which reads data.

    Raises:
        ValueError: ``x`` contains NaN or infinity.
    """
    wrong = first_index(~x.isfinite().all(1))
    if wrong is not None:
        raise ValueError(f"{op}: x must be finite, got NaN or infinity in x{wrong}")


def check_events_in_debug(op: str, rows: Tensor, x: Tensor, num_rows: int) -> None:
    """Check rows and inputs of events on a GPU in :func:`recops.debug`; other devices' ops do.

    Raises:
        IndexError: a row is outside the pool.
        ValueError: ``x`` contains NaN or infinity.
    """
    if x.is_cuda and checks_data(x):
        check_range(op, "rows", rows, 0, num_rows - 1)
        check_finite(op, x)


def interval(op: str, checkpoint: int | None, steps: int, tensors: list[Tensor]) -> int:
    """Return the number of steps between kept states, or 0 if no gradient is needed.

    Raises:
        TypeError, ValueError: ``checkpoint`` is not a positive integer.
    """
    if checkpoint is not None:
        check_integer(op, "checkpoint", checkpoint, least=1)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
        return 0
    if checkpoint is not None:
        return checkpoint
    for most, steps_between in _INTERVALS:
        if steps <= most:
            return steps_between
    return _LONGEST_INTERVAL


def num_checkpoints(steps: int, every: int) -> int:
    """Return the number of states that a scan keeps."""
    return max(steps - 1, 0) // every if every > 0 else 0


torch.library.register_fake(
    "recops::memory_rows", lambda rows, pool, op: rows.new_empty(rows.shape)
)


def mark_changed(*tensors: Tensor) -> None:
    """Mark tensors as changed, so that autograd raises for a graph that saved their old values."""
    if not torch.compiler.is_compiling():
        torch.autograd.graph.increment_version(tensors)
