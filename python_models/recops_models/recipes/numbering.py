"""Numbers of items, users and category values in a data set, as a trained model knows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from recops_models.data.attributes import item_attributes
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.examples.scenes import SceneConfig, Scenes
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.job import Job
from recops_models.recipes.parts import Parts
from recops_models.settings import JsonObject

ATTRIBUTE = "attribute "
"""Prefix of an attribute's column in :attr:`Numbering.names`."""


@dataclass(frozen=True)
class NumberedIds:
    """Ids in the order of their numbers.

    Attributes:
        number: number of ids.
        digest: SHA-256 of their JSON list, with the ids of the source.
    """

    number: int
    digest: str

    @classmethod
    def of(cls, keys: list[str] | list[int]) -> NumberedIds:
        """Return the record of ``keys``."""
        return cls(len(keys), hashlib.sha256(json.dumps(keys).encode()).hexdigest())


@dataclass(frozen=True)
class Numbering:
    """Everything that a model knows by number.

    Attributes:
        ids: records of ``"items"`` and ``"users"``, if the model knows their positions.
        names: ascending values of ``"task …"``, ``"objective …"`` and each ``"attribute …"``, by
            column.
    """

    ids: Mapping[str, NumberedIds]
    names: Mapping[str, Collection[str]]

    @classmethod
    def of(cls, job: Job, dataset: Dataset) -> Numbering:
        """Return the numbering of ``dataset`` for the job's model.

        Raises:
            DataError: a column that the settings name is missing or unfit.
        """
        ids = {
            entity: NumberedIds.of(dataset.item_keys if entity == "items" else dataset.user_keys)
            for entity in _known_by_position(job, dataset)
        }
        return cls(ids, dict(_names(job.parts, dataset)))

    def scenes(self) -> Numbering:
        """Return the part that a model with stored ids still knows by number alone."""
        names = {
            column: values
            for column, values in self.names.items()
            if not column.startswith(ATTRIBUTE)
        }
        return Numbering({}, names)

    def change(self, current: Numbering) -> str | None:
        """Describe the first difference of ``current``, and what to do; None if there is none."""
        for entity in dict.fromkeys([*self.ids, *current.ids]):
            before, after = self.ids.get(entity), current.ids.get(entity)
            if before != after:
                hint = "; unirec can add new items with --new-items" * (entity == "items")
                return f"{_count_change(entity, before, after)}: train again{hint}"
        for column in dict.fromkeys([*self.names, *current.names]):
            old, new = set(self.names.get(column, ())), set(current.names.get(column, ()))
            if new - old:
                return (
                    f"has {column} {min(new - old)!r}, which the model was not trained on: "
                    "train again"
                )
            if old - new:
                return (
                    f"lacks {column} {min(old - new)!r}, which the model was trained on: "
                    "train again"
                )
        return None


def check_numbering(
    name: str, recorded: JsonObject, current: Numbering, *, by_name: bool = False
) -> None:
    """Check that a data set still has the numbering that a training recorded.

    Args:
        name: name of the data set.
        recorded: content of ``catalogue.json``.
        current: the current numbering.
        by_name: items, users and attribute values are matched by name, so they may change.

    Raises:
        DataError: the numbering has changed; the message says how.
    """
    ids = {entity: NumberedIds(**record) for entity, record in recorded["ids"].items()}
    before = Numbering(ids, recorded["names"])
    change = before.scenes().change(current.scenes()) if by_name else before.change(current)
    if change is not None:
        raise DataError(f"{name} {change}")


def _known_by_position(job: Job, dataset: Dataset) -> Iterator[str]:
    """Return the entities whose position among all ids matters to the job's model.

    Rankers have a row per item, and a row per user if they read user fields. Click models have
    vocabularies of ids, so other ids may come and go. But ids that are text are stored as
    positions there.
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
        yield f"{ATTRIBUTE}{attribute.column}", attribute.values
    scenes = parts.get("scenes")
    if isinstance(scenes, SceneConfig):
        for column, values in Scenes.of(dataset, scenes).columns().items():
            yield column, list(values)


def _inputs(parts: Parts) -> InputConfig:
    """Return the columns that the model reads; none if it has no such settings."""
    inputs = parts.get("inputs")
    return inputs if isinstance(inputs, InputConfig) else InputConfig(())


def _count_change(entity: str, before: NumberedIds | None, after: NumberedIds | None) -> str:
    if before is None or after is None or before.number == after.number:
        return f"has other {entity} than those that the model was trained on"
    return f"has {after.number:,} {entity} where the model was trained on {before.number:,}"
