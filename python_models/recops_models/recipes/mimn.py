"""The recipe of ``mimn``."""

from __future__ import annotations

from recops_models.click.mimn import Mimn, MimnConfig
from recops_models.recipes.click import DROPOUT, ClickRecipe

recipe = ClickRecipe("mimn", Mimn, MimnConfig(dropout=DROPOUT))
