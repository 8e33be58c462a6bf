"""Recipe of ``mimn``."""

from __future__ import annotations

from recops_models.click.mimn import Mimn, MimnConfig
from recops_models.click.mimn_released import ReleasedMimn
from recops_models.examples.features import FittedSchema
from recops_models.recipes.click import DROPOUT, ClickRecipe


def make_mimn(schema: FittedSchema, config: MimnConfig) -> Mimn:
    """Return a MIMN, or a :class:`ReleasedMimn` if the sizes name the quirk "channels"."""
    return (ReleasedMimn if "channels" in config.compat else Mimn)(schema, config)


recipe = ClickRecipe("mimn", make_mimn, MimnConfig(dropout=DROPOUT))
