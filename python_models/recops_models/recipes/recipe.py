"""Recipe of a named model: its settings, its stages, and how a file is restored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from torch import Tensor, nn

from recops_models.recipes.parts import Parts, PartSettings

if TYPE_CHECKING:
    from recops_models.data.dataset import Dataset
    from recops_models.examples.features import FittedSchema
    from recops_models.recipes.stage import AnyStage

DataKind: TypeAlias = Literal["dataset", "click"]

HEAD_SETTINGS = frozenset({"heads", "experts", "label_weight", "labels"})
"""Settings of the heads of a click model's labels, which wrappers of a click model do not have."""


class Recipe(ABC):
    """Settings, stages and file format of a named model.

    Loading a file must not import training code. A recipe's module therefore imports its model
    only; :meth:`stages` and :meth:`defaults` import the rest.

    Attributes:
        name: name on the command line and in files.
        data_kind: kind of training data: a data set, or click examples.
        sizes: settings of the model itself; None if it has none.
        derived: names of settings that users cannot set, because the data determines them or the
            recipe does not use them.
        presets: groups of settings by the preset's name.
        inputs: names of settings that name input files, which a continued training may change.
    """

    name: str
    data_kind: DataKind = "dataset"
    sizes: PartSettings | None = None
    derived: frozenset[str] = frozenset()
    presets: Mapping[str, Mapping[str, object]] = MappingProxyType({})
    inputs: frozenset[str] = frozenset()

    @abstractmethod
    def defaults(self) -> dict[str, PartSettings]:
        """Return the default settings by part.

        ``"sizes"`` are those of the model itself, if it has any; ``"training"`` is the training
        configuration.
        """

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """Return the default settings of the nets that ``chosen`` settings name.

        Each net is a separate part, and its settings are dotted: ``net.width``.

        Raises:
            ValueError: unknown net.
        """
        return {}

    def preset(self, name: str) -> Mapping[str, object]:
        """Return the settings of a preset.

        Raises:
            ValueError: unknown preset; the message lists the known ones.
        """
        if name not in self.presets:
            known = ", ".join(self.presets) or "none"
            raise ValueError(f"{self.name} has no preset {name!r}; available: {known}")
        return self.presets[name]

    @abstractmethod
    def stages(self) -> Sequence[AnyStage]:
        """Return the stages in order; the last one builds the recipe's model.

        Settings can disable some of them, see
        :meth:`~recops_models.recipes.stage.Stage.is_enabled`.
        """

    @abstractmethod
    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> nn.Module:
        """Return a model with the shapes of a file's content; the caller loads the weights.

        Args:
            weights: weights in the file.
            sizes: settings of the model; None if it has none.
            schema: schema of a click model; None for other models.
        """

    def catalogue(self, data: Dataset, parts: Parts) -> Dataset:
        """Return the data set whose items the model knows; ``data`` itself by default."""
        return data

    def for_saving(self, model: nn.Module, parts: Parts) -> tuple[str, nn.Module]:
        """Return the module to save, and the name of the recipe that restores it."""
        return self.name, model
