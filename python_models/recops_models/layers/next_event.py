"""Auxiliary loss of DIEN, which trains states to distinguish the next event from a random one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops
from recops._dtypes import widest_dtype
from recops_models import workers
from recops_models.layers.mlp import MLP

ScorerKind = Literal["mlp", "inner"]


class NextEvent(nn.Module):
    """DIEN's auxiliary loss: a state must score the next event above a random event of the batch.

    ``−[log σ(s(h_t, e_{t+1})) + log(1 − σ(s(h_t, e⁻_{t+1})))]``, the mean over all (user, t) with a
    next event.

    The scorer s is the inner product ``h·e`` (suggested by the paper's notation) or ``MLP([h, e])``
    (as in its released code), the same for both terms. With ``W_1 = [W_h, W_e]``, the first layer
    is ``W_h h + W_e e``, so one product per state and one per event serve both terms.

    With several workers, the mean is over all of them, and negatives come from a worker's own share
    of the batch.

    A negative e⁻ is a uniformly drawn event of the batch with all its features, so popular items
    are drawn more often. It may be an event of the same user, as in the released code. If it equals
    the next event, the second term is left out. Draws come from torch's generator, as for dropout.

    Source: Zhou et al., Deep Interest Evolution Network, AAAI 2019, equations 6 and 7. Sums run
    over valid positions. The released code divides by all positions, padding included
    (``over_all_cells``), so its weight shrinks with padding.

    Args:
        width: width of a state and of an event.
        hidden: widths of the MLP's hidden layers, at least one.
        scorer: "mlp" or "inner".
        affine: first scale and shift [h, e] by learnt numbers, like a batch norm with mean 0 and
            variance 1.
        over_all_cells: divide by B (T − 1) instead of the number of valid positions.

    Raises:
        ValueError: an MLP without a hidden layer.

    Example:
        >>> import torch
        >>> from recops_models.layers.next_event import NextEvent
        >>> loss = NextEvent(width=4, hidden=(8,))
        >>> states, events = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
        >>> loss(states, events, lengths=torch.tensor([5, 3])).shape
        torch.Size([])
    """

    def __init__(
        self,
        width: int,
        hidden: Sequence[int] = (100, 50),
        scorer: ScorerKind = "mlp",
        *,
        affine: bool = False,
        over_all_cells: bool = False,
    ) -> None:
        super().__init__()
        self.over_all_cells = over_all_cells
        self.scorer = scorer
        if scorer == "inner":
            return
        if not hidden:
            raise ValueError("NextEvent: hidden must name at least one layer")
        self.first = nn.Linear(2 * width, hidden[0])
        self.rest = MLP(hidden[0], hidden[1:], 1, activation_name="sigmoid")
        self.scale = nn.Parameter(torch.ones(2 * width)) if affine else None
        self.shift = nn.Parameter(torch.zeros(2 * width)) if affine else None

    def forward(self, states: Tensor, events: Tensor, lengths: Tensor) -> Tensor:
        """Return the loss, a scalar in float32; 0 if no event follows another.

        Args:
            states: h ``[B, T, d]``.
            events: e ``[B, T, d]``.
            lengths: ``[B]``.
        """
        rows, steps = events.shape[:2]
        drawn = draw_events(lengths, rows, max(steps - 1, 0), steps)
        cells = lengths.new_full((), drawn.numel())
        if not self.over_all_cells:
            cells = (lengths - 1).clamp(min=0).sum()
        return self._total(states, events, drawn, lengths) / workers.at_least_one(cells)

    def _total(self, states: Tensor, events: Tensor, drawn: Tensor, lengths: Tensor) -> Tensor:
        """Return the sum of both terms."""
        if self.scorer == "inner":
            return _inner_sums(states, events, drawn, lengths)
        dtype = torch.promote_types(states.dtype, events.dtype)
        return recops.next_event_loss(
            states.to(dtype), events.to(dtype), drawn, self.layers(), lengths=lengths
        )

    def layers(self) -> list[Tensor]:
        """Return the MLP's weights and biases in turn, with scale and shift folded in."""
        weight: Tensor = self.first.weight
        bias: Tensor = self.first.bias
        if self.scale is not None and self.shift is not None:
            weight, bias = weight * self.scale, F.linear(self.shift, weight, bias)
        linear = [layer for layer in self.rest if isinstance(layer, nn.Linear)]
        return [weight, bias, *(w for layer in linear for w in (layer.weight, layer.bias))]


def _inner_sums(states: Tensor, events: Tensor, drawn: Tensor, lengths: Tensor) -> Tensor:
    """Return the sum of both terms, with inner products as scores."""
    is_cell = torch.arange(1, events.shape[1], device=events.device) < lengths[:, None]
    earlier, negatives, following = states[:, :-1], rows_of(events, drawn), events[:, 1:]
    is_different = is_cell & (negatives != following).any(-1)
    next_scores, drawn_scores = (earlier * following).sum(-1), (earlier * negatives).sum(-1)
    total = (F.softplus(-next_scores.float()) * is_cell).sum()
    return total + (F.softplus(drawn_scores.float()) * is_different).sum()


def rows_of(events: Tensor, drawn: Tensor) -> Tensor:
    """Gather ``[B, T − 1, ·]``; the gradient has the same bits at any thread count.

    Args:
        events: ``[B, T, ·]``.
        drawn: ``[B, T − 1]`` i64, indices into ``events.flatten(0, 1)``.

    Example:
        >>> import torch
        >>> from recops_models.layers.next_event import rows_of
        >>> events = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
        >>> rows_of(events, torch.tensor([[3], [0]])).tolist()
        [[[4.0]], [[1.0]]]
    """
    return F.embedding(drawn, events.flatten(0, 1))


def draw_events(lengths: Tensor, rows: int, columns: int, width: int) -> Tensor:
    """Draw ``[rows, columns]`` indices into ``[B, T]`` flattened, uniform over all valid events.

    Args:
        lengths: ``[B]``.
        rows: number of rows of the result.
        columns: number of columns of the result.
        width: T.

    Example:
        >>> import torch
        >>> from recops_models.layers.next_event import draw_events
        >>> drawn = draw_events(torch.tensor([2, 0, 1]), rows=3, columns=4, width=2)
        >>> drawn.shape, bool(torch.isin(drawn, torch.tensor([0, 1, 4])).all())  # valid events
        (torch.Size([3, 4]), True)
    """
    ends = lengths.cumsum(0)  # (B,)
    if not len(lengths):
        return lengths.new_zeros(rows, columns)
    device = lengths.device
    share = torch.rand(rows, columns, dtype=widest_dtype(device), device=device)
    event = (share * ends[-1]).long().clamp(max=(ends[-1] - 1).clamp(min=0))
    row = torch.searchsorted(ends, event, right=True).clamp(max=len(lengths) - 1)
    return row * width + (event - (ends - lengths)[row]).clamp(min=0)
