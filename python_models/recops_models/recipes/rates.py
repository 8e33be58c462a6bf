"""Recipe of ``rates``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from recops_models.click.rates import Rates, RatesConfig
from recops_models.dotted import below
from recops_models.examples.features import FittedSchema
from recops_models.layers.boosted_trees import BoostedTrees
from recops_models.layers.rate_features import RateFeatures
from recops_models.layers.rate_table import RateTable
from recops_models.recipes.parts import PartSettings
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.recipes.stage import AnyStage


class RatesRecipe(Recipe):
    """Recipe of click baselines from counts."""

    name = "rates"
    data_kind = "click"
    sizes = RatesConfig()

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`: the settings of the model and of examples."""
        from recops_models.training.example_config import ExampleConfig

        return {"sizes": self.sizes, "examples": ExampleConfig()}

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`: one, which counts."""
        from recops_models.recipes.rates_stage import RatesStage

        return (RatesStage(),)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> Rates:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, RatesConfig)
        assert schema is not None
        features = RateFeatures(schema, sizes)
        for key, table in features.tables.items():
            stored = below(f"features.tables.{key}.", weights)
            assert isinstance(table, RateTable)
            table.keys, table.counts = stored["keys"], stored["counts"]
        head: BoostedTrees | nn.Linear
        if sizes.is_boosted:
            head = BoostedTrees(**below("head.", weights))
        else:
            head = nn.Linear(len(sizes.scores), 1).requires_grad_(False)
        return Rates(features, head, schema, sizes)


recipe = RatesRecipe()
