"""Exploration by the gradient of the click probability with respect to the weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from recops_models.click.age import item_ids
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.exploration.scoring import Scoring
from recops_models.layers.counter_random import keys_of, normal
from recops_models.layers.head_passes import HeadPasses


class GradientScoring(Scoring):
    """Gradient-TS and gradient-UCB, and their versions with underestimation refinement (UR).

    The uncertainty of a row is the norm of its weight gradient, ``δ = ‖∇_θ f‖₂``, θ the weights and
    biases of the head's linear layers. With ε ~ N(0, 1), drawn per user and item::

        ts:   f + c δ (ε + w)
        ucb:  f + c δ (1 + w)
        w = 0,   with refinement   w = n₀ / (n₀ + n)

    n is the number of impressions of the item. Refinement raises the score of items with few
    impressions, whose click rate a model tends to underestimate.

    Sources: a baseline of AGE (Wu et al., KDD 2022), where δ is this norm; Song et al.,
    Underestimation Refinement, SIGIR 2021. Only the abstract of the latter was available. It says
    that few impressions imply underestimation and that the strategy applies to any exploration
    method. The form of w is inferred.

    Args:
        model: a click model whose head is a sequence of layers.
        kind: "ts" or "ucb".
        c: the weight of δ, ≥ 0.
        refinement: n₀, the impressions at which w is a half; None: no refinement.

    Raises:
        ValueError: c < 0, n₀ ≤ 0, or a head that cannot be read layer by layer.

    Examples:
        >>> import torch
        >>> from recops_models.layers.mlp import MLP
        >>> passes = HeadPasses(MLP(8, (16,), 1).eval())
        >>> logits, norm = passes.weight_gradient_norm(torch.randn(5, 8))
        >>> bool((norm >= 1).all())  # The gradient by the last bias is 1.
        True
    """

    def __init__(
        self,
        model: ClickModel,
        kind: Literal["ts", "ucb"],
        c: float = 1.0,
        *,
        refinement: float | None = None,
    ) -> None:
        if c < 0:
            raise ValueError(f"GradientScoring: c must be ≥ 0, got {c}")
        if refinement is not None and not refinement > 0:
            raise ValueError(f"GradientScoring: refinement must be > 0, got {refinement}")
        self.model, self.kind, self.c, self.refinement = model, kind, c, refinement
        self.passes = HeadPasses(model.head)

    @property
    def drawn(self) -> bool:
        """True for "ts", which draws ε."""
        return self.kind == "ts"

    @torch.no_grad()
    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """Return scores ``[B]``; see the class.

        Raises:
            ValueError: the model is in training, or refinement lacks ``impressions [B]``.
        """
        if self.refinement is not None and impressions is None:
            raise ValueError("GradientScoring: refinement needs impressions, got None")
        h, _ = self.model.bottom(batch)
        z, norm = self.passes.weight_gradient_norm(h)
        f = z.sigmoid()
        delta = f * (1 - f) * norm
        if self.kind == "ts":
            keys = keys_of(seed, batch.group, item_ids(self.model, batch))
            factor = normal(keys, 1).squeeze(1).to(f.dtype)
        else:
            factor = torch.ones_like(f)
        if self.refinement is not None:
            assert impressions is not None
            factor = factor + (self.refinement / (self.refinement + impressions)).to(f.dtype)
        return f + self.c * delta * factor
