"""Recipe of ``res-embedding``: a click model with a residual item table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from recops_models.click.res_embedding import ResEmbeddingConfig
from recops_models.examples.features import FittedSchema
from recops_models.recipes.click import click_training, example_parts
from recops_models.recipes.click_nets import base_part
from recops_models.recipes.parts import Parts, PartSettings, part
from recops_models.recipes.recipe import HEAD_SETTINGS, Recipe

if TYPE_CHECKING:
    from recops_models.recipes.stage import AnyStage


class ResEmbeddingRecipe(Recipe):
    """Res-embedding around any click model; ``base.hidden`` and so on are the base's settings."""

    name = "res-embedding"
    data_kind = "click"
    sizes = ResEmbeddingConfig()
    derived = HEAD_SETTINGS

    def defaults(self) -> dict[str, PartSettings]:
        """Return the default settings; the only weight decay of tables is that of the residuals."""
        training = dataclasses.replace(click_training(), tables="adam")
        return {"sizes": self.sizes, **example_parts(), "training": training}

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """Return the settings of ``base``."""
        return base_part(self.name, chosen, self.sizes.base)

    def stages(self) -> Sequence[AnyStage]:
        """Return the single training."""
        from recops_models.recipes.res_embedding_stage import ResEmbeddingStage

        return (ResEmbeddingStage(),)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> nn.Module:
        """Raise ValueError: files hold only the base model, under the base's name."""
        raise ValueError("res-embedding: files hold only the base model, under the base's name")

    def for_saving(self, model: nn.Module, parts: Parts) -> tuple[str, nn.Module]:
        """Return the base model with a plain table, and its recipe's name."""
        return part(parts, "sizes", ResEmbeddingConfig).base, model


recipe = ResEmbeddingRecipe()
