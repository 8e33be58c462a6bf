"""A recipe: how a named model comes from data, and back from a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from torch import Tensor, nn

from recops_models.examples.features import FittedSchema
from recops_models.recipes.parts import Parts, PartSettings

if TYPE_CHECKING:
    from recops_models.recipes.stage import AnyStage

DataKind: TypeAlias = Literal["dataset", "click"]


class Recipe(ABC):
    """What is known of a model before it is made.

    Importing a recipe imports its model and nothing that trains: this is what loading a file needs.
    What trains comes with :meth:`stages` and :meth:`defaults`.

    Attributes:
        name: on the command line, and in files.
        data_kind: what the model is trained on: a data set, or click examples.
        sizes: the model's own settings; None where it has none.
        derived: names of settings that the data decides, which nobody may set.
        presets: settings that belong together, by the preset's name; values are texts, as
            ``--set`` takes them.
    """

    name: str
    data_kind: DataKind = "dataset"
    sizes: PartSettings | None = None
    derived: frozenset[str] = frozenset()
    presets: Mapping[str, Mapping[str, str]] = MappingProxyType({})

    @abstractmethod
    def defaults(self) -> dict[str, PartSettings]:
        """The parts of its settings; ``"sizes"``, if any, is the model's own, and ``"training"``
        says how to train.
        """

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """Parts more, one for each net that ``chosen`` settings name: what ``--set net.width``
        changes.

        Raises:
            ValueError: no such net.
        """
        return {}

    def preset(self, name: str) -> Mapping[str, str]:
        """Return the settings of a preset.

        Raises:
            ValueError: the recipe has no preset of that name; the message lists those it has.
        """
        if name not in self.presets:
            known = ", ".join(self.presets) or "none"
            raise ValueError(f"{self.name} has no preset {name!r}; there are: {known}")
        return self.presets[name]

    @abstractmethod
    def stages(self) -> Sequence[AnyStage]:
        """Return the trainings in order; the last one's model is the recipe's.

        Settings may leave out some of them, see
        :meth:`~recops_models.recipes.stage.Stage.is_enabled`.
        """

    @abstractmethod
    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> nn.Module:
        """A model of the shape that a file's weights, sizes and schema tell, still without them."""

    def kept(self, model: nn.Module, parts: Parts) -> tuple[str, nn.Module]:
        """What of a trained model goes to a file, and the name of the recipe that restores it."""
        return self.name, model
