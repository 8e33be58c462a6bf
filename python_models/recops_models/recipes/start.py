"""Continuation of an earlier training: its model and ids, and the new job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from recops_models.recipes.earlier import EarlierTraining
from recops_models.recipes.job import Job, find_setting
from recops_models.recipes.known_ids import KnownIds
from recops_models.recipes.trained import load_trained
from recops_models.settings import replace_checked
from recops_models.training.alignment_config import AlignmentConfig
from recops_models.training.config import ChoiceConfig, TrainingConfig

if TYPE_CHECKING:
    from recops_models.data.dataset import Repeats
    from recops_models.data.splits import SplitName

_CHANGEABLE = (TrainingConfig, ChoiceConfig, AlignmentConfig)
"""Settings that change no shape and no example, so that a continued training may change them."""


def load_earlier(folder: Path, *, device: torch.device) -> EarlierTraining:
    """Load a training to continue.

    Args:
        folder: folder of the earlier training.
        device: where the model is put.

    Raises:
        CorruptFileError: a file is damaged.
        FileNotFoundError: the folder holds no training, or an unfinished one.
    """
    job, model = load_trained(folder, device=device)
    known = KnownIds.load(folder)
    return EarlierTraining(folder, job.model, job.parts, job.seed, model, known)


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
        for name, settings_of_part in earlier.parts.items():
            if isinstance(settings_of_part, TrainingConfig):
                parts[name] = dataclasses.replace(settings_of_part, epochs=2)
    for name, value in settings.items():
        part, field = find_setting(earlier.recipe, parts, name)
        stored = getattr(parts[part], field)
        is_changeable = isinstance(parts[part], _CHANGEABLE) or name in earlier.recipe.inputs
        if stored != value and not is_changeable:
            raise ValueError(
                f"train: {name} must stay {stored}, as in {folder}, got {value}: leave out --from "
                "to train with other settings"
            )
        parts |= {part: replace_checked(parts[part], {field: value})}
    return Job(
        model, data, seed, split or earlier.split, parts, repeats, start=str(folder.resolve())
    )
