"""The click models that a wrapper may be told to take, by name."""

from __future__ import annotations

from recops_models.click.model import ClickConfig
from recops_models.recipes.click import ClickRecipe
from recops_models.recipes.registry import names, recipe_of


def click_net(wrapper: str, name: str | None) -> ClickRecipe[ClickConfig]:
    """The recipe of the click model ``name``.

    Raises:
        ValueError: there is none; the text names ``wrapper``.
    """
    found = recipe_of(name) if name in names() and name is not None else None
    if not isinstance(found, ClickRecipe):
        there = [each for each in names() if isinstance(recipe_of(each), ClickRecipe)]
        raise ValueError(f"{wrapper}: no net {name!r}; there are {', '.join(there)}")
    return found
