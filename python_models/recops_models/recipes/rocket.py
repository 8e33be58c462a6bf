"""Recipe of ``rocket``: a light net is trained with a booster, and saved alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from recops_models.click.rocket import Rocket, RocketConfig
from recops_models.examples.features import FittedSchema
from recops_models.recipes.click import example_parts
from recops_models.recipes.click_nets import light_and_booster
from recops_models.recipes.parts import Parts, PartSettings, part
from recops_models.recipes.recipe import HEAD_SETTINGS, Recipe

if TYPE_CHECKING:
    from recops_models.recipes.stage import AnyStage

_LIGHT_HIDDEN = (16, 8)


class RocketRecipe(Recipe):
    """Recipe of both nets; their settings are dotted (``light.hidden``, ``booster.width``)."""

    name = "rocket"
    data_kind = "click"
    sizes = RocketConfig()
    derived = HEAD_SETTINGS

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`: sizes, training and examples."""
        return {"sizes": self.sizes, **example_parts()}

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """See :meth:`Recipe.nets`: the part ``light``, and ``booster`` if there is one."""
        light, booster = light_and_booster({**vars(self.sizes), **chosen})
        nets: dict[str, PartSettings] = {} if booster is None else {"booster": booster.sizes}
        return {**nets, "light": dataclasses.replace(light.sizes, hidden=_LIGHT_HIDDEN)}

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`: one training of both nets."""
        from recops_models.recipes.rocket_stage import RocketStage

        return (RocketStage(),)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> nn.Module:
        """Raise ValueError: files hold only the light net, under that net's name."""
        raise ValueError("rocket: files hold only the light net, under that net's name")

    def for_saving(self, model: nn.Module, parts: Parts) -> tuple[str, nn.Module]:
        """See :meth:`Recipe.for_saving`: the light net, under its own name."""
        assert isinstance(model, Rocket)
        light, _ = light_and_booster(vars(part(parts, "sizes", RocketConfig)))
        return light.name, model.export()


recipe = RocketRecipe()
