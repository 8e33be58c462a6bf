"""Click models by name, as the nets of wrappers such as ``age`` and ``rocket``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from recops_models.click.model import ClickConfig
from recops_models.recipes.click import ClickRecipe
from recops_models.recipes.parts import PartSettings
from recops_models.recipes.registry import names, recipe_of

NetRecipe: TypeAlias = ClickRecipe[ClickConfig]


def click_net(wrapper: str, name: str | None) -> NetRecipe:
    """Return the recipe of the click model ``name``.

    Raises:
        ValueError: unknown model; the message names ``wrapper``.
    """
    recipe = recipe_of(name) if name in names() and name is not None else None
    if not isinstance(recipe, ClickRecipe):
        known = [each for each in names() if isinstance(recipe_of(each), ClickRecipe)]
        raise ValueError(f"{wrapper}: no net {name!r}; available: {', '.join(known)}")
    return recipe


def base_part(wrapper: str, chosen: Mapping[str, object], usual: str) -> dict[str, PartSettings]:
    """Return the part ``base``: default sizes of the net in ``chosen``, or of the net ``usual``.

    Raises:
        ValueError: unknown net.
    """
    return {"base": click_net(wrapper, str(chosen.get("base", usual))).sizes}


def light_and_booster(chosen: Mapping[str, object]) -> tuple[NetRecipe, NetRecipe | None]:
    """Return the recipes of a rocket's light net and booster.

    Without a setting ``light``, both nets have the booster's recipe.

    Raises:
        ValueError: unknown net, or neither net is set.
    """
    light, booster = (
        None if chosen[net] in (None, "none") else str(chosen[net]) for net in ("light", "booster")
    )
    of_light = click_net("rocket", light or booster)
    return of_light, None if booster is None else click_net("rocket", booster)
