"""Job: the model, data, seed, split and settings of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recops.files import read_json, write_json
from recops_models.out_folder import TRAINING_KIND
from recops_models.recipes.files import other_version
from recops_models.recipes.parts import Parts, PartSettings
from recops_models.recipes.recipe import HEAD_SETTINGS, DataKind, Recipe
from recops_models.recipes.registry import recipe_of
from recops_models.settings import from_json, replace_checked
from recops_models.training.config import TrainingConfig

if TYPE_CHECKING:
    from recops_models.data.dataset import Repeats
    from recops_models.data.splits import SplitName

CONFIG = "config.json"

OWN_DATA = "@data"
"""Name of data that is stored in the model's own folder, in ``data/``."""


@dataclass(frozen=True)
class Job:
    """Description of a training; its result depends on nothing else.

    Attributes:
        model: name of a recipe.
        data: a named data set, a folder, or :data:`OWN_DATA`.
        seed: seed of every random draw.
        split: how the data is split; None: see :func:`recops_models.data.splits.named_split`.
        repeats: treatment of repeats; None: that of the data.
        start: folder of the earlier training that this one continues; None: it starts anew.
        parts: all settings by part, including the recipe's defaults.
    """

    model: str
    data: str
    seed: int = 0
    split: SplitName | None = None
    parts: Parts = field(default_factory=dict)
    repeats: Repeats | None = None
    start: str | None = None

    @classmethod
    def of(
        cls,
        model: str,
        data: str,
        settings: Mapping[str, object],
        *,
        seed: int,
        quick: bool,
        split: SplitName | None = None,
        preset: str | None = None,
        repeats: Repeats | None = None,
    ) -> Job:
        """Return a job with the model's default settings, changed by ``settings``.

        Args:
            model: name of a recipe.
            data: a named data set, or a folder.
            settings: values by name; those of nets are dotted (``base.hidden``). They override
                those of ``preset``.
            seed: seed of every random draw.
            quick: train for two epochs.
            split: see :class:`Job`.
            preset: name of one of the recipe's presets.
            repeats: see :class:`Job`.

        Raises:
            ValueError: an unknown model, preset or setting; a value of another type or out of
                range; values that contradict each other.

        Example:
            >>> job = Job.of("din", "ml-100k", {"epochs": 3}, seed=0, quick=False)
            >>> job.parts["training"].epochs
            3
        """
        recipe = recipe_of(model)
        if preset is not None:
            settings = {**recipe.preset(preset), **settings}
        parts = default_parts(recipe, settings)
        if quick:
            parts = {name: _quick(part) for name, part in parts.items()}
        chosen: dict[str, dict[str, object]] = {}
        for name, value in settings.items():
            part, field_name = find_setting(recipe, parts, name)
            chosen.setdefault(part, {})[field_name] = value
        parts |= {part: replace_checked(parts[part], values) for part, values in chosen.items()}
        return cls(model, data, seed, split, parts, repeats)

    @property
    def recipe(self) -> Recipe:
        """Recipe of the model."""
        return recipe_of(self.model)

    @property
    def data_kind(self) -> DataKind:
        """Kind of data that the model is trained on."""
        return self.recipe.data_kind

    def config(self) -> dict[str, Any]:
        """Return the content of ``config.json``: one object, with a key per part."""
        parts = {name: dataclasses.asdict(part) for name, part in self.parts.items()}
        return {
            "model": self.model,
            "data": self.data,
            "seed": self.seed,
            "split": self.split,
            "repeats": self.repeats,
            **({} if self.start is None else {"start": self.start}),
            **parts,
        }


def default_parts(recipe: Recipe, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
    """Return the default settings of a recipe and of the nets that ``chosen`` settings name.

    Raises:
        ValueError: unknown net.
    """
    return {**recipe.defaults(), **recipe.nets(chosen)}


def find_setting(recipe: Recipe, parts: Parts, name: str) -> tuple[str, str]:
    """Return the part and the field of a setting.

    Settings of a recipe's own parts have plain names; those of nets are dotted.

    Args:
        recipe: the recipe.
        parts: result of :func:`default_parts`.
        name: name of the setting.

    Raises:
        ValueError: unknown setting; the message lists the known ones. A setting of heads, which
            wrappers of a click model do not have.
    """
    own = recipe.defaults()
    known = {
        setting.name if part in own else f"{part}.{setting.name}": (part, setting.name)
        for part, settings in parts.items()
        for setting in dataclasses.fields(settings)
        if setting.name not in recipe.derived
    }
    if name not in known:
        if name.rpartition(".")[2] in HEAD_SETTINGS - {"labels"} & recipe.derived:
            raise ValueError(
                f"{recipe.name}: {name} must be left out: {recipe.name} predicts only clicks; "
                "several labels need a click model without a wrapper, such as din"
            )
        names = ", ".join(sorted(known)) or "none"
        raise ValueError(f"{recipe.name} has no setting {name!r}; available: {names}")
    return known[name]


def _quick(part: PartSettings) -> PartSettings:
    return dataclasses.replace(part, epochs=2) if isinstance(part, TrainingConfig) else part


def save_job(folder: Path, job: Job) -> None:
    """Write ``config.json`` for :func:`load_job`."""
    write_json(folder / CONFIG, job.config(), kind=TRAINING_KIND)


def load_job(folder: Path) -> Job:
    """Load the job of a training's folder.

    Raises:
        FileNotFoundError: the folder holds no training.
        CorruptFileError: ``config.json`` is damaged, belongs to no training, or has unknown
            settings.
    """
    path = folder / CONFIG
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} holds no training; `recops train MODEL --out {folder}` creates one"
        )
    config = read_json(path, kind=TRAINING_KIND)
    try:
        recipe = recipe_of(config["model"])
        kinds = {**recipe.defaults(), **recipe.nets(config.get("sizes") or {})}
        parts = {name: from_json(type(kind), config[name]) for name, kind in kinds.items()}
        return Job(
            config["model"],
            config["data"],
            config["seed"],
            config["split"],
            parts,
            config["repeats"],
            config.get("start"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise other_version(path, "a training", error) from error
