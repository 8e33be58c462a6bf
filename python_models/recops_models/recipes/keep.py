"""Recipe of ``keep``: extract knowledge of a super-domain, plug it into a click model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.click.keep import Keep, KeepConfig
from recops_models.dotted import below
from recops_models.examples.features import FittedSchema
from recops_models.examples.knowledge_features import without_knowledge
from recops_models.layers.knowledge_reader import KnowledgeReader
from recops_models.recipes.click import example_parts
from recops_models.recipes.click_nets import base_part, click_net
from recops_models.recipes.parts import Parts, PartSettings, part
from recops_models.recipes.recipe import HEAD_SETTINGS, Recipe
from recops_models.settings import from_json

if TYPE_CHECKING:
    from recops_models.data.dataset import Dataset
    from recops_models.recipes.stage import AnyStage

_BASE, _READER = "base.", "reader."


class KeepRecipe(Recipe):
    """Two trainings: an extractor on the super-domain, then a base model with the knowledge.

    ``base.hidden`` and so on are settings of the base, ``extractor.width`` of the extractor,
    ``extracting.epochs`` of its training. The first training writes
    ``knowledge/knowledge.safetensors``; it is left out when the setting ``knowledge`` names a file.
    """

    name = "keep"
    data_kind = "click"
    sizes = KeepConfig()
    derived = HEAD_SETTINGS | {"base_sizes", "version"}
    inputs = frozenset({"knowledge"})

    def defaults(self) -> dict[str, PartSettings]:
        """Return the default settings of the plug, training, examples and domains."""
        from recops_models.examples.domains import DomainConfig

        return {"sizes": self.sizes, **example_parts(), "domains": DomainConfig()}

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """Return the settings of the base, of the extractor and of its training."""
        from recops_models.click.extractor import ExtractorConfig
        from recops_models.training.config import TrainingConfig

        return {
            **base_part(self.name, chosen, self.sizes.base),
            "extractor": ExtractorConfig(),
            "extracting": TrainingConfig(
                epochs=3, batch=1024, learning_rate=1e-3, patience=1, select="auc"
            ),
        }

    def stages(self) -> Sequence[AnyStage]:
        """Return the training of the extractor and that of the base with its plug."""
        from recops_models.recipes.keep_stage import KeepStage
        from recops_models.recipes.knowledge_stage import KnowledgeStage

        return (KnowledgeStage(), KeepStage())

    def catalogue(self, data: Dataset, parts: Parts) -> Dataset:
        """Return the items of the small domain, with their events."""
        from recops_models.examples.domains import DomainConfig, Domains

        return Domains.of(data, part(parts, "domains", DomainConfig)).small_domain().dataset

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> Keep:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, KeepConfig)
        assert schema is not None
        net = click_net(self.name, sizes.base)
        settings = from_json(type(net.sizes), sizes.base_sizes or {})
        base = net.restore(below(_BASE, weights), settings, without_knowledge(schema))
        return Keep(base, KnowledgeReader.shaped(below(_READER, weights)), schema, sizes)


recipe = KeepRecipe()
