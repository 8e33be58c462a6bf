"""Record of the numbering that a model was trained with, ``catalogue.json``.

A model knows items, users, scenes and attribute values by number. A data set numbers them in the
order of their ids, so one new id shifts all later ones. Training therefore records the numbers, and
later uses of the model check them. New events are allowed then, but not while training is resumed.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recops.files import file_digest, read_json, write_json
from recops_models.data.categories import integer_categories, with_categories
from recops_models.data.dataset import Dataset
from recops_models.data.digest import dataset_digest
from recops_models.data.errors import DataError
from recops_models.recipes.job import Job
from recops_models.recipes.numbering import ATTRIBUTE, Numbering, check_numbering
from recops_models.settings import JsonObject

if TYPE_CHECKING:
    from recops_models.recipes.stage import Data

CATALOGUE = "catalogue.json"
_KIND = "catalogue"
_DESCRIBED = ("items", "users")


def open_catalogue(folder: Path, job: Job, data: Data, *, resume: bool) -> tuple[Data, JsonObject]:
    """Return the data to train on, and its record for :func:`save_catalogue`.

    Args:
        folder: folder of the training.
        job: the job.
        data: the data set or the examples.
        resume: compare with the record in ``folder``, and read categories as recorded there.

    Raises:
        DataError: a column that the settings name is missing or unfit; with ``resume``, the data
            has changed.
        CorruptFileError: the record is damaged, or of a newer version.
    """
    recorded = _read(folder) if resume else {}
    if not isinstance(data, Dataset):
        record = _examples_record(data)
    else:
        if recorded:
            data = _with_categories(data, recorded)
        categories = {name: integer_categories(getattr(data, name)) for name in _DESCRIBED}
        numbering = Numbering.of(job, data)
        if recorded:
            check_numbering(data.name, recorded, numbering)
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


def with_recorded_categories(folder: Path, data: Data) -> Data:
    """Return ``data`` with the integer categories that it had in a training.

    The values of an integer column decide whether it is a category, so that can change as data
    grows. Earlier versions read all integer columns as numbers.

    Args:
        folder: folder of the training.
        data: the current data.

    Raises:
        CorruptFileError: the record is damaged, or of a newer version.
    """
    recorded = _read(folder)
    return _with_categories(data, recorded) if recorded and isinstance(data, Dataset) else data


def check_catalogue(folder: Path, job: Job, data: Data) -> None:
    """Check that ``data`` numbers items, users and names as the training's data did.

    More events are allowed, and more users if the model does not know users by number. A folder of
    an earlier version, without a record, is accepted.

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
        check_numbering(data.name, recorded, Numbering.of(job, data))


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
    categories = recorded.get("categories", {})
    tables = {
        name: with_categories(getattr(dataset, name), categories.get(name, ()))
        for name in _DESCRIBED
    }
    return dataclasses.replace(dataset, **tables)
