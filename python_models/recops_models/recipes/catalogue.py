"""Data of a job, and the record of its numbering, ``catalogue.json``.

A model knows items, users, scenes and attribute values by number. A data set numbers them in the
order of their ids, so one new id shifts all later ones. Training therefore records the numbers.
Later uses of the model match items and users by name (:mod:`~recops_models.recipes.known_ids`) and
check the scenes. New events are allowed then, but not while training is resumed.
Categories and the treatment of repeats are those of the training, too.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recops.files import CorruptFileError, file_digest, read_json, write_json
from recops_models import workers
from recops_models.data.categories import integer_categories, with_categories
from recops_models.data.dataset import Dataset
from recops_models.data.digest import dataset_digest
from recops_models.data.errors import DataError
from recops_models.data.renumber import renumbered
from recops_models.recipes.job import Job
from recops_models.recipes.known_ids import KNOWN_ITEMS, KnownIds
from recops_models.recipes.numbering import ATTRIBUTE, Numbering, check_numbering
from recops_models.settings import JsonObject

if TYPE_CHECKING:
    from recops_models.data.dataset import Repeats
    from recops_models.recipes.earlier import EarlierTraining
    from recops_models.recipes.stage import Data

CATALOGUE = "catalogue.json"
_KIND = "catalogue"
_DESCRIBED = ("items", "users")


def open_catalogue(
    folder: Path, job: Job, data: Data, *, resume: bool, start: EarlierTraining | None = None
) -> tuple[Data, JsonObject]:
    """Return the data to train on, and its record for :func:`save_catalogue`.

    Args:
        folder: folder of the training.
        job: the job, whose treatment of repeats the data gets.
        data: the data set or the examples.
        resume: compare with the record in ``folder``, and read categories as recorded there.
        start: the training that the job continues. Text ids keep their numbers, and integer
            columns their roles.

    Raises:
        DataError: a column that the settings name is missing or unfit; with ``resume``, the data
            has changed; the data does not fit the model of ``start``.
        CorruptFileError: the record is damaged, or of a newer version.
        ValueError: ``start`` was trained on examples.
    """
    recorded = workers.on_first(lambda: _read(folder)) if resume else {}
    data = with_repeats_of_job(data, job)
    if not isinstance(data, Dataset):
        record = _examples_record(data)
    else:
        known = None if start is None else start.stored_ids()
        before = recorded or ({} if start is None else _read(start.folder))
        if before:
            data = _with_categories(data, before)
        categories = {name: integer_categories(getattr(data, name)) for name in _DESCRIBED}
        if known is not None:
            data = renumbered(data, known.items, known.users)
        numbering = Numbering.of(job, data)
        if before:
            check_numbering(data.name, before, numbering, by_name=not recorded)
        record = {
            **dataclasses.asdict(numbering),
            "data": dataset_digest(data),
            "categories": categories,
        }
    digest = recorded.get("data")
    if digest is not None and record.get("data") not in (None, digest):
        raise DataError(
            f"{data.name} has other events, items or users than when {folder} began: leave out "
            "--resume to start again"
        )
    return data, record


def save_catalogue(folder: Path, record: JsonObject) -> None:
    """Write the record of :func:`open_catalogue`, unless it is empty."""
    if record:
        write_json(folder / CATALOGUE, record, kind=_KIND)


def repeats_of(data: Data) -> Repeats | None:
    """Return the treatment of repeats of a data set; None for examples."""
    return data.repeats if isinstance(data, Dataset) else None


def with_repeats_of_job(data: Data, job: Job) -> Data:
    """Return a data set with the job's treatment of repeats; examples have none."""
    if not isinstance(data, Dataset) or job.repeats in (None, data.repeats):
        return data
    return dataclasses.replace(data, repeats=job.repeats)


def checked_data(folder: Path, job: Job, data: Data) -> Data:
    """Return ``data`` as the training read it, after a check that it fits the model.

    The values of an integer column decide whether it is a category, so that can change as data
    grows. The data therefore gets the categories of the training. Text ids get the numbers of the
    training, and other items and users are accepted, since the folder holds their ids.

    Args:
        folder: folder of the training.
        job: the job that was trained.
        data: the current data.

    Raises:
        DataError: the data does not fit the model.
        CorruptFileError: the record is damaged, missing, or of a newer version; the ids are
            missing.
    """
    data = with_repeats_of_job(data, job)
    if not isinstance(data, Dataset):
        return data
    recorded, known = _read(folder), KnownIds.load(folder)
    if not recorded:
        raise CorruptFileError(f"{folder / CATALOGUE}: the record of the training is missing")
    data = _with_categories(data, recorded)
    if known is not None:
        data = renumbered(data, known.items, known.users)
    elif job.data_kind != "click":  # a click model's schema holds its ids
        raise CorruptFileError(f"{folder / KNOWN_ITEMS}: the ids of the training are missing")
    check_catalogue(folder, job, data)
    return data


def check_catalogue(folder: Path, job: Job, data: Data) -> None:
    """Check that ``data`` has the scenes of the training's data, as :func:`checked_data` does.

    Args:
        folder: folder of the training.
        job: the job that was trained.
        data: the current data.

    Raises:
        DataError: the numbering has changed; the message says how.
        CorruptFileError: the record is damaged, or of a newer version.
    """
    recorded = _read(folder)
    if recorded and isinstance(data, Dataset):
        check_numbering(data.name, recorded, Numbering.of(job, data), by_name=True)


def recorded_attributes(folder: Path) -> dict[str, list[str]]:
    """Return the values of each item attribute that a model was trained with, by column.

    Args:
        folder: folder of the training.

    Raises:
        CorruptFileError: the record is damaged, or of a newer version.
    """
    names: Mapping[str, list[str]] = _read(folder).get("names", {})
    return {
        column.removeprefix(ATTRIBUTE): values
        for column, values in names.items()
        if column.startswith(ATTRIBUTE)
    }


def _read(folder: Path) -> JsonObject:
    """Return the record in ``folder``; empty if there is none."""
    path = folder / CATALOGUE
    return read_json(path, kind=_KIND) if path.exists() else {}


def _examples_record(data: Data) -> JsonObject:
    """Return the record of streamed examples; empty for examples in memory."""
    if isinstance(data, Dataset) or not data.files:
        return {}
    digest = hashlib.sha256(" ".join(map(file_digest, data.files)).encode()).hexdigest()
    return {**dataclasses.asdict(Numbering({}, {})), "data": digest}


def _with_categories(dataset: Dataset, recorded: JsonObject) -> Dataset:
    tables = {
        name: with_categories(getattr(dataset, name), recorded["categories"][name])
        for name in _DESCRIBED
    }
    return dataclasses.replace(dataset, **tables)
