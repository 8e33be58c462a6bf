"""Models with and without the labels of a history, to separate them from its items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recops_models.click.din import Din, DinConfig
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN
from recops_models.examples.features import FittedSchema
from recops_models.examples.loader import Source
from recops_models.examples.lookup import UNKNOWN
from recops_models.layers.rate_features import RateConfig, RateFeatures
from recops_models.recipes.click import DROPOUT, ClickRecipe

HALF_LIVES = (2.0, 10.0)
"""Half-lives, in events, of the recent rates that DIN reads."""


class DinWithRecentRates(Din):
    """DIN whose MLP also reads the logits of recent like rates.

    They are the user's recent rates, among all events and among those with the candidate's item
    and categories; see :class:`~recops_models.layers.rate_features.RateFeatures`.

    Args:
        schema: the features, fitted.
        config: sizes.
    """

    def __init__(self, schema: FittedSchema, config: DinConfig) -> None:
        super().__init__(schema, config)
        self.recent = nn.ModuleList(
            RateFeatures(schema, RateConfig(half_life=half_life)) for half_life in HALF_LIVES
        )
        self.columns = _recent_columns(schema)

    def output_dim(self) -> int:
        """Return the width of the MLP's input."""
        return super().output_dim() + len(HALF_LIVES) * len(_recent_columns(self.schema))

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        """Return the input of the MLP, ``[B, output_dim]``."""
        x, _ = super().bottom(batch)
        return torch.cat([x, *(rates(batch)[:, self.columns] for rates in self.recent)], 1), None


def _recent_columns(schema: FittedSchema) -> list[int]:
    rates = RateFeatures(schema, RateConfig()).rates
    return [index for index, name in enumerate(rates) if name.startswith("recent")]


recipe = ClickRecipe("din-recent", DinWithRecentRates, DinConfig(dropout=DROPOUT))


@dataclass(frozen=True)
class WithoutLabels:
    """Examples whose histories hold all events without labels.

    Attributes:
        source: the examples.
    """

    source: Source

    @property
    def num_examples(self) -> int | None:
        """Number of examples."""
        return self.source.num_examples

    def batches(
        self, batch: int, *, seed: int | None, epoch: int = 0, skip: int = 0, workers: int = 0
    ) -> Iterator[Batch]:
        """Yield the batches; see :meth:`Source.batches`."""
        for each in self.source.batches(batch, seed=seed, epoch=epoch, skip=skip, workers=workers):
            sign = each.features[SIGN]
            hidden = torch.where(sign > 0, UNKNOWN, sign)
            yield each._replace(features={**each.features, SIGN: hidden})
