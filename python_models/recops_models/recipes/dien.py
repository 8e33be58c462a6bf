"""Recipe of ``dien``."""

from __future__ import annotations

from recops_models.click.dien import Dien, DienConfig
from recops_models.click.dien_released import ReleasedDien
from recops_models.examples.features import FittedSchema
from recops_models.recipes.click import DROPOUT, ClickRecipe


def make_dien(schema: FittedSchema, config: DienConfig) -> Dien:
    """Return a DIEN, or a :class:`ReleasedDien` if the sizes name quirks of the released code."""
    return (ReleasedDien if config.compat else Dien)(schema, config)


recipe = ClickRecipe("dien", make_dien, DienConfig(dropout=DROPOUT))
