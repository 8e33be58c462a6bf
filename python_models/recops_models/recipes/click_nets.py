"""The click models that a wrapper may be told to take, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from recops_models.click.model import ClickConfig
from recops_models.recipes.click import ClickRecipe
from recops_models.recipes.parts import PartSettings
from recops_models.recipes.registry import names, recipe_of

NetRecipe: TypeAlias = ClickRecipe[ClickConfig]


def click_net(wrapper: str, name: str | None) -> NetRecipe:
    """The recipe of the click model ``name``.

    Raises:
        ValueError: there is none; the text names ``wrapper``.
    """
    found = recipe_of(name) if name in names() and name is not None else None
    if not isinstance(found, ClickRecipe):
        there = [each for each in names() if isinstance(recipe_of(each), ClickRecipe)]
        raise ValueError(f"{wrapper}: no net {name!r}; there are {', '.join(there)}")
    return found


def base_part(wrapper: str, chosen: Mapping[str, object], usual: str) -> dict[str, PartSettings]:
    """The part ``base``: the default sizes of the net that ``chosen`` settings name, else those of
    ``usual``.

    Raises:
        ValueError: no such net.
    """
    return {"base": click_net(wrapper, str(chosen.get("base", usual))).sizes}


def light_and_booster(chosen: Mapping[str, object]) -> tuple[NetRecipe, NetRecipe | None]:
    """The recipes of a rocket's two nets; with ``light`` none, the booster's is that of both.

    Raises:
        ValueError: no such net, or no light net.
    """
    light, booster = (
        None if chosen[net] in (None, "none") else str(chosen[net]) for net in ("light", "booster")
    )
    of_light = click_net("rocket", light or booster)
    return of_light, None if booster is None else click_net("rocket", booster)
