"""A job: what to train, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recops.files import read_json, write_json
from recops_models.data.splits import SplitName
from recops_models.out_folder import TRAINING_KIND
from recops_models.recipes.files import other_version
from recops_models.recipes.parts import Parts, PartSettings
from recops_models.recipes.recipe import DataKind, Recipe
from recops_models.recipes.registry import recipe_of
from recops_models.settings import changed_at_once, from_json
from recops_models.training.config import TrainingConfig

CONFIG = "config.json"


@dataclass(frozen=True)
class Job:
    """What to train; the outcome depends on nothing else.

    Attributes:
        model: the name of a recipe.
        data: a named data set, or a folder.
        seed: of every random draw.
        split: how the data is cut; None: see :func:`recops_models.data.splits.named_split`.
        parts: all settings, the recipe's defaults among them.
    """

    model: str
    data: str
    seed: int = 0
    split: SplitName | None = None
    parts: Parts = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: str,
        data: str,
        settings: Mapping[str, str],
        *,
        seed: int,
        quick: bool,
        split: SplitName | None = None,
        preset: str | None = None,
    ) -> Job:
        """A job with the defaults of its model, changed by ``settings``; ``quick``: two epochs.

        Args:
            model: the name of a recipe.
            data: a named data set, or a folder.
            settings: values by name, as texts; they override those of ``preset``.
            seed: of every random draw.
            quick: two epochs.
            split: see :class:`Job`.
            preset: one of the recipe's presets; its settings become plain settings of the job.

        Raises:
            ValueError: an unknown model, preset or setting, a value that is none or out of range,
                or values that do not fit each other.
        """
        recipe = recipe_of(model)
        if preset is not None:
            settings = {**recipe.preset(preset), **settings}
        nets = recipe.nets(settings)
        parts = {**recipe.defaults(), **nets}
        if quick:
            parts = {name: _quick(part) for name, part in parts.items()}
        known = _setting_names(recipe, parts, nets)
        chosen: dict[str, dict[str, str]] = {}
        for name, text in settings.items():
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise ValueError(f"{model} has no setting {name!r}; there are: {there}")
            of = known[name]
            chosen.setdefault(of, {})[name.removeprefix(f"{of}.")] = text
        parts |= {of: changed_at_once(parts[of], texts) for of, texts in chosen.items()}
        return cls(model, data, seed, split, parts)

    @property
    def recipe(self) -> Recipe:
        """Of the model."""
        return recipe_of(self.model)

    @property
    def data_kind(self) -> DataKind:
        """Kind of data that the model is trained on."""
        return self.recipe.data_kind

    def config(self) -> dict[str, Any]:
        """JSON-ready: a flat object, in which each part has its name."""
        parts = {name: dataclasses.asdict(part) for name, part in self.parts.items()}
        return {
            "model": self.model,
            "data": self.data,
            "seed": self.seed,
            "split": self.split,
            **parts,
        }


def _quick(part: PartSettings) -> PartSettings:
    return dataclasses.replace(part, epochs=2) if isinstance(part, TrainingConfig) else part


def _setting_names(recipe: Recipe, parts: Parts, nets: Parts) -> dict[str, str]:
    """The settings of a job, each with the part it is of; those of nets are dotted."""
    return {
        f"{name}.{setting.name}" if name in nets else setting.name: name
        for name, part in parts.items()
        for setting in dataclasses.fields(part)
        if setting.name not in recipe.derived
    }


def save_job(folder: Path, job: Job) -> None:
    """Leave what :func:`load_job` reads."""
    write_json(folder / CONFIG, job.config(), kind=TRAINING_KIND)


def load_job(folder: Path) -> Job:
    """The job whose files are in ``folder``.

    Raises:
        FileNotFoundError: there are none.
        CorruptFileError: ``config.json`` is damaged, or not a training's, or has settings that this
            recops does not know.
    """
    path = folder / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no training: `recops train … --out {folder}`")
    found = read_json(path, kind=TRAINING_KIND)
    try:
        recipe = recipe_of(found["model"])
        kinds = {**recipe.defaults(), **recipe.nets(found.get("sizes") or {})}
        parts = {name: from_json(type(kind), found[name]) for name, kind in kinds.items()}
        return Job(found["model"], found["data"], found["seed"], found["split"], parts)
    except (KeyError, TypeError, ValueError) as error:
        raise other_version(path, "a training", error) from error
