"""The auxiliary loss of DIEN: does a state know the event that follows it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops
from recops_models.layers.mlp import MLP

ScorerKind = Literal["mlp", "inner"]


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
        rows, steps = events.shape[:2]
        drawn = draw_events(lengths, rows, max(steps - 1, 0), steps)
        cells = lengths.new_tensor(drawn.numel())
        if not self.over_all_cells:
            cells = (lengths - 1).clamp(min=0).sum()
        return self._total(states, events, drawn, lengths) / cells.clamp(min=1)

    def _total(self, states: Tensor, events: Tensor, drawn: Tensor, lengths: Tensor) -> Tensor:
        """Both sums, in one pass where an MLP scores on a CPU."""
        if self.scorer == "inner" or events.is_cuda:
            return self.sums(states, events, drawn, lengths)
        dtype = torch.promote_types(states.dtype, events.dtype)
        linear = [layer for layer in self.rest if isinstance(layer, nn.Linear)]
        layers = [*self._first(), *(w for each in linear for w in (each.weight, each.bias))]
        return recops.next_event_loss(
            states.to(dtype), events.to(dtype), drawn, layers, lengths=lengths
        )

    def sums(self, states: Tensor, events: Tensor, drawn: Tensor, lengths: Tensor) -> Tensor:
        """Both sums, of scores written out: on any device, by any scorer."""
        valid = torch.arange(1, events.shape[1], device=events.device) < lengths[:, None]
        with torch.no_grad():
            told_apart = valid & (rows_of(events, drawn) != events[:, 1:]).any(-1)
        of_next, of_drawn = self.scores(states[:, :-1], events, drawn)
        total = (F.softplus(-of_next.float()) * valid).sum()
        return total + (F.softplus(of_drawn.float()) * told_apart).sum()

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
        weight, bias = self._first()
        of_state, of_event = weight.chunk(2, 1)
        projected = F.linear(events, of_event)  # (B, T, hidden)
        row = F.linear(states, of_state, bias)  # (B, T − 1, hidden)
        columns = (projected[:, 1:], rows_of(projected, drawn))
        of_next, of_drawn = (self.rest(torch.sigmoid(row + column)) for column in columns)
        return of_next.squeeze(-1), of_drawn.squeeze(-1)

    def _first(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the first layer, which take in what scales and shifts its input."""
        weight: Tensor = self.first.weight
        bias: Tensor = self.first.bias
        if self.scale is None or self.shift is None:
            return weight, bias
        return weight * self.scale, F.linear(self.shift, weight, bias)


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
