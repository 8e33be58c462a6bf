"""Dataclasses of tensors (holders): checks at construction, and registration as pytrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

from recops._checks import check_tensor

Holder = TypeVar("Holder")


def require_fit(holder: object, **tensors: tuple[Sequence[torch.dtype], str]) -> None:
    """Check that the tensors of a dataclass have matching dtypes and shapes and share a device.

    Call this in ``__post_init__``, so that ``dataclasses.replace`` is checked too. The contents of
    the tensors are not checked; the ops check what they read.

    Args:
        holder: the dataclass under construction.
        tensors: for each tensor, its allowed dtypes and its shape. A shape lists names of sizes,
            and equal names mean equal sizes: ``"rows, width"``, ``"rows + 1"``, ``"width or rows,
            width"`` for one of two shapes, or ``""`` for a scalar.

    Raises:
        TypeError: a value is not a tensor or has another dtype.
        ValueError: a tensor has another shape, device or layout.
    """
    op = type(holder).__name__
    sizes: dict[str, int] = {}
    device: torch.device | None = None
    # Dynamo warns about functions with a cache.
    parsed = _parsed.__wrapped__ if torch.compiler.is_compiling() else _parsed
    for name, (dtypes, shapes) in tensors.items():
        shape_of = parsed(shapes)
        tensor: Tensor = getattr(holder, name)
        check_tensor(op, name, tensor, ndim=tuple(shape_of), dtypes=dtypes, device=device)
        device = tensor.device
        for (symbol, offset), size in zip(shape_of[tensor.ndim], tensor.shape, strict=True):
            known = sizes.setdefault(symbol, size - offset)
            if known < 0 or size != known + offset:
                raise ValueError(
                    f"{op}: {name} must be [{shapes}] with {symbol} = {max(known, 0)}, "
                    f"got shape {tuple(tensor.shape)}"
                )
        # torch does not resolve a negative view inside a list argument of an op.
        if not torch.compiler.is_compiling() and tensor.is_neg():
            object.__setattr__(holder, name, tensor.resolve_neg())


def map_tensors(holder: Holder, function: Callable[[Tensor], Tensor]) -> Holder:
    """Apply ``function`` to the tensors of a dataclass, also to those in tuples.

    Returns:
        ``holder`` if all results are the same tensors, as ``nn.Module.to`` returns the module;
        otherwise a new dataclass, whose constructor checks the tensors.
    """

    def mapped(value: Any) -> Any:
        if isinstance(value, tuple):
            results = tuple(map(mapped, value))
            is_same = all(new is old for new, old in zip(results, value, strict=True))
            return value if is_same else results
        return function(value) if isinstance(value, Tensor) else value

    changed = {}
    for field in fields(holder):  # type: ignore[arg-type]
        old = getattr(holder, field.name)
        new = mapped(old)
        if new is not old:
            changed[field.name] = new
    return replace(holder, **changed) if changed else holder  # type: ignore[type-var]


@cache
def _parsed(shapes: str) -> dict[int, list[tuple[str, int]]]:
    """Parse shapes to ``{number of dimensions: [(name of the size, number added to it), …]}``."""
    shape_of = {}
    for shape in shapes.split(" or "):
        dims = [dim.partition(" + ") for dim in shape.split(", ") if dim]
        shape_of[len(dims)] = [(symbol, int(offset or 0)) for symbol, _, offset in dims]
    return shape_of


def register_holder(
    kind: type[Holder],
    tensors: Sequence[str],
    *,
    context: str | None = None,
    to_dumpable_context: Callable[[Any], Any] | None = None,
    from_dumpable_context: Callable[[Any], Any] | None = None,
) -> None:
    """Register a holder as a pytree, so that compiled and exported programs accept it as an input.

    Args:
        kind: a dataclass.
        tensors: names of its tensor fields, the leaves of the pytree.
        context: name of its other field, which compiled programs treat as a constant.
        to_dumpable_context: function that converts the context for JSON.
        from_dumpable_context: its inverse.
    """

    def flatten(holder: Holder) -> tuple[list[Tensor], Any]:
        return (
            [getattr(holder, name) for name in tensors],
            None if context is None else getattr(holder, context),
        )

    def flatten_with_keys(holder: Holder) -> tuple[list[tuple[_pytree.KeyEntry, Tensor]], Any]:
        leaves, context_value = flatten(holder)
        keys = [_pytree.GetAttrKey(name) for name in tensors]
        return list(zip(keys, leaves, strict=True)), context_value

    def unflatten(leaves: Any, context_value: Any) -> Holder:
        fields = dict(zip(tensors, leaves, strict=True))
        if context is not None:
            fields[context] = context_value
        if all(isinstance(fields[name], Tensor) for name in tensors):
            return kind(**fields)
        # Compilers and tree_map also build trees of other leaves; skip the checks for those.
        holder = object.__new__(kind)
        for name, value in fields.items():
            object.__setattr__(holder, name, value)
        return holder

    _pytree.register_pytree_node(
        kind,
        flatten,
        unflatten,
        serialized_type_name=f"recops.{kind.__name__}",
        to_dumpable_context=to_dumpable_context,
        from_dumpable_context=from_dumpable_context,
        flatten_with_keys_fn=flatten_with_keys,
    )
