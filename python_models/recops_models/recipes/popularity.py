"""The recipe of ``popularity``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.generative.popularity import Popularity
from recops_models.recipes.parts import PartSettings
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema
    from recops_models.recipes.stage import AnyStage


class PopularityRecipe(Recipe):
    """Counts of the training part."""

    name = "popularity"

    def defaults(self) -> dict[str, PartSettings]:
        """None."""
        return {}

    def stages(self) -> Sequence[AnyStage]:
        """One, which counts."""
        from recops_models.recipes.ranking import CountingStage

        return (CountingStage(self.name, Popularity),)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> Popularity:
        """See :meth:`Recipe.restore`."""
        return Popularity(weights["counts"])


recipe = PopularityRecipe()
