"""DIEN's auxiliary loss, which trains states to predict the next event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from recops._checks import FLOATS, INDICES, check_list, check_tensor
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._autocast import autocast_to_float32

__all__ = ["next_event_loss"]

_MAX_HIDDEN = 8


def next_event_loss(
    states: Tensor,
    events: Tensor,
    drawn: Tensor,
    layers: Sequence[Tensor],
    *,
    lengths: Tensor | None = None,
) -> Tensor:
    """Compute DIEN's next-event loss ``Σ softplus(−s(h_t, e_{t+1})) + Σ softplus(s(h_t, e⁻_t))``.

    Sums run over every ``(b, t)`` with ``t + 1`` below the length of row b. e⁻_t is the negative
    event ``events.flatten(0, 1)[drawn[b, t]]``. If its values equal those of e_{t+1}, the second
    term is omitted. The scorer s is an MLP with sigmoids: ``s(h, e) = w·u_L + c`` with
    ``u_l = σ(W_l u_{l−1} + b_l)`` and ``u_0 = [h, e]``; both terms share ``W_h h``. The loss equals
    the sum of ``−log σ(s)`` and ``−log(1 − σ(s))``, but is finite for any score.

    The loss is a scalar, so its gradient is computed in the same pass, over a few cells at a time.
    Hidden units are never stored, and padding costs no work.

    Args:
        states: h ``[B, T, d]`` float32, bfloat16, float16 or float64, any strides.
        events: e ``[B, T, d]`` of the same dtype.
        drawn: ``[B, T − 1]`` int32 or int64, from 0 to B·T − 1; entries past the lengths are
            ignored.
        layers: ``W_1 [H_1, 2d], b_1 [H_1], …, w [1, H_L], c [1]``, for L from 1 to 8; floating,
            converted to float32 (float64 for float64 states).
        lengths: ``[B]`` int32 or int64 from 0 to T; None if all are T.

    Returns:
        The sum ``[]``, float32 (float64 for float64 states); 0 without cells.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes do not match, a length is out of range, or there are too few or too many
            layers.
        IndexError: an entry of ``drawn`` is out of range.
        NotImplementedError: a second derivative is computed.

    Time is O(cells · Σ H_l H_{l−1}), and memory is that of the gradients. Results are bit-identical
    at any thread count. Subnormal numbers count as zero, in any mode of the caller's threads.

    Source: Zhou et al., "Deep interest evolution network for click-through rate prediction", 2019,
    equation 6, with the scorer of its released code. Paper and code average over the cells, while
    this function sums.

    Examples:
        >>> states, events = torch.zeros(1, 3, 2), torch.arange(6.0).view(1, 3, 2)
        >>> layers = [torch.zeros(5, 4), torch.zeros(5), torch.zeros(1, 5), torch.zeros(1)]
        >>> drawn = torch.tensor([[0, 2]])  # the second is the next event itself
        >>> recops.next_event_loss(states, events, drawn, layers)  # three terms, each log 2
        tensor(2.0794)
    """
    op = "next_event_loss"
    check_tensor(op, "states", states, ndim=3, dtypes=FLOATS)
    check_tensor(op, "events", events, ndim=3, dtypes=(states.dtype,), device=states.device)
    check_tensor(op, "drawn", drawn, ndim=2, dtypes=INDICES, device=states.device)
    rows, steps, width = states.shape
    expected: list[tuple[str, Tensor, tuple[int, ...]]] = [
        ("events", events, (rows, steps, width)),
        ("drawn", drawn, (rows, max(steps - 1, 0))),
    ]
    if lengths is not None:
        check_tensor(op, "lengths", lengths, ndim=1, dtypes=INDICES, device=states.device)
        expected.append(("lengths", lengths, (rows,)))
    layers = check_list(op, "layers", layers)
    hidden = (len(layers) - 2) / 2
    if hidden not in range(1, _MAX_HIDDEN + 1):
        raise ValueError(
            f"{op}: layers must be alternating weights and biases, of 1 to {_MAX_HIDDEN} hidden "
            f"layers and the score, got {len(layers)} tensors"
        )
    inputs = 2 * width
    for i in range(0, len(layers), 2):
        name, weight, bias = f"layers[{i}]", layers[i], layers[i + 1]
        check_tensor(op, name, weight, ndim=2, dtypes=FLOATS, device=states.device)
        outputs = weight.shape[0] if i + 2 < len(layers) else 1
        check_tensor(op, f"layers[{i + 1}]", bias, ndim=1, dtypes=FLOATS, device=states.device)
        expected += [(name, weight, (outputs, inputs)), (f"layers[{i + 1}]", bias, (outputs,))]
        inputs = outputs
    for name, tensor, shape in expected:
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{op}: {name} must be {shape}, got {tuple(tensor.shape)}")
    dtype = compute_dtype(states.dtype)
    if lengths is None:
        lengths = drawn.new_full((rows,), steps)
    differentiate = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (states, events, *layers)
    )
    total, *_ = ops.next_event_loss(
        states,
        events,
        drawn.to(torch.int64),
        lengths.to(torch.int64),
        [each.to(dtype) for each in layers],
        differentiate,
    )
    return total


def _fake(
    states: Tensor,
    events: Tensor,
    drawn: Tensor,
    lengths: Tensor,
    layers: Sequence[Tensor],
    differentiate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    like = layers[0]
    shape = states.shape if differentiate else (0,)
    parameters = sum(each.numel() for each in layers) if differentiate else 0
    return (
        like.new_empty(()),
        like.new_empty(shape),
        like.new_empty(shape),
        like.new_empty(parameters),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    states, _, _, _, layers, _ = inputs
    ctx.dtype, ctx.shapes = states.dtype, [each.shape for each in layers]
    ctx.save_for_backward(*output[1:])
    ctx.set_materialize_grads(False)


def _grad(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Any, ...]:
    if grad is None:
        return None, None, None, None, [None] * len(ctx.shapes), None
    grad_states, grad_events, grad_layers = ops.next_event_loss_backward(grad, *ctx.saved_tensors)
    layer_grads = grad_layers.split([shape.numel() for shape in ctx.shapes])
    return (
        grad_states.to(ctx.dtype),
        grad_events.to(ctx.dtype),
        None,
        None,
        [each.view(shape) for each, shape in zip(layer_grads, ctx.shapes, strict=True)],
        None,
    )


def _fake_backward(grad: Tensor, *gradients: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(each) for each in gradients)


def _no_second_derivative(*_: object) -> NoReturn:
    raise NotImplementedError("recops: next_event_loss has no second derivative")


torch.library.register_fake("recops::next_event_loss", _fake)
torch.library.register_fake("recops::next_event_loss_backward", _fake_backward)
torch.library.register_autograd("recops::next_event_loss", _grad, setup_context=_save)
torch.library.register_autograd("recops::next_event_loss_backward", _no_second_derivative)
autocast_to_float32("next_event_loss")
