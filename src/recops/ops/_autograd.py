"""Registration of derivatives of ops, and of errors for second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import torch
from torch import Tensor


def register_autograd(
    name: str, backward: Callable[..., Any], setup_context: Callable[[Any, Any, Any], None]
) -> None:
    """Register a derivative with less overhead than :func:`torch.library.register_autograd`.

    The function from torch parses the op's schema at every call, in time quadratic in the number
    of arguments. This one parses the schema once. The op must have no default values, because the
    dispatcher does not pass them on.

    Args:
        name: name of the op in ``torch.ops.recops``.
        backward: function of the context and the output gradients. Returns one gradient for each
            input; for a list of tensors, a list of gradients.
        setup_context: function of the context, the inputs and the output. Stores in the context
            what ``backward`` needs.
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
        input_grads = backward(ctx, *grads)
        return (None, *(_flat(input_grads, lists) if lists else input_grads))

    def once(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        if torch.is_grad_enabled():  # A second derivative may follow.
            return gradients(ctx, *grads)
        # Read saved_tensors once, outside the guard: with checkpointing it reruns the forward pass.
        context = SimpleNamespace(**vars(ctx), saved_tensors=ctx.saved_tensors)
        with torch._C._AutoDispatchBelowAutograd():
            return gradients(context, *grads)

    functions = {"forward": staticmethod(forward), "backward": staticmethod(once)}
    formula = type(f"recops_{name}", (torch.autograd.Function,), functions)

    def differentiable(*inputs: Any) -> Any:
        if torch.is_grad_enabled():
            flat = _flat(inputs, lists) if lists else inputs
            if any(isinstance(value, Tensor) and value.requires_grad for value in flat):
                # Autograd does not see tensors inside a list, so pass the flat inputs as well.
                return formula.apply(inputs, *flat)  # type: ignore[attr-defined]
        return below(inputs)

    torch.library.impl(f"recops::{name}", "Autograd", differentiable)


def _flat(values: Sequence[Any], lists: list[int]) -> list[Any]:
    """Return ``values`` with the lists at the positions ``lists`` expanded."""
    flat: list[Any] = []
    for i, value in enumerate(values):
        if i in lists:
            flat += value
        else:
            flat.append(value)
    return flat


def refuse_derivative(name: str, of: str) -> None:
    """Make the second derivative of an op raise NotImplementedError.

    Args:
        name: name of the op in ``torch.ops.recops`` that computes the first derivative.
        of: subject and verb of the error message, such as "dice has".
    """

    def refuse(*_: object) -> NoReturn:
        raise NotImplementedError(f"recops: {of} no second derivative")

    register_autograd(name, refuse, lambda *_: None)
