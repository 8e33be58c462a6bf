"""Recipe of ``ease``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.generative.ease import EASE, EASEConfig
from recops_models.recipes.parts import PartSettings, part
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema
    from recops_models.recipes.ranking import AnyNextItemTask
    from recops_models.recipes.stage import AnyStage, StageContext


class EASERecipe(Recipe):
    """Recipe of a linear model in closed form."""

    name = "ease"
    sizes = EASEConfig()

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`: the settings of the model."""
        return {"sizes": self.sizes}

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`: one, which solves for the weights."""
        from recops_models.recipes.ranking import CountingStage

        return (CountingStage(self.name, _make),)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> EASE:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, EASEConfig)
        return EASE(weights["weights"], sizes)


def _make(task: AnyNextItemTask, context: StageContext) -> EASE:
    from recops_models.training.next_item_task import NextItemTask

    assert isinstance(task, NextItemTask)  # The stage streams no sequences.
    config = part(context.settings, "sizes", EASEConfig)
    return EASE.fit(task.train, task.num_items, config)


recipe = EASERecipe()
