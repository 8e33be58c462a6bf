"""Importer of S3Rec's text format: one line per user, ``user item item …``, in time order.

``NAME.txt`` has two optional companions: ``NAME_item2attributes.json`` maps item ids to lists of
attribute ids, ``NAME_item2title.json`` maps item ids to titles. Items in either are the catalogue.
The source has no times: an event's timestamp is its position in the line (``time="order"``).
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recops.files import read_bounded
from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.ids import IdKind
from recops_models.data.importers.json_files import read_object
from recops_models.data.importers.sequences import ORDER_NOTE, sequence_rows

_ATTRIBUTES = "a JSON object from item id to a list of integers"
_COMPANIONS = ("attributes", "title")
_TITLES = "a JSON object from item id to its title"


def read_s3rec(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the sequences in file ``path``, and the optional attributes and titles.

    Raises:
        DataError: the file is missing, not text, or empty; attributes or titles do not have the
            format described above.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected NAME.txt with one user per line")
    interactions = read_sequences(path)
    attributes, titles = (path.with_name(f"{path.stem}_item2{of}.json") for of in _COMPANIONS)
    items = _read_attributes(attributes) if attributes.exists() else None
    items = _with_titles(items, titles) if titles.exists() else items
    return assemble(
        name or path.stem,
        interactions,
        items,
        source=str(path),
        ids=ids,
        time="order",
        notes=(ORDER_NOTE,),
    )


def read_sequences(path: Path) -> RawTable:
    """Read the sequences in file ``path``, one row per event.

    Raises:
        DataError: the file is not text, or empty.
    """
    try:
        text = read_bounded(path).decode("utf-8-sig")
    except ValueError as error:
        raise DataError(f"{path}: not UTF-8 text ({error})") from error
    sequences: dict[str, list[str]] = {}
    numbers: list[int] = []
    malformed: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        user, *items = line.split() or [""]
        if user and not items:
            malformed.append((number, "a user without items"))
        elif user in sequences:
            malformed.append((number, "a user is listed twice"))
        elif user:
            sequences[user] = items
            numbers.append(number)
    if not sequences and not malformed:
        raise DataError(f"{path}: has no sequences")
    return sequence_rows(path.name, list(sequences), list(sequences.values()), numbers, malformed)


def _read_attributes(path: Path) -> RawTable:
    pairs = read_object(path, _ATTRIBUTES)
    for item, values in pairs:
        if not isinstance(values, list) or not all(_is_id(value) for value in values):
            raise DataError(f"{path}: must be {_ATTRIBUTES}, got another value for item {item!r}")
    table = pa.table(
        {
            "item_id": [item for item, _ in pairs],
            # A list may repeat an attribute.
            "attributes": pa.array(
                [list(dict.fromkeys(values)) for _, values in pairs], pa.list_(pa.int64())
            ),
        }
    )
    return RawTable(path.name, table)


def _with_titles(items: RawTable | None, path: Path) -> RawTable:
    """Return ``items`` and the items in the file of titles, with their titles."""
    pairs = read_object(path, _TITLES)
    for item, title in pairs:
        if not isinstance(title, str):
            raise DataError(f"{path}: must be {_TITLES}, got another value for item {item!r}")
    ids, titles = (pa.array(values) for values in zip(*pairs, strict=True))
    if items is None:
        return RawTable(path.name, pa.table({"item_id": ids, "title": titles}))
    known = items.table["item_id"]
    new = pa.table({"item_id": ids.filter(pc.invert(pc.is_in(ids, value_set=known)))})
    table = pa.concat_tables([items.table, new], promote_options="default")
    rows = pc.index_in(table["item_id"], value_set=ids)
    return RawTable(f"{items.file}, {path.name}", table.append_column("title", titles.take(rows)))


def _is_id(value: object) -> bool:
    return type(value) is int and abs(value) < 2**63  # Not isinstance: a bool is an int.
