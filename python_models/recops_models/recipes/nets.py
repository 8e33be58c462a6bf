"""The nets of a wrapper: click models that its settings name."""

from __future__ import annotations

from typing import TypeAlias

from recops_models.click.model import ClickConfig
from recops_models.recipes.click import ClickRecipe
from recops_models.recipes.registry import names, recipe_of

Net: TypeAlias = ClickRecipe[ClickConfig]


def net_of(wrapper: str, name: str | None) -> Net:
    """The recipe of a click model.

    Args:
        wrapper: the recipe that asks, for the error.
        name: of the click model.

    Raises:
        ValueError: there is none.
    """
    found = recipe_of(name) if name in names() else None
    if not isinstance(found, ClickRecipe):
        there = [each for each in names() if isinstance(recipe_of(each), ClickRecipe)]
        raise ValueError(f"{wrapper}: no net {name!r}; there are {', '.join(there)}")
    return found
