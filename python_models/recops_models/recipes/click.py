"""Recipes of click models: a model class, its default sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import Tensor

from recops_models.click.model import ClickConfig, ClickModel
from recops_models.examples.features import FittedSchema
from recops_models.recipes.parts import PartSettings
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.click import ClickData
    from recops_models.recipes.stage import AnyStage, StageContext
    from recops_models.training.config import TrainingConfig

SizesT = TypeVar("SizesT", bound=ClickConfig)

DROPOUT = 0.3
"""Validation AUC on ml-100k, seed 0: sum pooling 0.693 with it, 0.685 without; DIN 0.694 and 0.693.
"""


def click_training() -> TrainingConfig:
    """How click models are trained unless told otherwise.

    On ml-100k, seed 0, DIN takes 7 s an epoch (one core of a shared cloud machine).
    """
    from recops_models.training.config import TrainingConfig

    return TrainingConfig(epochs=6, batch=256, learning_rate=1e-3, patience=2, select="auc")


def example_parts() -> dict[str, PartSettings]:
    """The parts that every training on click examples has."""
    from recops_models.training.example_config import ExampleConfig

    return {"training": click_training(), "examples": ExampleConfig()}


class ClickRecipe(Recipe, Generic[SizesT]):
    """Of a model that is made by ``(schema, sizes)``.

    Args:
        name: see :class:`~recops_models.recipes.recipe.Recipe`.
        make: the model's class, or a function like it.
        sizes: the defaults.

    Example:
        ``recipe = ClickRecipe("mine", MyModel, MyConfig())``, in a module of one's own, is all that
        ``recops_models.recipes.registry.register("mine", "my_module:recipe")`` needs.
    """

    data_kind = "click"
    sizes: SizesT

    def __init__(
        self, name: str, make: Callable[[FittedSchema, SizesT], ClickModel], sizes: SizesT
    ) -> None:
        self.name, self.make, self.sizes = name, make, sizes

    def defaults(self) -> dict[str, PartSettings]:
        """Sizes, training and examples."""
        return {"sizes": self.sizes, **example_parts()}

    def stages(self) -> Sequence[AnyStage]:
        """One training on click examples."""
        from recops_models.recipes.click_stage import ClickStage

        return (ClickStage(self.name, self.build),)

    def net(self, schema: FittedSchema, sizes: PartSettings) -> ClickModel:
        """A new model.

        Raises:
            TypeError: the sizes are another model's.
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
        return self.net(data.fitted, context.settings["sizes"])

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> ClickModel:
        """See :meth:`Recipe.restore`."""
        assert sizes is not None
        assert schema is not None
        return self.net(schema, sizes)
