"""Recurrent layers with weights: GRU, AGRU and AUGRU over histories."""

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
    """The states of :func:`recops.recurrent_layer`, beginning from zero.

    Weights stand as in ``nn.GRU`` and begin as there, uniformly within ``±1/√hidden``. As
    TensorFlow 1's GRUCell has it, there is one bias, gates' biases begin at 1 (z then keeps 73 % of
    a state), and matrices by Glorot's uniform law.

    Args:
        inputs: the width of an event.
        hidden: H.
        cell: see :func:`recops.recurrent_scan`, as ``reset`` and ``update``.
        reset: where the reset gate stands.
        update: how attention enters an AUGRU.
        tensorflow: begin as GRUCell does, with one bias.
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
        self._begin(tensorflow)

    @torch.no_grad()
    def _begin(self, tensorflow: bool) -> None:
        hidden, inputs = self.weight_hh.shape[1], self.weight_ih.shape[1]
        if not tensorflow:
            for parameter in self.parameters():
                parameter.uniform_(-(hidden**-0.5), hidden**-0.5)
            return
        gates, candidate = slice(0, 2 * hidden), slice(2 * hidden, None)
        for rows in (gates, candidate):  # One matrix [x, h] → each.
            written = len(self.bias_ih[rows])
            limit = (6 / (inputs + hidden + written)) ** 0.5
            self.weight_ih[rows].uniform_(-limit, limit)
            self.weight_hh[rows].uniform_(-limit, limit)
        self.bias_ih.zero_()[gates] = 1

    def forward(
        self, x: Tensor, lengths: Tensor, attention: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``[B, T, H]``, zero past the lengths, and the last state ``[B, H]``.

        Args:
            x: ``[B, T, inputs]``.
            lengths: ``[B]``.
            attention: ``[B, T]``, for "agru" and "augru" alone.
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
        """Last states ``[C, H]`` of C candidates who read one history, projected once.

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
