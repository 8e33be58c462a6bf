"""Holders of tensors: what they hold fits together from the moment they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

from recops._checks import check_tensor

Holder = TypeVar("Holder")


def require_fit(holder: object, **tensors: tuple[Sequence[torch.dtype], str]) -> None:
    """The tensors of ``holder``, a dataclass, have their dtypes and shapes and are on one device.

    For a dataclass' ``__post_init__``, so that ``dataclasses.replace`` is held to it as well. What
    the tensors contain is for ops to check as they read it.

    Args:
        holder: what is being made.
        tensors: of each tensor the dtypes it may have, and its shape by names of sizes, which are
            the same wherever they stand: ``"rows, width"``; ``"rows + 1"``; ``"width or rows,
            width"`` where it may be either; ``""`` for a scalar.

    Raises:
        TypeError: not a tensor, or of another dtype.
        ValueError: another shape, device or layout.
    """
    op = type(holder).__name__
    sizes: dict[str, int] = {}
    device: torch.device | None = None
    # Dynamo warns of what is cached.
    parsed = _parsed.__wrapped__ if torch.compiler.is_compiling() else _parsed
    for name, (dtypes, shapes) in tensors.items():
        shape_of = parsed(shapes)
        tensor: Tensor = getattr(holder, name)
        check_tensor(op, name, tensor, ndim=tuple(shape_of), dtypes=dtypes, device=device)
        device = tensor.device
        for (symbol, more), size in zip(shape_of[tensor.ndim], tensor.shape, strict=True):
            known = sizes.setdefault(symbol, size - more)
            if known < 0 or size != known + more:
                raise ValueError(
                    f"{op}: {name} must be [{shapes}] with {symbol} = {max(known, 0)}, "
                    f"got shape {tuple(tensor.shape)}"
                )
        # In the lists that ops take, torch would leave it unresolved; a graph has none.
        if not torch.compiler.is_compiling() and tensor.is_neg():
            object.__setattr__(holder, name, tensor.resolve_neg())


@cache
def _parsed(shapes: str) -> dict[int, list[tuple[str, int]]]:
    """By number of dimensions, each dimension's size: a name, and what is added to it."""
    found = {}
    for shape in shapes.split(" or "):
        dims = [dim.partition(" + ") for dim in shape.split(", ") if dim]
        found[len(dims)] = [(symbol, int(more or 0)) for symbol, _, more in dims]
    return found


def register_holder(
    kind: type[Holder],
    tensors: Sequence[str],
    *,
    context: str | None = None,
    to_dumpable_context: Callable[[Any], Any] | None = None,
    from_dumpable_context: Callable[[Any], Any] | None = None,
) -> None:
    """Make a holder a pytree, so that compilers and exporters take it as an input.

    Args:
        kind: a dataclass.
        tensors: the names of its tensors, which become the leaves.
        context: the name of what else it has, which is compiled in.
        to_dumpable_context: what JSON can hold of the context.
        from_dumpable_context: the way back.
    """

    def flatten(holder: Holder) -> tuple[list[Tensor], Any]:
        return (
            [getattr(holder, name) for name in tensors],
            None if context is None else getattr(holder, context),
        )

    def flatten_with_keys(holder: Holder) -> tuple[list[tuple[_pytree.KeyEntry, Tensor]], Any]:
        leaves, rest = flatten(holder)
        keys = [_pytree.GetAttrKey(name) for name in tensors]
        return list(zip(keys, leaves, strict=True)), rest

    def unflatten(leaves: Any, rest: Any) -> Holder:
        fields = dict(zip(tensors, leaves, strict=True))
        if context is not None:
            fields[context] = rest
        if all(isinstance(fields[name], Tensor) for name in tensors):
            return kind(**fields)
        # What a map over the tree, or a compiler, puts in the tensors' place.
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
