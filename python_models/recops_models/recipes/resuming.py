"""Checks before a training that its folder fits, and that it overwrites nothing of value."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import chain, count
from pathlib import Path

from recops_models.data.sets import locate
from recops_models.recipes.files import MODEL
from recops_models.recipes.job import CONFIG, Job, load_job

CHANGEABLE = ("epochs", "patience", "checkpoint_minutes")
"""Settings of a training that a resumption may change."""


def holds(folder: Path, job: Job) -> bool:
    """Return whether the folder has a training of this job, unfinished or finished."""
    return (folder / CONFIG).exists() and not list(_differences(load_job(folder), job))


def check_resumable(folder: Path, job: Job) -> None:
    """Check that a resumption of the training in ``folder`` changes only what it may.

    A resumption may change :data:`CHANGEABLE`, for example to train for more epochs.

    Raises:
        ValueError: another setting differs; the message names it.
    """
    for name, stored, value in _differences(load_job(folder), job):
        if name.rpartition(".")[2] not in CHANGEABLE:
            raise ValueError(
                f"{folder} holds a training with {name} {stored}, not {value}: leave out --resume "
                "to start again, or name another folder with --out"
            )


def check_replaceable(folder: Path, job: Job) -> None:
    """Check that a new training loses no model of another job.

    Raises:
        ValueError: the folder has a trained model of another job.
    """
    if _has_other_model(folder, job):
        raise ValueError(
            f"{folder} holds a trained {load_job(folder).model} with other settings: name another "
            "folder, or replace the model (--force, force=True)"
        )


def free_folder(folder: Path, job: Job) -> Path:
    """Return ``folder``, or the first of ``folder-2``, ``folder-3``, … without another model."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(each for each in chain([folder], numbered) if not _has_other_model(each, job))


def _has_other_model(folder: Path, job: Job) -> bool:
    is_trained = (folder / MODEL).exists() and (folder / CONFIG).exists()
    return is_trained and not holds(folder, job)


def _differences(stored: Job, job: Job) -> Iterator[tuple[str, object, object]]:
    """Yield the name of each setting that differs, and its two values."""
    before, after = _settings(stored), _settings(job)
    for name in dict.fromkeys([*after, *before]):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def _settings(job: Job) -> Mapping[str, object]:
    own = job.recipe.defaults()
    settings: dict[str, object] = {
        "model": job.model,
        "data": locate(job.data),
        "seed": job.seed,
        "split": job.split,
        "repeats": job.repeats or "drop",
        "from": job.start,
    }
    for part, values in job.parts.items():
        prefix = "" if part in own else f"{part}."
        for name, value in dataclasses.asdict(values).items():
            settings[f"{prefix}{name}"] = value
    return settings
