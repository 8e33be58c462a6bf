"""Knowledge of a user–item pair, computed from the knowledge of both."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class PairKnowledge(nn.Module):
    """``K_ui = K_u ∘ K_i + W_2 prelu(W_1 [K_u, K_i, K_u ∘ K_i] + b_1) + b_2``, all ``[B, d]``.

    It reads only the two stored rows, so a pair costs two lookups and O(d · hidden). In KEEP,
    knowledge of interactions is confirmed; this form is inferred, and the direct product term is
    the project's own, see :class:`~recops_models.click.extractor.Extractor`.

    ``bases`` are the rotations of aligned knowledge: the rows that are read are ``K_u R_u`` and
    ``K_i R_i``, and the result is ``K_ui R_ui``.

    Args:
        width: d.
        hidden: width of the hidden layer.
        bases: ``[3, d, d]``, the orthogonal R_u, R_i and R_ui; None: no rotation.

    Example:
        >>> import torch
        >>> from recops_models.layers.pair_knowledge import PairKnowledge
        >>> PairKnowledge(width=4, hidden=8)(torch.randn(3, 4), torch.randn(3, 4)).shape
        torch.Size([3, 4])
    """

    bases: Tensor | None

    def __init__(self, width: int, hidden: int, bases: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("bases", bases)
        self.first = nn.Linear(3 * width, hidden)
        self.activation = nn.PReLU(hidden)
        self.second = nn.Linear(hidden, width)

    @classmethod
    def shaped(cls, weights: Mapping[str, Tensor]) -> PairKnowledge:
        """Return a net with the shapes of these weights."""
        return cls(len(weights["second.bias"]), len(weights["first.bias"]), weights.get("bases"))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Return ``K_ui [B, d]`` of ``K_u [B, d]`` and ``K_i [B, d]``."""
        if self.bases is not None:
            user, item = user @ self.bases[0].T, item @ self.bases[1].T
        product = user * item
        hidden = self.activation(self.first(torch.cat([user, item, product], -1)))
        pair: Tensor = product + self.second(hidden)
        return pair if self.bases is None else pair @ self.bases[2]
