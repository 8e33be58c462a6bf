"""Models with more or fewer labels of the history, to separate the labels from the items."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recops_models.click.din import Din, DinConfig
from recops_models.click.mimn import Mimn, MimnConfig
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN
from recops_models.examples.features import FittedSchema
from recops_models.examples.lookup import UNKNOWN
from recops_models.layers.rate_features import RateConfig, RateFeatures
from recops_models.recipes.click import DROPOUT, ClickRecipe
from recops_models.recipes.registry import register

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
        self.rates = nn.ModuleList(
            RateFeatures(schema, RateConfig(half_life=half_life)) for half_life in HALF_LIVES
        )
        self.columns = _recent_columns(schema)

    def output_dim(self) -> int:
        """Return the width of the MLP's input."""
        return super().output_dim() + len(HALF_LIVES) * len(_recent_columns(self.schema))

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        """Return the input of the MLP, ``[B, output_dim]``."""
        x, _ = super().bottom(batch)
        return torch.cat([x, *(rates(batch)[:, self.columns] for rates in self.rates)], 1), None


class DinWithoutLabels(Din):
    """DIN that reads the items of the history, but not their labels."""

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        """Return the input of the MLP, ``[B, output_dim]``."""
        return super().bottom(without_labels(batch))


class MimnWithoutLabels(Mimn):
    """MIMN whose memory is written from the items of the history, but not from their labels."""

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the input of the MLP, ``[B, output_dim]``, and the memory's losses."""
        return super().bottom(without_labels(batch))


def without_labels(batch: Batch) -> Batch:
    """Return a batch in which every event of the history has the label of unknown values."""
    sign = batch.features[SIGN]
    hidden = torch.where(sign > 0, UNKNOWN, sign)
    return batch._replace(features={**batch.features, SIGN: hidden})


def _recent_columns(schema: FittedSchema) -> list[int]:
    rates = RateFeatures(schema, RateConfig()).rates
    return [index for index, name in enumerate(rates) if name.startswith("recent")]


din_recent = ClickRecipe("din-recent", DinWithRecentRates, DinConfig(dropout=DROPOUT))
din_unlabelled = ClickRecipe("din-unlabelled", DinWithoutLabels, DinConfig(dropout=DROPOUT))
mimn_unlabelled = ClickRecipe("mimn-unlabelled", MimnWithoutLabels, MimnConfig(dropout=DROPOUT))


def register_recipes() -> None:
    """Register the recipes. Importing this module does not, because ``names()`` would show them."""
    for recipe in (din_recent, din_unlabelled, mimn_unlabelled):
        register(recipe.name, f"{__name__}:{recipe.name.replace('-', '_')}")
