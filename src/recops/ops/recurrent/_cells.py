"""Cell names and argument checks that the recurrent functions share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from recops._checks import FLOATS, INDICES, check_choice, check_tensor
from recops._dtypes import compute_dtype

Cell: TypeAlias = Literal["gru", "agru", "augru"]
Reset: TypeAlias = Literal["after", "before"]
Update: TypeAlias = Literal["paper", "or"]
Convention: TypeAlias = Literal["torch", "tf"]

_CELLS, _RESETS, _UPDATES = get_args(Cell), get_args(Reset), get_args(Update)
_CONVENTIONS: dict[str, tuple[Reset, Update]] = {
    "torch": ("after", "paper"),
    "tf": ("before", "or"),
}


def resolve(
    op: str, cell: str, reset: str, update: str, convention: str | None, attention: object
) -> tuple[str, str]:
    """Check all names and return ``(reset, update)``, those of ``convention`` if there is one."""
    if convention is not None:
        check_choice(op, "convention", convention, tuple(_CONVENTIONS))
        reset, update = _CONVENTIONS[convention]
    check_choice(op, "cell", cell, _CELLS)
    check_choice(op, "reset", reset, _RESETS)
    check_choice(op, "update", update, _UPDATES)
    if (attention is None) != (cell == "gru"):
        rule, actual = ("None", "a tensor") if cell == "gru" else ("given", "None")
        raise ValueError(f"{op}: attention must be {rule} for cell {cell!r}, got {actual}")
    return reset, update


def hidden_size(op: str, w_hh: Tensor) -> int:
    """Return H of the weights ``[3H, H]``.

    Raises:
        TypeError, ValueError: ``w_hh`` has another dtype or shape.
    """
    check_tensor(op, "w_hh", w_hh, ndim=2, dtypes=FLOATS)
    hidden = w_hh.shape[1]
    if hidden == 0 or w_hh.shape[0] != 3 * hidden:
        raise ValueError(f"{op}: w_hh must be [3 H, H] with H ≥ 1, got {tuple(w_hh.shape)}")
    return hidden


def check_shapes(
    op: str,
    device: torch.device,
    required: Mapping[str, tuple[Tensor, tuple[int, ...]]],
    optional: Mapping[str, tuple[Tensor | None, tuple[int, ...]]],
) -> None:
    """Check that tensors are floating, have their expected shapes and are on ``device``.

    Raises:
        TypeError, ValueError: a tensor does not match; optional ones may be None.
    """
    present = {
        name: (value, shape) for name, (value, shape) in optional.items() if value is not None
    }
    for name, (tensor, shape) in {**required, **present}.items():
        check_tensor(op, name, tensor, ndim=len(shape), dtypes=FLOATS, device=device)
        if any(size != length for size, length in zip(tensor.shape, shape, strict=True)):
            raise ValueError(f"{op}: {name} must be {shape}, got {tuple(tensor.shape)}")


def check_indices(
    op: str, device: torch.device, name: str, index: Tensor | None, size: int | None = None
) -> None:
    """Check that ``index`` is None or a vector of integers, with ``size`` entries if that is known.

    Raises:
        TypeError, ValueError: ``index`` has another dtype, shape or device.
    """
    if index is None:
        return
    check_tensor(op, name, index, ndim=1, dtypes=INDICES, device=device)
    if size is not None and index.shape[0] != size:
        raise ValueError(f"{op}: {name} must have {size} entries, got {index.shape[0]}")


def to_dtype(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return ``tensor`` in ``dtype``, or None for None."""
    return None if tensor is None else tensor.to(dtype)


def values_to_keep(checkpoint: bool, *tensors: Tensor | None) -> str:
    """Return what the forward pass keeps for the backward pass: nothing, states or gates."""
    if not torch.is_grad_enabled() or not any(t is not None and t.requires_grad for t in tensors):
        return "nothing"
    return "states" if checkpoint else "gates"


def fake_scan(
    x: Tensor, rows: int, w_hh: Tensor, reset: str, keep: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return empty outputs, last states and kept values, allocated as in csrc/recurrent/op.cpp."""
    hidden, steps, dtype = w_hh.shape[1], x.shape[1], compute_dtype(x.dtype)
    if keep == "nothing" or (keep == "states" and x.dtype == dtype):
        saved: tuple[int, ...] = (0,)
    elif x.dtype != dtype:
        saved = (rows, steps, hidden)
    else:
        saved = (rows, steps, (4 if reset == "after" else 3) * hidden)
    return (
        x.new_empty((rows, steps, hidden)),
        x.new_empty((rows, hidden), dtype=dtype),
        x.new_empty(saved, dtype=dtype),
    )


def save_scan(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    """Store in ``ctx`` what the backward pass reads."""
    *tensors, ctx.cell, ctx.reset, ctx.update, _ = inputs
    outputs, _, saved = output
    ctx.save_for_backward(outputs, saved, *tensors)
    ctx.set_materialize_grads(False)
