"""Composite of DIEN's next-event loss, over all cells with a mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from recops.ops._composite import check_range, sum_by_row, vector_jacobian
from recops.ops._shapes import check_dim, check_shape

_MOST_HIDDEN = 8


def next_event_loss(
    states: Tensor,
    events: Tensor,
    drawn: Tensor,
    lengths: Tensor,
    layers: Sequence[Tensor],
    differentiate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute ``recops::next_event_loss``.

    Slower than a dedicated kernel: hidden units of all cells go through memory, padding included,
    and gradients of drawn events are sorted and summed in log₂ passes.
    """
    op, like = "next_event_loss", layers[0]
    _check_shapes(op, states, events, drawn, lengths, layers)
    rows, steps, width = states.shape
    check_range(op, "lengths", lengths, 0, steps, error=ValueError)
    cells = max(steps - 1, 0)
    is_cell = torch.arange(1, cells + 1, device=states.device) < lengths[:, None]
    drawn = drawn.where(is_cell, 0)
    check_range(op, "drawn", drawn.where(is_cell, 0), 0, max(rows * steps - 1, 0))

    def read(values: Tensor) -> Tensor:
        """Return values ``[B, T − 1, d]`` in the dtype of computation, zero in padding."""
        return values.to(like.dtype).where(is_cell[:, :, None], 0)

    negatives = events.flatten(0, 1)[drawn] if rows * cells else events[:, :cells]
    inputs = [read(states[:, :cells]), read(events[:, 1:]), read(negatives)]

    def loss(states: Tensor, positive: Tensor, negative: Tensor, *layers: Tensor) -> list[Tensor]:
        is_different = is_cell & (positive != negative).any(-1)
        scores, drawn_scores = _scores(states, [positive, negative], layers)
        terms = F.softplus(-scores).where(is_cell, 0)
        return [(terms + F.softplus(drawn_scores).where(is_different, 0)).sum()]

    (total,) = loss(*inputs, *layers)
    if not differentiate:
        empty = like.new_empty(0)
        return total, empty, empty.clone(), empty.clone()
    leaves = [*inputs, *layers]
    of_states, of_positive, of_negative, *of_layers = vector_jacobian(
        loss, leaves, [torch.ones_like(total)]
    )
    grad_states = F.pad(of_states, (0, 0, 0, steps - cells))
    grad_events = F.pad(of_positive, (0, 0, steps - cells, 0))
    of_drawn = sum_by_row(
        of_negative.flatten(0, 1), drawn.where(is_cell, -1).flatten(), rows * steps
    )
    grad_events = grad_events + of_drawn.view(rows, steps, width)
    return total, grad_states, grad_events, torch.cat([grad.flatten() for grad in of_layers])


def next_event_loss_backward(
    grad: Tensor, grad_states: Tensor, grad_events: Tensor, grad_parameters: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Multiply the gradients of the loss by the gradient of the loss itself."""
    return grad * grad_states, grad * grad_events, grad * grad_parameters


def _check_shapes(
    op: str,
    states: Tensor,
    events: Tensor,
    drawn: Tensor,
    lengths: Tensor,
    layers: Sequence[Tensor],
) -> None:
    """Check the shapes of sequences and layers."""
    check_dim(op, "states", states, 3)
    rows, steps, width = states.shape
    check_shape(op, "events", events, rows, steps, width)
    check_shape(op, "drawn", drawn, rows, max(steps - 1, 0))
    check_shape(op, "lengths", lengths, rows)
    if len(layers) % 2 or not 4 <= len(layers) <= 2 * (_MOST_HIDDEN + 1):
        raise ValueError(
            f"{op}: layers must be a weight and a bias of 2 to {_MOST_HIDDEN + 1} layers, "
            f"got {len(layers)} tensors"
        )
    inputs = 2 * width
    for weight, bias in zip(layers[::2], layers[1::2], strict=True):
        check_dim(op, "layers", bias, 1)
        check_shape(op, "layers", weight, len(bias), inputs)
        inputs = len(bias)
    if inputs != 1:
        raise ValueError(f"{op}: layers must end in one score, got {inputs}")


def _scores(states: Tensor, events: Sequence[Tensor], layers: Sequence[Tensor]) -> list[Tensor]:
    """Return the scores ``[B, T − 1]`` of each of the events after states.

    All events share the product of the first layer with the states.
    """
    first, bias = layers[:2]
    width = states.shape[-1]
    of_states = F.linear(states, first[:, :width], bias)
    scores = []
    for event in events:
        hidden = (of_states + F.linear(event, first[:, width:])).sigmoid()
        for weight, bias in zip(layers[2:-2:2], layers[3:-2:2], strict=True):
            hidden = F.linear(hidden, weight, bias).sigmoid()
        scores.append(F.linear(hidden, layers[-2], layers[-1])[..., 0])
    return scores
