"""Recipe of ``din``."""

from __future__ import annotations

from recops_models.click.din import Din, DinConfig
from recops_models.recipes.click import DROPOUT, ClickRecipe

recipe = ClickRecipe("din", Din, DinConfig(dropout=DROPOUT))
