"""Recipe of ``age``: a click model with a gate for exploration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.click.age import Age, AgeConfig
from recops_models.dotted import below
from recops_models.examples.features import FittedSchema
from recops_models.recipes.click import example_parts
from recops_models.recipes.click_nets import base_part, click_net
from recops_models.recipes.parts import PartSettings, part
from recops_models.recipes.recipe import HEAD_SETTINGS, Recipe
from recops_models.settings import from_json

if TYPE_CHECKING:
    from recops_models.examples.click import ClickData
    from recops_models.recipes.stage import AnyStage, StageContext

_BASE = "base."


class AgeRecipe(Recipe):
    """Recipe of a base model and its gate; settings of the base are dotted (``base.hidden``)."""

    name = "age"
    data_kind = "click"
    sizes = AgeConfig()
    derived = HEAD_SETTINGS | {"base_sizes"}

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`."""
        return {"sizes": self.sizes, **example_parts()}

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """See :meth:`Recipe.nets`: the part ``base``."""
        return base_part(self.name, chosen, self.sizes.base)

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`: one training of base and gate."""
        from recops_models.recipes.age_stage import AgeStage

        return (AgeStage(self.name, self.build),)

    def build(self, data: ClickData, context: StageContext) -> Age:
        """Return a new model for ``data``; the base starts with the weights it has alone."""
        config = part(context.settings, "sizes", AgeConfig)
        base = click_net(self.name, config.base).build(data, context.with_sizes("base"))
        sizes = dataclasses.asdict(context.settings["base"])
        return Age(base, dataclasses.replace(config, base_sizes=sizes))

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> Age:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, AgeConfig)
        net = click_net(self.name, sizes.base)
        settings = from_json(type(net.sizes), sizes.base_sizes or {})
        return Age(net.restore(below(_BASE, weights), settings, schema), sizes)


recipe = AgeRecipe()
