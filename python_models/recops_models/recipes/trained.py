"""A trained job: its model, its data and its task; only :func:`task_of` imports training code."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.renumber import renumbered
from recops_models.data.sets import locate
from recops_models.data.storage import load_dataset
from recops_models.recipes.catalogue import checked_data, with_repeats_of_job
from recops_models.recipes.files import MODEL, load_model
from recops_models.recipes.job import OWN_DATA, Job, load_job
from recops_models.recipes.known_ids import KnownIds
from recops_models.training.device import HOST, resolve_device

if TYPE_CHECKING:
    from recops_models.recipes.stage import Data
    from recops_models.training.task import AnyTask


def load_trained(folder: Path, *, device: str | torch.device = HOST) -> tuple[Job, nn.Module]:
    """Load the job and the model of a training's folder.

    Args:
        folder: the folder.
        device: where the model is put; see
            :func:`~recops_models.training.device.resolve_device`.

    Raises:
        FileNotFoundError: the folder holds no training, or an unfinished one.
        CorruptFileError: a file is damaged, of another kind, or of an incompatible version.
    """
    job = load_job(folder)
    if not (folder / MODEL).exists():
        raise FileNotFoundError(
            f"{folder}: {MODEL} is missing; train again with `recops train … --out {folder}`, or "
            "continue from the last checkpoint with --resume"
        )
    return job, load_model(folder / MODEL).to(resolve_device(device))


def open_data(job: Job, model: nn.Module | None = None, folder: Path | None = None) -> Data:
    """Open the data that ``job.data`` names.

    Args:
        job: a job, trained or not.
        model: its trained model, whose vocabularies are used for streamed examples.
        folder: folder of its training, to refuse data that numbers items or names otherwise
            (:mod:`~recops_models.recipes.catalogue`). None: no such check.

    Raises:
        UnknownDataError: ``job.data`` is unknown.
        DataError: the data is missing, damaged or unfit.
    """
    if job.data == OWN_DATA:
        if folder is None:
            raise DataError(f"{job.model}: its data is in the folder of its training")
        own, known = load_dataset(own_data(folder)), KnownIds.load(folder)
        return with_repeats_of_job(
            own if known is None else renumbered(own, known.items, known.users), job
        )
    if job.data_kind == "click":
        from recops_models.click.model import ClickScorer
        from recops_models.examples.open_click import open_events

        fitted = model.schema if isinstance(model, ClickScorer) else None
        data: Data = open_events(job.data, fitted=fitted)
    else:
        from recops_models.examples.sequence_folder import open_histories

        data = open_histories(job.data)
    if folder is None:
        return with_repeats_of_job(data, job)
    return checked_data(folder, job, data)


def newer_data(folder: Path, job: Job, model: nn.Module, data: Dataset | str | Path) -> Data:
    """Return other data than that of the training, for a trained model.

    Args:
        folder: folder of the training.
        job: the job that was trained.
        model: the trained model.
        data: a data set, or the name or folder of one; for a click model also of examples.

    Raises:
        UnknownDataError: no such data.
        DataError: the data is damaged, or does not fit the model.
    """
    if isinstance(data, Dataset):
        return checked_data(folder, job, data)
    return open_data(dataclasses.replace(job, data=locate(data)), model, folder)


def own_data(folder: Path) -> Path:
    """Return where a model's folder stores data of the name :data:`OWN_DATA`."""
    return folder / "data"


def task_of(job: Job, data: Data, model: nn.Module | None = None) -> AnyTask:
    """Return the task of a job's model, to measure it and to recommend with it.

    Args:
        job: the job.
        data: the data set or the examples; split as in training.
        model: the trained model, whose vocabularies are used; None: new vocabularies.

    Raises:
        ValueError: the data cannot be split.
    """
    task: AnyTask = job.recipe.stages()[-1].task(data, job.parts, job.split, model)
    return task
