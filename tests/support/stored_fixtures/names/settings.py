"""Names of settings: what ``--set`` and ``config.json`` call them, and which values they accept."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union

from recops_models.recipes.registry import names, recipe_of
from recops_models.tokenizers import METHODS


def setting_names() -> dict[str, set[str]]:
    """Collect the settings of recipes, with their keys in ``config.json``, and of tokenizers."""
    recipes = {line for model in names() for line in _recipe_settings(model)}
    tokenizers = {
        f"{method}: {name}: {kind}"
        for method, tokenizer in METHODS.items()
        for name, hint in typing.get_type_hints(tokenizer.settings_type).items()
        for kind in _kinds(hint)
    }
    return {"settings of recipes": recipes, "settings of tokenizers": tokenizers}


def _recipe_settings(model: str) -> Iterator[str]:
    recipe = recipe_of(model)
    nets = recipe.nets({})
    for part, settings in {**recipe.defaults(), **nets}.items():
        hints = typing.get_type_hints(type(settings))
        for field in dataclasses.fields(settings):
            if field.name in recipe.derived:
                continue
            name = f"{part}.{field.name}" if part in nets else field.name
            for kind in _kinds(hints[field.name]):
                yield f"{model}: --set {name}, {part}.{field.name} in config.json: {kind}"


def _kinds(hint: Any) -> Iterator[str]:
    """List what a type hint accepts: each value of a literal, each member of a union."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        yield from map(repr, options)
    elif origin in (Union, UnionType):
        for option in options:
            yield from _kinds(option)
    elif origin is tuple:
        yield from (f"list of {kind}" for kind in _kinds(options[0]))
    else:
        yield "none" if hint is NoneType else str(hint.__name__)
