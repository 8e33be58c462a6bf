"""Recipe of ``sasrec``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.recipes.parts import PartSettings, part
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema
    from recops_models.recipes.ranking import AnyNextItemTask
    from recops_models.recipes.stage import AnyStage, StageContext


class SASRecRecipe(Recipe):
    """Recipe of SASRec: one training on next items."""

    name = "sasrec"
    sizes = SASRecConfig()

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`: sizes and training."""
        from recops_models.training.config import ChoiceConfig, TrainingConfig

        return {"sizes": self.sizes, "training": TrainingConfig(), "choice": ChoiceConfig()}

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`: one training."""
        from recops_models.recipes.ranking import NextItemStage

        return (NextItemStage(self.name, _make, streams=True),)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> SASRec:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, SASRecConfig)
        return SASRec(len(weights["item_bias"]), sizes)


def _make(task: AnyNextItemTask, context: StageContext) -> SASRec:
    if context.start is not None:
        from recops_models.recipes.continued_ranker import continued_sasrec

        return continued_sasrec(context.start, task.dataset)
    return SASRec(task.num_items, part(context.settings, "sizes", SASRecConfig))


recipe = SASRecRecipe()
