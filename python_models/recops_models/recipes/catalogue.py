"""What the rows of a trained model stand for, kept beside it in ``catalogue.json``.

A model knows items, users, scenes and attributes by number, and a data set numbers them in the
order of their ids: one more, and all behind it have other numbers. So a training leaves what it
numbered, and whatever the model is asked about later must be numbered alike. Events may become more
meanwhile, but while it is trained all stays as it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recops.files import file_digest, read_json, write_json
from recops_models.data.attributes import item_attributes
from recops_models.data.categories import integer_categories, with_categories
from recops_models.data.dataset import Dataset
from recops_models.data.digest import dataset_digest
from recops_models.data.errors import DataError
from recops_models.examples.scenes import SceneConfig, Scenes
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.job import Job
from recops_models.recipes.parts import Parts
from recops_models.recipes.stage import Data

CATALOGUE = "catalogue.json"
_KIND = "catalogue"
_DESCRIBED = ("items", "users")


@dataclass(frozen=True)
class NumberedIds:
    """Ids in the order of their numbers.

    Attributes:
        number: how many.
        digest: SHA-256 of their JSON list, as the source has them.
    """

    number: int
    digest: str

    @classmethod
    def of(cls, keys: list[str] | list[int]) -> NumberedIds:
        """Those of ``keys``. O(n)."""
        return cls(len(keys), hashlib.sha256(json.dumps(keys).encode()).hexdigest())


@dataclass(frozen=True)
class Numbering:
    """What a model knows by number.

    Attributes:
        ids: of ``"items"`` and ``"users"``, where their place among all ids is what it knows.
        names: the values, ascending, of ``"task …"``, ``"objective …"`` and of each
            ``"attribute …"``, by column.
    """

    ids: Mapping[str, NumberedIds]
    names: Mapping[str, Collection[str]]

    @classmethod
    def of(cls, job: Job, dataset: Dataset) -> Numbering:
        """Return how ``dataset`` numbers what the job's model reads.

        Raises:
            DataError: a column that the job's settings name is not there, or unfit.
        """
        ids = {
            what: NumberedIds.of(dataset.item_keys if what == "items" else dataset.user_keys)
            for what in _known_by_place(job, dataset)
        }
        return cls(ids, dict(_names(job.parts, dataset)))


def catalogue(job: Job, data: Data) -> dict[str, Any]:
    """What :func:`check_catalogue` and :func:`check_unchanged` compare with; nothing of examples
    that were made by hand.

    Raises:
        DataError: a column that the settings name is not there, or unfit.
    """
    digest = _digest(data)
    if digest is None:
        return {}
    if not isinstance(data, Dataset):
        return {**dataclasses.asdict(Numbering({}, {})), "data": digest}
    categories = {name: integer_categories(getattr(data, name)) for name in _DESCRIBED}
    return {
        **dataclasses.asdict(Numbering.of(job, data)),
        "data": digest,
        "categories": categories,
    }


def save_catalogue(folder: Path, content: Mapping[str, Any]) -> None:
    """Leave what :func:`catalogue` told, if it told anything."""
    if content:
        write_json(folder / CATALOGUE, content, kind=_KIND)


def with_recorded_categories(folder: Path, data: Data) -> Data:
    """Return ``data`` with the integer categories that it had in a training.

    Which integer columns are categories depends on their values, so it can change while data grows.
    A training of an earlier version read all integer columns as numbers.

    Args:
        folder: of the training.
        data: as it is now.

    Raises:
        CorruptFileError: the record is damaged, or of a newer version.
    """
    path = folder / CATALOGUE
    if not isinstance(data, Dataset) or not path.exists():
        return data
    recorded = read_json(path, kind=_KIND).get("categories", {})
    tables = {
        name: with_categories(getattr(data, name), recorded.get(name, ())) for name in _DESCRIBED
    }
    return dataclasses.replace(data, **tables)


def check_catalogue(folder: Path, job: Job, data: Data) -> None:
    """Refuse data that number items, users or names in another way than a training found them.

    More events are the same catalogue, and so are more users where the model does not know users by
    number. A folder that an earlier version left, without a record, is taken as it is.

    Args:
        folder: of the training.
        job: what was trained.
        data: what the model is to be asked about.

    Raises:
        DataError: they do; the text tells what changed.
        CorruptFileError: the record is damaged, or of a newer version.
    """
    path = folder / CATALOGUE
    if not isinstance(data, Dataset) or not path.exists():
        return
    content = read_json(path, kind=_KIND)
    ids = {what: NumberedIds(**told) for what, told in content["ids"].items()}
    change = _change(Numbering(ids, content["names"]), Numbering.of(job, data))
    if change is not None:
        raise DataError(f"{data.name} {change}")


def check_unchanged(folder: Path, data: Data) -> None:
    """Refuse to go on with a training upon other data than it began with.

    Raises:
        DataError: they are others.
        CorruptFileError: the record is damaged, or of a newer version.
    """
    path = folder / CATALOGUE
    begun = read_json(path, kind=_KIND).get("data") if path.exists() else None
    if begun is not None and _digest(data) not in (None, begun):
        raise DataError(
            f"{data.name} has other events, items or users than when {folder} began: leave out "
            "--resume to start anew"
        )


def _digest(data: Data) -> str | None:
    """Of a data set, or of the files that examples are streamed from."""
    if isinstance(data, Dataset):
        return dataset_digest(data)
    if not data.files:
        return None
    return hashlib.sha256(" ".join(map(file_digest, data.files)).encode()).hexdigest()


def _known_by_place(job: Job, dataset: Dataset) -> Iterator[str]:
    """Rankers have a row an item, and one a user where they read fields of users.

    Click models have vocabularies of ids, so that other ids may come and go; but ids that are text
    are numbers there, by their place among all of them.
    """
    if job.data_kind == "click":
        if dataset.text_keys("item") is not None:
            yield "items"
        if dataset.text_keys("user") is not None:
            yield "users"
        return
    yield "items"
    if _inputs(job.parts).user_fields:
        yield "users"


def _names(parts: Parts, dataset: Dataset) -> Iterator[tuple[str, list[str]]]:
    for attribute in item_attributes(dataset, _inputs(parts).attributes):
        yield f"attribute {attribute.column}", attribute.values
    told = parts.get("scenes")
    if isinstance(told, SceneConfig):
        for column, values in Scenes.of(dataset, told).columns().items():
            yield column, list(values)


def _inputs(parts: Parts) -> InputConfig:
    """What is read of items and users; nothing, by a model that has no such settings."""
    found = parts.get("inputs")
    return found if isinstance(found, InputConfig) else InputConfig(())


def _change(then: Numbering, now: Numbering) -> str | None:
    """What differs first, and what to do; None: nothing does."""
    for what in dict.fromkeys([*then.ids, *now.ids]):
        before, after = then.ids.get(what), now.ids.get(what)
        if before != after:
            later = "; unirec takes items that came later by --new-items" * (what == "items")
            return f"{_counted(what, before, after)}: train again{later}"
    for what in dict.fromkeys([*then.names, *now.names]):
        old, new = set(then.names.get(what, ())), set(now.names.get(what, ()))
        if new - old:
            return f"has {what} {min(new - old)!r}, which the model was not trained on: train again"
        if old - new:
            return f"lacks {what} {min(old - new)!r}, which the model was trained on: train again"
    return None


def _counted(what: str, before: NumberedIds | None, after: NumberedIds | None) -> str:
    if before is None or after is None or before.number == after.number:
        return f"has other {what} than those that the model was trained on"
    return f"has {after.number:,} {what} where the model was trained on {before.number:,}"
