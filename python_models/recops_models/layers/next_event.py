"""The auxiliary loss of DIEN: does a state know the event that follows it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.layers.mlp import MLP

Scorer = Literal["mlp", "inner"]

_CHUNK = 1 << 18
"""Hidden units computed at a time on a CPU, 1 MB, so that each layer finds the last one's output in
the cache."""


class NextEvent(nn.Module):
    """``−[log σ(s(h_t, e_{t+1})) + log(1 − σ(s(h_t, e⁻_{t+1})))]``, the mean over all (user, t)
    with a next event.

    The scorer s is the inner product ``h·e`` (the paper writes such a bracket), or ``MLP([h, e])``
    (its released code), one for both terms. With ``W_1 = [W_h, W_e]`` the first layer is
    ``W_h h + W_e e``: one product of each state and one of each event serve both terms.

    A negative e⁻ is another event of the batch, drawn uniformly among all of them: by popularity
    therefore, with all its features, as the released code draws from the list of all reviews, and
    as there it may be one that the user has met. Where the draw falls on the very values that were
    to be told from it, the second term is left out. Draws are from torch's generator, as dropout's
    are.

    Source: Zhou et al., Deep Interest Evolution Network, AAAI 2019, equations 6 and 7. Sums run
    over valid cells; the released code also divides by those of padding (``over_all_cells``), so
    that its weight fades with the padding of a batch.

    Args:
        width: of a state and of an event.
        hidden: the widths of the MLP's hidden layers, one at least.
        scorer: "mlp" or "inner".
        affine: [h, e] is scaled and shifted by learnt numbers first: what a batch norm is that
            nobody tells of training.
        over_all_cells: divide by B (T − 1) whatever the lengths.

    Raises:
        ValueError: an MLP without a hidden layer.
    """

    def __init__(
        self,
        width: int,
        hidden: Sequence[int] = (100, 50),
        scorer: Scorer = "mlp",
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
            raise ValueError("NextEvent: hidden must name one layer at least")
        self.first = nn.Linear(2 * width, hidden[0])
        self.rest = MLP(hidden[0], hidden[1:], 1, activation_name="sigmoid")
        self.scale = nn.Parameter(torch.ones(2 * width)) if affine else None
        self.shift = nn.Parameter(torch.zeros(2 * width)) if affine else None

    def forward(self, states: Tensor, events: Tensor, lengths: Tensor) -> Tensor:
        """The loss, a scalar in float32; 0 where no event follows another.

        Args:
            states: h ``[B, T, d]``.
            events: e ``[B, T, d]``.
            lengths: ``[B]``.
        """
        steps = torch.arange(1, events.shape[1], device=events.device)
        valid = steps < lengths[:, None]  # (B, T − 1)
        drawn = draw_events(lengths, valid.shape[0], valid.shape[1], events.shape[1])
        with torch.no_grad():
            told_apart = valid & (rows_of(events, drawn) != events[:, 1:]).any(-1)
        of_next, of_drawn = self.scores(states[:, :-1], events, drawn)
        total = (F.softplus(-of_next.float()) * valid).sum()
        total = total + (F.softplus(of_drawn.float()) * told_apart).sum()
        cells = valid.numel() if self.over_all_cells else valid.sum()
        return total / torch.as_tensor(cells, device=total.device).clamp(min=1)

    def scores(self, states: Tensor, events: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, T − 1]`` each: s of every state with the next event, and with the one drawn.

        Args:
            states: ``[B, T − 1, d]``.
            events: ``[B, T, d]``.
            drawn: ``[B, T − 1]``, rows of ``events.flatten(0, 1)``.
        """
        if self.scorer == "inner":
            negatives = rows_of(events, drawn)
            return (states * events[:, 1:]).sum(-1), (states * negatives).sum(-1)
        weight: Tensor = self.first.weight
        bias: Tensor = self.first.bias
        if self.scale is not None and self.shift is not None:
            bias, weight = F.linear(self.shift, weight, bias), weight * self.scale
        of_state, of_event = weight.chunk(2, 1)
        projected = F.linear(events, of_event)  # (B, T, hidden)
        row = F.linear(states, of_state, bias)  # (B, T − 1, hidden)
        return self._rest(row, projected[:, 1:]), self._rest(row, rows_of(projected, drawn))

    def _rest(self, row: Tensor, column: Tensor) -> Tensor:
        if row.is_cuda or torch.compiler.is_compiling():
            return self._score(row, column)
        rows = max(1, _CHUNK // max(1, row[:1].numel()))
        parts = zip(row.split(rows), column.split(rows), strict=True)
        return torch.cat([self._score(*part) for part in parts])

    def _score(self, row: Tensor, column: Tensor) -> Tensor:
        scores: Tensor = self.rest(torch.sigmoid(row + column)).squeeze(-1)
        return scores


def rows_of(events: Tensor, drawn: Tensor) -> Tensor:
    """``[B, T − 1, ·]``, as embeddings: their gradient has the same bits at any thread count."""
    return F.embedding(drawn, events.flatten(0, 1))


def draw_events(lengths: Tensor, rows: int, columns: int, width: int) -> Tensor:
    """``[rows, columns]``: places in ``[B, T]`` flattened, uniform over the events that are there.

    Args:
        lengths: ``[B]``.
        rows: of the result.
        columns: of the result.
        width: T.
    """
    ends = lengths.cumsum(0)  # (B,)
    if not len(lengths):
        return lengths.new_zeros(rows, columns)
    share = torch.rand(rows, columns, dtype=torch.float64, device=lengths.device)
    event = (share * ends[-1]).long().clamp(max=(ends[-1] - 1).clamp(min=0))
    row = torch.searchsorted(ends, event, right=True).clamp(max=len(lengths) - 1)
    return row * width + (event - (ends - lengths)[row]).clamp(min=0)
