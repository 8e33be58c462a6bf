"""Recipe of ``sum-pool``."""

from __future__ import annotations

from recops_models.click.sum_pool import SumPool, SumPoolConfig
from recops_models.recipes.click import DROPOUT, ClickRecipe

recipe = ClickRecipe("sum-pool", SumPool, SumPoolConfig(dropout=DROPOUT))
