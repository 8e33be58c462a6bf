"""Settings of a job from text, as ``--set name=value`` gives them."""

from __future__ import annotations

import typing
from collections.abc import Mapping

from recops_models.recipes.job import default_parts, find_setting
from recops_models.recipes.parts import Parts
from recops_models.recipes.registry import recipe_of
from recops_models.settings import parse_setting


def parse_settings(
    model: str,
    texts: Mapping[str, str],
    *,
    preset: str | None = None,
    parts: Parts | None = None,
) -> dict[str, object]:
    """Return typed values for :meth:`Job.of`.

    Args:
        model: name of a recipe.
        texts: values by name, as texts; see :func:`~recops_models.settings.parse_setting`.
        preset: the preset that the texts override. Nets that it chooses have settings too. Its
            values are not part of the result.
        parts: settings by part; None: the defaults of the model and of the nets that are chosen.

    Raises:
        ValueError: unknown model, preset or setting, or a text that is no such value.

    Example:
        >>> parse_settings("din", {"epochs": "3", "hidden": "64,32"})
        {'epochs': 3, 'hidden': (64, 32)}
    """
    recipe = recipe_of(model)
    chosen = {**(recipe.preset(preset) if preset is not None else {}), **texts}
    if parts is None:
        parts = default_parts(recipe, chosen)
    values = {}
    for name, text in texts.items():
        part, field = find_setting(recipe, parts, name)
        kind = typing.get_type_hints(type(parts[part]))[field]
        values[name] = parse_setting(field, kind, text)
    return values
