"""Derivatives of ops: registered for speed, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import torch
from torch import Tensor


def register_autograd(
    name: str, backward: Callable[..., Any], setup_context: Callable[[Any, Any, Any], None]
) -> None:
    """As :func:`torch.library.register_autograd`, whose every call reads the schema anew.

    That reading takes time in the square of the number of arguments: for the 15 of
    ``coaction_gather`` 73 µs a call, where all that is done here takes 12 (a Zen 4 core, torch
    2.13). The op must have no default values, of which the dispatcher would pass on none.

    Args:
        name: of the op in ``torch.ops.recops``.
        backward: from the context and the gradients of what the op returned to one for each input,
            a list of them for a list of tensors.
        setup_context: keeps in the context what ``backward`` needs, of inputs and output.
    """
    op = getattr(torch.ops.recops, name).default
    arguments = op._schema.arguments
    lists = [i for i, argument in enumerate(arguments) if str(argument.type) == "List[Tensor]"]

    def below(inputs: Sequence[Any]) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return op(*inputs)

    def forward(ctx: Any, inputs: Sequence[Any], *_: Any) -> Any:
        output = below(inputs)
        setup_context(ctx, inputs, output)
        return tuple(output) if isinstance(output, list) else output

    def gradients(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        found = backward(ctx, *grads)
        return (None, *(_flat(found, lists) if lists else found))

    def once(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        if torch.is_grad_enabled():  # There may be a second derivative.
            return gradients(ctx, *grads)
        # Read once, and before: with checkpointing, reading runs the forward once more.
        kept = SimpleNamespace(**vars(ctx), saved_tensors=ctx.saved_tensors)
        with torch._C._AutoDispatchBelowAutograd():
            return gradients(kept, *grads)

    functions = {"forward": staticmethod(forward), "backward": staticmethod(once)}
    formula = type(f"recops_{name}", (torch.autograd.Function,), functions)

    def differentiable(*inputs: Any) -> Any:
        if torch.is_grad_enabled():
            flat = _flat(inputs, lists) if lists else inputs
            if any(isinstance(value, Tensor) and value.requires_grad for value in flat):
                # Autograd looks at the flat ones alone, as it sees no tensor inside a list.
                return formula.apply(inputs, *flat)  # type: ignore[attr-defined]
        return below(inputs)

    torch.library.impl(f"recops::{name}", "Autograd", differentiable)


def _flat(values: Sequence[Any], lists: list[int]) -> list[Any]:
    """Those values, the lists among them, at ``lists``, laid out."""
    flat: list[Any] = []
    for i, value in enumerate(values):
        if i in lists:
            flat += value
        else:
            flat.append(value)
    return flat


def refuse_derivative(name: str, of: str) -> None:
    """Let the gradient of an op, another op, raise NotImplementedError where it is derived again.

    Args:
        name: of the gradient's op in ``torch.ops.recops``.
        of: what the error says has no second derivative.
    """

    def refuse(*_: object) -> NoReturn:
        raise NotImplementedError(f"recops: {of} no second derivative")

    register_autograd(name, refuse, lambda *_: None)
