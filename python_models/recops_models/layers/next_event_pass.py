"""The auxiliary loss of an MLP and its gradient, in one pass over cells that stay in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_CELLS = 1 << 11
"""Cells at a time: both terms of a hidden layer of 100 are 1.6 MB."""

_sigmoid_backward = torch.ops.aten.sigmoid_backward
_scattered = torch.ops.aten.embedding_dense_backward


class NextEventPass(torch.autograd.Function):
    """``Σ softplus(−s(h_t, e_{t+1})) + Σ softplus(s(h_t, e⁻_{t+1}))``, s an MLP of sigmoids.

    A loss is a number, so that its gradient needs nothing that comes after it: a block of cells is
    scored and differentiated at once, and nothing of it is kept but the gradient. Same bits at any
    number of threads as far as torch's products have them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        events: Tensor,
        drawn: Tensor,
        valid: Tensor,
        told_apart: Tensor,
        *layers: Tensor,
    ) -> Tensor:
        """The sums, a scalar.

        Args:
            ctx: of autograd.
            states: h ``[B, T, d]``, of which the last of each row is not read.
            events: e ``[B, T, d]``.
            drawn: ``[B, T − 1]``, rows of ``events.flatten(0, 1)``.
            valid: ``[B, T − 1]``: which cells the first term counts.
            told_apart: ``[B, T − 1]``: which the second.
            layers: weights and biases by turns, the first layer's weight ``[hidden, 2d]``.
        """
        weights, biases = layers[::2], layers[1::2]
        negatives = F.embedding(drawn, events.flatten(0, 1))
        counted = torch.stack([valid, told_apart]).to(states.dtype)  # (2, B, T − 1)
        grads: list[Tensor] = []
        if any(ctx.needs_input_grad):
            grads = [torch.zeros_like(each) for each in (states, events, negatives, *layers)]
        total = states.new_zeros(())
        rows = max(1, _CELLS // max(1, drawn.shape[1]))
        for at in range(0, len(states) if drawn.numel() else 0, rows):
            part = slice(at, at + rows)
            own = states[part, :-1].flatten(0, 1)  # (n, d)
            pair = torch.stack([events[part, 1:], negatives[part]]).flatten(1, 2)  # (2, n, d)
            total += _block(own, pair, counted[:, part].flatten(1), weights, biases, grads, part)
        if grads:
            _, of_events, of_negatives, *_ = grads
            of_drawn = _scattered(of_negatives, drawn, events[..., 0].numel(), -1, False)
            of_events += of_drawn.view_as(events)
            del grads[2]
        ctx.save_for_backward(*grads)
        return total

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        """What was found, times the gradient of the sum."""
        of_states, of_events, *of_layers = (each * grad[0] for each in ctx.saved_tensors)
        return of_states, of_events, None, None, None, *of_layers


def _block(
    own: Tensor,
    pair: Tensor,
    counted: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    grads: Sequence[Tensor],
    part: slice,
) -> Tensor:
    """The sums of one block; its gradient is added to ``grads`` where there are any."""
    width, cells = own.shape[1], len(own)
    both = pair.flatten(0, 1)  # (2 n, d)
    of_state, of_event = weights[0].split(width, 1)
    hidden = torch.mm(both, of_event.t())
    hidden.view(2, cells, hidden.shape[1]).add_(torch.addmm(biases[0], own, of_state.t()))
    units = [hidden.sigmoid_()]
    for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
        units.append(torch.addmm(bias, units[-1], weight.t()).sigmoid_())
    scores = torch.addmv(biases[-1], units[-1], weights[-1][0]).view(2, cells)
    signs = scores.new_tensor([[-1.0], [1.0]])
    terms = F.softplus(signs * scores)
    if grads:
        of_states, of_events, of_negatives, *of_layers = grads
        of_scores = (signs * (signs * scores).sigmoid() * counted).flatten()
        of_layers[-2][0].addmv_(units[-1].t(), of_scores)
        of_layers[-1].add_(of_scores.sum())
        of_units = of_scores[:, None] * weights[-1]
        for place in range(len(units) - 1, -1, -1):
            of_units = _sigmoid_backward(of_units, units[place])
            if place:
                of_layers[2 * place].addmm_(of_units.t(), units[place - 1])
                of_layers[2 * place + 1].add_(of_units.sum(0))
                of_units = torch.mm(of_units, weights[place])
        of_first = of_units.view(2, cells, of_units.shape[1]).sum(0)  # (n, hidden)
        of_layers[0][:, :width].addmm_(of_first.t(), own)
        of_layers[0][:, width:].addmm_(of_units.t(), both)
        of_layers[1].add_(of_first.sum(0))
        shape = of_negatives[part].shape
        of_states[part, :-1] = torch.mm(of_first, of_state).view(shape)
        of_pair = torch.mm(of_units, of_event).view(2, *shape)
        of_events[part, 1:] = of_pair[0]
        of_negatives[part] = of_pair[1]
    return (terms * counted).sum()
