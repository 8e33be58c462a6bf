"""Registry of recipes by name; each is imported at its first use."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recops_models.recipes.recipe import Recipe

_HERE = "recops_models.recipes"

_RECIPES = {
    "popularity": f"{_HERE}.popularity:recipe",
    "item-knn": f"{_HERE}.item_knn:recipe",
    "ease": f"{_HERE}.ease:recipe",
    "sasrec": f"{_HERE}.sasrec:recipe",
    "tiger": f"{_HERE}.tiger:recipe",
    "unirec": f"{_HERE}.unirec:recipe",
    "rates": f"{_HERE}.rates:recipe",
    "sum-pool": f"{_HERE}.sum_pool:recipe",
    "din": f"{_HERE}.din:recipe",
    "gru-attention": f"{_HERE}.gru_attention:recipe",
    "dien": f"{_HERE}.dien:recipe",
    "can": f"{_HERE}.can:recipe",
    "mimn": f"{_HERE}.mimn:recipe",
    "hpmn": f"{_HERE}.hpmn:recipe",
    "rocket": f"{_HERE}.rocket:recipe",
    "age": f"{_HERE}.age:recipe",
    "res-embedding": f"{_HERE}.res_embedding:recipe",
    "keep": f"{_HERE}.keep:recipe",
}


def register(name: str, target: str) -> None:
    """Register a recipe without importing it.

    An installed package can use an entry point of the group ``recops.recipes`` instead.

    Args:
        name: name on the command line.
        target: the recipe, as ``"module:attribute"``.

    Raises:
        ValueError: another recipe has the name, or ``target`` has another form.
    """
    module, separator, attribute = target.partition(":")
    if not (module and separator and attribute):
        raise ValueError(f"register: target must be 'module:attribute', got {target!r}")
    if _RECIPES.get(name, target) != target:
        raise ValueError(f"register: {name!r} must be a new name, but {_RECIPES[name]} has it")
    _RECIPES[name] = target


def names() -> tuple[str, ...]:
    """Return the names of all recipes."""
    _installed()
    return tuple(_RECIPES)


def recipe_of(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        ValueError: unknown name.
        ImportError: the recipe cannot be imported.
    """
    if name not in _RECIPES:
        _installed()
    if name not in _RECIPES:
        raise ValueError(f"no model {name!r}; available: {', '.join(_RECIPES)}")
    module, _, attribute = _RECIPES[name].partition(":")
    from recops_models.recipes.recipe import (
        Recipe,  # This imports torch, which names() does without.
    )

    recipe = getattr(importlib.import_module(module), attribute)
    if not isinstance(recipe, Recipe):
        raise ImportError(f"{_RECIPES[name]} must be a Recipe, got {type(recipe).__name__}")
    return recipe


@cache
def _installed() -> None:
    for entry in entry_points(group="recops.recipes"):
        register(entry.name, entry.value)
