"""First pass over interactions: kind and strings of the ids, and roles of text columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data import columns
from recops_models.data.checks import RawTable, with_columns
from recops_models.data.events import setting_columns
from recops_models.data.ids import IdKind, IdReader, are_integers
from recops_models.data.out_of_core.distinct_text import DistinctText, SortedText
from recops_models.data.out_of_core.interactions import Interactions
from recops_models.data.out_of_core.text_index import TextIndex

_CONTEXT = ("domain", "scene")


class KeysOnDisk:
    """Numbers of string ids, which are their positions in a sorted file."""

    def __init__(self, keys: SortedText) -> None:
        self._keys, self._index = keys, TextIndex(keys)

    def find(self, text: pa.ChunkedArray) -> NDArray[np.int64]:
        """See :meth:`~recops_models.data.ids.TextNumbers.find`."""
        return self._index.find(text)

    def take(self, numbers: NDArray[np.int64]) -> Iterator[pa.Array]:
        """See :meth:`~recops_models.data.ids.TextNumbers.take`."""
        return self._keys.take(numbers)


@dataclass
class _Entity:
    """Counts and strings of the ids of one entity."""

    listed: RawTable | None
    collects: bool | None = None
    integers: int = 0
    present: int = 0


def id_readers(
    interactions: Interactions,
    kind: IdKind,
    *,
    items: RawTable | None,
    users: RawTable | None,
    folder: Path,
) -> tuple[IdReader, IdReader]:
    """Return the readers of item and user ids, numbered over all files.

    Args:
        interactions: they decide the kind of the ids.
        kind: ``"auto"``, ``"integer"`` or ``"string"``.
        items: the items file; None: there is none.
        users: the users file; None: there is none.
        folder: existing folder for the strings.
    """
    entities = {"item": _Entity(items), "user": _Entity(users)}
    readers: dict[str, IdReader] = {}
    while pending := {name: each for name, each in entities.items() if name not in readers}:
        collectors = _collect(interactions, pending, kind, folder)
        for name, entity in pending.items():
            if are_integers(kind, entity.integers, entity.present):
                readers[name] = IdReader(name, kind, None)
            elif entity.collects:
                readers[name] = IdReader(name, kind, KeysOnDisk(collectors[name].finish()))
            entity.collects = True  # Most of the first ids were integers, but not most of all ids.
    return readers["item"], readers["user"]


def _collect(
    interactions: Interactions, entities: dict[str, _Entity], kind: IdKind, folder: Path
) -> dict[str, DistinctText]:
    """Count the integers among the ids of ``entities``, and collect the strings of text ids.

    Text ids are recognized by the first rows, so that numbers are not collected as strings.
    """
    names = [f"{entity}_id" for entity in entities]
    collectors = {name: DistinctText(folder / name) for name in entities}
    for entity in entities.values():
        entity.integers = entity.present = 0
    for raw in interactions.blocks(names):
        table = with_columns(raw, names).table
        for name, entity in entities.items():
            text = columns.id_text(table[f"{name}_id"])
            integers, present = columns.count_integers(text)
            if entity.collects is None:
                entity.collects = not are_integers(kind, integers, present)
            if entity.collects:
                collectors[name].add(text.filter(pc.not_equal(text, "")))
            entity.integers, entity.present = entity.integers + integers, entity.present + present
    for name, entity in entities.items():
        if entity.listed is not None and entity.collects:
            text = columns.id_text(entity.listed.table[f"{name}_id"])
            collectors[name].add(text.filter(pc.not_equal(text, "")))
    return collectors


def kept_columns(interactions: Interactions, folder: Path) -> tuple[str, ...]:
    """Return :func:`~recops_models.data.events.setting_columns` of all rows.

    Args:
        interactions: read once, if they have text columns without a fixed meaning.
        folder: existing folder for the strings.
    """
    schema = interactions.schema
    candidates = setting_columns(schema.empty_table())
    text = [
        name
        for name in candidates
        if name not in _CONTEXT and pa.types.is_string(schema.field(name).type)
    ]
    titles = _mostly_distinct(interactions, text, folder) if text else ()
    return tuple(name for name in candidates if name not in titles)


def _mostly_distinct(
    interactions: Interactions, names: Sequence[str], folder: Path
) -> Iterable[str]:
    """Return the columns with more than half of their values distinct."""
    values = {name: DistinctText(folder / f"text{at}") for at, name in enumerate(names)}
    present = dict.fromkeys(names, 0)
    for raw in interactions.blocks(names):
        for name in names:
            column = raw.table[name]
            values[name].add(column)
            present[name] += len(column) - column.null_count
    return [name for name in names if 2 * len(values[name].finish()) > present[name]]
