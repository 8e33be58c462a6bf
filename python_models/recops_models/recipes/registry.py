"""The recipes by name; one is imported when it is first asked for."""

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
    "sasrec": f"{_HERE}.sasrec:recipe",
    "tiger": f"{_HERE}.tiger:recipe",
    "unirec": f"{_HERE}.unirec:recipe",
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


def register(name: str, place: str) -> None:
    """Name a recipe without importing it.

    A package may do so without a call, by an entry point of the group ``recops.recipes``.

    Args:
        name: as the command line is to take it.
        place: ``"module:attribute"``.

    Raises:
        ValueError: the name is taken by another recipe, or ``place`` is not written so.
    """
    module, separator, attribute = place.partition(":")
    if not (module and separator and attribute):
        raise ValueError(f"register: place must be 'module:attribute', got {place!r}")
    if _RECIPES.get(name, place) != place:
        raise ValueError(f"register: {name!r} must be a new name, got that of {_RECIPES[name]}")
    _RECIPES[name] = place


def names() -> tuple[str, ...]:
    """Of all recipes."""
    _installed()
    return tuple(_RECIPES)


def recipe_of(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none.
        ImportError: it cannot be imported.
    """
    if name not in _RECIPES:
        _installed()
    if name not in _RECIPES:
        raise ValueError(f"no model {name!r}; there are {', '.join(_RECIPES)}")
    module, _, attribute = _RECIPES[name].partition(":")
    from recops_models.recipes.recipe import Recipe  # Which imports torch; names() does not.

    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, Recipe):
        raise ImportError(f"{_RECIPES[name]} must be a Recipe, got {type(found).__name__}")
    return found


@cache
def _installed() -> None:
    for entry in entry_points(group="recops.recipes"):
        register(entry.name, entry.value)
