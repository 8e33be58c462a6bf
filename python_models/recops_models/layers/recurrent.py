"""Recurrent layers over histories: GRU, AGRU and AUGRU."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops

Cell = Literal["gru", "agru", "augru"]
Reset = Literal["after", "before"]
Update = Literal["paper", "or"]


class Recurrent(nn.Module):
    """Learnable :func:`recops.recurrent_layer` with a zero initial state.

    Weights have the layout and the initial distribution of ``nn.GRU``, uniform in ``±1/√hidden``.
    With ``tensorflow``, they follow TensorFlow 1's GRUCell: one bias, gate biases of 1 (z then
    keeps 73 % of a state), and matrices from Glorot's uniform law.

    Args:
        inputs: the width of an event.
        hidden: H.
        cell: see :func:`recops.recurrent_scan`.
        reset: position of the reset gate, see :func:`recops.recurrent_scan`.
        update: how attention enters an AUGRU, see :func:`recops.recurrent_scan`.
        tensorflow: initialise as GRUCell does.

    Example:
        >>> import torch
        >>> from recops_models.layers.recurrent import Recurrent
        >>> augru = Recurrent(4, 8, "augru")
        >>> events, attention = torch.randn(2, 5, 4), torch.rand(2, 5)
        >>> states, last = augru(events, torch.tensor([5, 3]), attention)
        >>> states.shape, last.shape
        (torch.Size([2, 5, 8]), torch.Size([2, 8]))
    """

    bias_hh: Tensor | None

    def __init__(
        self,
        inputs: int,
        hidden: int,
        cell: Cell = "gru",
        *,
        reset: Reset = "after",
        update: Update = "paper",
        tensorflow: bool = False,
    ) -> None:
        super().__init__()
        self.cell: Cell = cell
        self.reset: Reset = reset
        self.update: Update = update
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden))
        self.register_parameter(
            "bias_hh", None if tensorflow else nn.Parameter(torch.empty(3 * hidden))
        )
        self._reset_parameters(tensorflow)

    @torch.no_grad()
    def _reset_parameters(self, tensorflow: bool) -> None:
        hidden, inputs = self.weight_hh.shape[1], self.weight_ih.shape[1]
        if not tensorflow:
            for parameter in self.parameters():
                parameter.uniform_(-(hidden**-0.5), hidden**-0.5)
            return
        gates, candidate = slice(0, 2 * hidden), slice(2 * hidden, None)
        for rows in (gates, candidate):  # GRUCell has one matrix of [x, h] for each.
            outputs = len(self.bias_ih[rows])
            limit = (6 / (inputs + hidden + outputs)) ** 0.5
            self.weight_ih[rows].uniform_(-limit, limit)
            self.weight_hh[rows].uniform_(-limit, limit)
        self.bias_ih.zero_()[gates] = 1

    def forward(
        self, x: Tensor, lengths: Tensor, attention: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the states ``[B, T, H]``, zero past the lengths, and the last states ``[B, H]``.

        Args:
            x: ``[B, T, inputs]``.
            lengths: ``[B]``.
            attention: ``[B, T]``; only for "agru" and "augru".
        """
        return recops.recurrent_layer(
            x,
            self.weight_ih,
            self.weight_hh,
            self.bias_ih,
            self.bias_hh,
            attention=attention,
            lengths=lengths,
            cell=self.cell,
            reset=self.reset,
            update=self.update,
        )

    def candidates(self, x: Tensor, lengths: Tensor, attention: Tensor) -> Tensor:
        """Return the last states ``[C, H]`` of C candidates that share one history.

        The history is projected once.

        Args:
            x: ``[1, T, inputs]``.
            lengths: ``[1]``.
            attention: ``[C, T]``.
        """
        _, last = recops.recurrent_scan(
            F.linear(x, self.weight_ih, self.bias_ih),
            self.weight_hh,
            self.bias_hh,
            attention=attention,
            lengths=lengths,
            gates_index=torch.zeros(len(attention), dtype=torch.int64, device=x.device),
            cell=self.cell,
            reset=self.reset,
            update=self.update,
        )
        return last
