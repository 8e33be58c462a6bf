"""Recipe of ``can``; a table of feature pairs is fitted before the model is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.click.can import Can, CanConfig
from recops_models.examples.features import FittedSchema
from recops_models.layers.coaction import pairs_of
from recops_models.layers.pair_features import PairTable
from recops_models.recipes.click import DROPOUT, ClickRecipe, with_labels_of
from recops_models.recipes.parts import PartSettings, part

if TYPE_CHECKING:
    from recops_models.examples.click import ClickData
    from recops_models.recipes.stage import StageContext


class CanRecipe(ClickRecipe[CanConfig]):
    """Recipe of CAN. A table of value pairs is fitted in one pass over the training part."""

    def build(self, data: ClickData, context: StageContext) -> Can:
        """See :meth:`ClickRecipe.build`."""
        sizes, fitted = part(context.settings, "sizes", CanConfig), data.fitted
        sizes = with_labels_of(sizes, data)
        if sizes.interaction != "cartesian":
            return Can(fitted, sizes)
        batches = data.train.batches(1024, seed=context.seed)
        pairs = pairs_of(fitted, sizes.pairs)
        return Can(fitted, sizes, PairTable.fit(pairs, sizes.width, batches, sizes.min_count))

    def outline(self, schema: FittedSchema, sizes: PartSettings) -> Can:
        """See :meth:`ClickRecipe.outline`."""
        assert isinstance(sizes, CanConfig)
        if sizes.interaction != "cartesian":
            return Can(schema, sizes)
        pairs = pairs_of(schema, sizes.pairs)
        return Can(schema, sizes, PairTable(pairs, sizes.width, [0] * len(pairs)))

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> Can:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, CanConfig)
        assert schema is not None
        if sizes.interaction != "cartesian":
            return Can(schema, sizes)
        pairs = pairs_of(schema, sizes.pairs)
        keys = [len(weights[f"unit.keys_{p}"]) for p in range(len(pairs))]
        return Can(schema, sizes, PairTable(pairs, sizes.width, keys))


recipe = CanRecipe("can", Can, CanConfig(dropout=DROPOUT))
