"""Click models with a recipe, and their networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recops_models.click.model import ClickModel
from recops_models.examples.features import FittedSchema
from recops_models.recipes.click import ClickRecipe
from recops_models.recipes.registry import names, recipe_of

CLICK = [name for name in names() if isinstance(recipe_of(name), ClickRecipe)]


def net(name: str, schema: FittedSchema, **sizes: Any) -> ClickModel:
    """Return a new model, without dropout unless ``sizes`` sets it."""
    recipe = recipe_of(name)
    assert isinstance(recipe, ClickRecipe)
    return recipe.net(schema, replace(recipe.sizes, **{"dropout": 0.0, **sizes}))
