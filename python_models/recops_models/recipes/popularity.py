"""Recipe of ``popularity``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.generative.popularity import Popularity
from recops_models.recipes.parts import PartSettings
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema
    from recops_models.recipes.ranking import AnyNextItemTask
    from recops_models.recipes.stage import AnyStage, StageContext


class PopularityRecipe(Recipe):
    """Recipe of item counts of the training part."""

    name = "popularity"

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`: there are none."""
        return {}

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`: one, which counts."""
        from recops_models.recipes.ranking import CountingStage, training_counts

        def make(task: AnyNextItemTask, context: StageContext) -> Popularity:
            return Popularity(training_counts(task))

        return (CountingStage(self.name, make, streams=True),)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> Popularity:
        """See :meth:`Recipe.restore`."""
        return Popularity(weights["counts"])


recipe = PopularityRecipe()
