"""Recipe of ``item-knn``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig
from recops_models.recipes.parts import PartSettings, part
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema
    from recops_models.recipes.ranking import AnyNextItemTask
    from recops_models.recipes.stage import AnyStage, StageContext


class ItemKNNRecipe(Recipe):
    """Recipe of co-occurrences of the training part."""

    name = "item-knn"
    sizes = ItemKNNConfig()

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`: the settings of the model."""
        return {"sizes": self.sizes}

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`: one, which counts."""
        from recops_models.recipes.ranking import CountingStage

        return (CountingStage(self.name, _make, streams=True),)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> ItemKNN:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, ItemKNNConfig)
        return ItemKNN(weights["neighbours"], weights["similarities"], weights["ties"], sizes)


def _make(task: AnyNextItemTask, context: StageContext) -> ItemKNN:
    config = part(context.settings, "sizes", ItemKNNConfig)
    return ItemKNN.fit(task.histories(), task.num_items, config, seed=context.seed)


recipe = ItemKNNRecipe()
