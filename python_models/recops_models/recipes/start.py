"""An earlier training that a new one continues on newer data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from recops_models.data.dataset import Dataset
from recops_models.recipes.catalogue import checked_data
from recops_models.recipes.job import Job, find_setting
from recops_models.recipes.known_ids import KnownIds
from recops_models.recipes.parts import PartSettings
from recops_models.recipes.trained import load_trained
from recops_models.settings import replace_checked
from recops_models.training.alignment_config import AlignmentConfig
from recops_models.training.config import ChoiceConfig, TrainingConfig

if TYPE_CHECKING:
    from recops_models.data.dataset import Repeats
    from recops_models.data.splits import SplitName
    from recops_models.recipes.stage import Data

_CHANGEABLE = (TrainingConfig, ChoiceConfig, AlignmentConfig)
"""Settings that change no shape and no example, so that a continued training may change them."""


@dataclass(frozen=True, eq=False)
class EarlierTraining:
    """A finished training.

    Attributes:
        folder: its folder.
        job: its job.
        model: its model.
        known: ids of its items and users; None for examples.
    """

    folder: Path
    job: Job
    model: nn.Module
    known: KnownIds | None

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> EarlierTraining:
        """Load the training in a folder.

        Raises:
            FileNotFoundError: the folder holds no training, or an unfinished one.
            CorruptFileError: a file is damaged.
        """
        job, model = load_trained(folder, device=device)
        return cls(folder, job, model, KnownIds.load(folder))

    def prepared(self, data: Data) -> Data:
        """Return newer data as the earlier model reads it: text ids keep their numbers.

        Raises:
            DataError: the data does not fit the model.
            ValueError: the folder is of a version that stored no ids.
        """
        if not isinstance(data, Dataset):
            return data
        if self.known is None:
            raise ValueError(
                f"train: {self.folder} must hold the ids of its items, got a training of an "
                "earlier version: train it again"
            )
        return dataclasses.replace(checked_data(self.folder, self.job, data), repeats=data.repeats)


def continued_job(
    folder: Path,
    earlier: Job,
    model: str,
    data: str,
    settings: Mapping[str, object],
    *,
    seed: int,
    quick: bool,
    split: SplitName | None = None,
    repeats: Repeats | None = None,
) -> Job:
    """Return the job that continues a training on newer data, with the settings of the earlier one.

    Args:
        folder: folder of the earlier training.
        earlier: its job.
        model: name of the recipe.
        data: the newer data set, or folder.
        settings: changed values by name; only those of the training itself may differ.
        seed: seed of every random draw.
        quick: train for two epochs.
        split: see :class:`Job`; None: that of the earlier training.
        repeats: see :class:`Job`.

    Raises:
        ValueError: another model; an unknown setting, or one that must stay.
    """
    if earlier.model != model:
        raise ValueError(f"train: model must be {earlier.model}, as in {folder}, got {model}")
    parts = dict(earlier.parts)
    if quick:
        for name, value in parts.items():
            if isinstance(value, TrainingConfig):
                parts[name] = dataclasses.replace(value, epochs=2)
    for name, value in settings.items():
        part, field = find_setting(earlier.recipe, parts, name)
        stored = getattr(parts[part], field)
        if stored != value and not isinstance(parts[part], _CHANGEABLE):
            raise ValueError(
                f"train: {name} must stay {stored}, as in {folder}, got {value}: leave out --from "
                "to train with other settings"
            )
        changed: PartSettings = replace_checked(parts[part], {field: value})
        parts[part] = changed
    return Job(
        model, data, seed, split or earlier.split, parts, repeats, start=str(folder.resolve())
    )
