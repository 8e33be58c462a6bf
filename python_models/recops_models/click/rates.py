"""Click baselines from counts: smoothed like rates, recent labels, pairs, and boosting on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from recops_models.click.model import ClickScorer
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.boosted_trees import BoostedTrees
from recops_models.layers.rate_features import RateConfig, RateFeatures
from recops_models.setting_checks import (
    check_above_zero,
    check_at_least,
    check_at_most,
    check_lengths,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BOOSTING = "boosting"
"""Score that boosts trees on all rates."""


@dataclass(frozen=True)
class RatesConfig(RateConfig):
    """Settings in addition to those of the rates.

    Attributes:
        scores: ``boosting``, or the names of rates, such as ``all:item,recent``. A logistic
            regression on the logits of the rates then gives the score. An unknown name is refused
            with a list of the known ones; see
            :class:`~recops_models.layers.rate_features.RateFeatures`.
        trees: maximum number of boosted trees; validation chooses how many are used.
        leaves: maximum number of leaves of a tree.
        learning_rate: factor of each tree.
        leaf_examples: minimum number of training examples of a leaf.
        l2: penalty of the values of leaves.
        select: validation metric that chooses the number of trees.

    Raises:
        ValueError: a value is out of range.

    Example:
        >>> from recops_models.click.rates import RatesConfig
        >>> RatesConfig(half_life=0)
        Traceback (most recent call last):
            ...
        ValueError: rates: half_life must be > 0, got 0
    """

    model: ClassVar[str] = "rates"
    scores: tuple[str, ...] = (BOOSTING,)
    trees: int = 300
    leaves: int = 31
    learning_rate: float = 0.05
    leaf_examples: int = 50
    l2: float = 1.0
    select: str = "auc"

    def __post_init__(self) -> None:
        check_at_least(self.model, self, strength=0, window=1, trees=1, leaves=2)
        check_at_least(self.model, self, leaf_examples=1, l2=0)
        check_above_zero(self.model, self, "strength", "half_life", "decay", "learning_rate")
        check_at_most(self.model, self, decay=1)
        check_lengths(self.model, self, scores=1)

    @property
    def is_boosted(self) -> bool:
        """True if trees give the score."""
        return self.scores == (BOOSTING,)


class Rates(ClickScorer):
    """Logit of boosted trees on all inputs, or of a logistic regression on chosen rates.

    Args:
        features: inputs of the head.
        head: from all inputs ``[B, F]``, or from the chosen rates, to ``[B, 1]``.
        schema: the features of examples, fitted.
        config: settings.

    Raises:
        ValueError: an unknown score.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from recops_models.click.rates import Rates, RatesConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.rate_features import RateFeatures
        >>> schema, batch = tiny_click_data()
        >>> config = RatesConfig(scores=("recent:category",))
        >>> model = Rates(RateFeatures(schema, config), nn.Linear(1, 1), schema, config)
        >>> model(batch).shape
        torch.Size([3])
    """

    def __init__(
        self,
        features: RateFeatures,
        head: BoostedTrees | nn.Linear,
        schema: FittedSchema,
        config: RatesConfig,
    ) -> None:
        super().__init__(schema)
        self.config = config
        self.features, self.head = features, head
        self.columns = None if config.is_boosted else features.columns(config.scores)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[B]``."""
        x = self.features(batch)
        logits: Tensor = self.head(x if self.columns is None else x[:, self.columns])
        return logits.squeeze(-1)

    def item_vectors(self, rows: Tensor) -> csr_matrix:
        """See :meth:`ClickScorer.item_vectors` and :meth:`RateFeatures.pair_vectors`."""
        return self.features.pair_vectors(rows)
