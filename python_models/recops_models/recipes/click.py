"""Recipes of click models, from a model class and its default sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import Tensor

from recops_models.click.model import ClickConfig, ClickModel
from recops_models.examples.features import FittedSchema
from recops_models.recipes.parts import PartSettings, part
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.click import ClickData
    from recops_models.recipes.stage import AnyStage, StageContext
    from recops_models.training.config import TrainingConfig

SizesT = TypeVar("SizesT", bound=ClickConfig)
ClickT = TypeVar("ClickT", bound=ClickConfig)

DROPOUT = 0.3
"""Default dropout, chosen by the validation AUC of sum pooling and DIN on ml-100k."""


def click_training() -> TrainingConfig:
    """Return the default training configuration of click models."""
    from recops_models.training.config import TrainingConfig

    return TrainingConfig(epochs=6, batch=256, learning_rate=1e-3, patience=2, select="auc")


def example_parts() -> dict[str, PartSettings]:
    """Return the default settings that all trainings on click examples have."""
    from recops_models.training.example_config import ExampleConfig

    return {"training": click_training(), "examples": ExampleConfig()}


def with_labels_of(sizes: ClickT, data: ClickData) -> ClickT:
    """Return the sizes of a model with the labels of its data, if it predicts several."""
    return sizes if sizes.heads == "one" else dataclasses.replace(sizes, labels=data.labels)


class ClickRecipe(Recipe, Generic[SizesT]):
    """Recipe of a click model with the constructor ``(schema, sizes)``.

    Args:
        name: name of the model.
        make: class of the model, or a function that builds it.
        sizes: default sizes.

    Example:
        After ``recipe = ClickRecipe("mine", MyModel, MyConfig())`` in ``my_module``,
        ``recops_models.recipes.registry.register("mine", "my_module:recipe")`` adds the model.
    """

    data_kind = "click"
    derived = frozenset({"labels"})
    sizes: SizesT

    def __init__(
        self, name: str, make: Callable[[FittedSchema, SizesT], ClickModel], sizes: SizesT
    ) -> None:
        self.name, self.make, self.sizes = name, make, sizes

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`: sizes, training and examples."""
        return {"sizes": self.sizes, **example_parts()}

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`: one training on click examples."""
        from recops_models.recipes.click_stage import ClickStage

        return (ClickStage(self.name, self.build),)

    def net(self, schema: FittedSchema, sizes: PartSettings) -> ClickModel:
        """Return a new model.

        Raises:
            TypeError: the sizes belong to another model.
        """
        if not isinstance(sizes, type(self.sizes)):
            raise TypeError(
                f"{self.name}: sizes must be {type(self.sizes).__name__}, "
                f"got {type(sizes).__name__}"
            )
        return self.make(schema, sizes)

    def outline(self, schema: FittedSchema, sizes: PartSettings) -> ClickModel:
        """Return a model with the layers of :meth:`build`, for checks before there are examples.

        Its tables of counted values, if any, are empty.
        """
        return self.net(schema, sizes)

    def build(self, data: ClickData, context: StageContext) -> ClickModel:
        """Return a new model for ``data``."""
        sizes = part(context.settings, "sizes", ClickConfig)
        return self.net(data.fitted, with_labels_of(sizes, data))

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> ClickModel:
        """See :meth:`Recipe.restore`."""
        assert sizes is not None
        assert schema is not None
        return self.net(schema, sizes)
