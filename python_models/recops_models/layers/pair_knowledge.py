"""Knowledge of a user with an item, from what is known of each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class PairKnowledge(nn.Module):
    """``K_ui = K_u ∘ K_i + W_2 prelu(W_1 [K_u, K_i, K_u ∘ K_i] + b_1) + b_2``: all ``[B, d]``.

    It reads nothing but the two rows that are stored, so that a pair costs two look-ups and
    O(d · hidden). KEEP's knowledge of interactions is confirmed, this form of it is inferred; that
    the product passes by the net is ours: see :class:`~recops_models.click.extractor.Extractor`.

    Args:
        width: d.
        hidden: of the layer between.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(3 * width, hidden)
        self.activation = nn.PReLU(hidden)
        self.second = nn.Linear(hidden, width)

    @classmethod
    def shaped(cls, weights: Mapping[str, Tensor]) -> PairKnowledge:
        """One for such weights, still without them."""
        return cls(len(weights["second.bias"]), len(weights["first.bias"]))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """``[B, d]`` of ``[B, d]`` and ``[B, d]``."""
        product = user * item
        hidden = self.activation(self.first(torch.cat([user, item, product], -1)))
        pair: Tensor = product + self.second(hidden)
        return pair
