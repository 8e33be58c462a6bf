"""Recipe of ``hpmn``."""

from __future__ import annotations

from recops_models.click.hpmn import Hpmn, HpmnConfig
from recops_models.recipes.click import DROPOUT, ClickRecipe

recipe = ClickRecipe("hpmn", Hpmn, HpmnConfig(dropout=DROPOUT))
