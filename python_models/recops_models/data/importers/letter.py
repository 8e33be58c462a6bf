"""Importer of LETTER's files: ``NAME.inter.json`` and optionally ``NAME.index.json``.

``inter`` maps user ids to the user's items in time order. ``index`` maps item ids to semantic IDs;
it is the catalogue, and its codes become ``items["sid"]``.
"""

from __future__ import annotations

from pathlib import Path

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.ids import IdKind
from recops_models.data.importers.json_files import read_object
from recops_models.data.importers.sequences import ORDER_NOTE, sequence_rows
from recops_models.data.importers.sids import read_sids

_ID_TYPES = (int, str, type(None))  # None is a missing id; floats and bools are refused.


def read_letter(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the files in folder ``path``, or the file ``path`` (``….inter.json``) and its index.

    Raises:
        DataError: there is not exactly one ``.inter.json``, or a file does not have the format
            described above.
    """
    inter = _inter_file(path)
    stem = inter.name.removesuffix(".inter.json")
    index = inter.with_name(f"{stem}.index.json")
    return assemble(
        name or stem,
        _read_sequences(inter),
        read_sids(index) if index.exists() else None,
        source=str(inter.parent),
        ids=ids,
        time="order",
        notes=(ORDER_NOTE,),
    )


def _inter_file(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(path.glob("*.inter.json"))
    if len(files) != 1:
        raise DataError(
            f"{path}: must hold one .inter.json file, got {len(files)}; name the file itself"
        )
    return files[0]


def _read_sequences(file: Path) -> RawTable:
    sequences: dict[str, list[object]] = {}
    numbers: list[int] = []
    malformed: list[tuple[int, str]] = []
    pairs = read_object(file, "an object from user id to the list of its items")
    for number, (user, items) in enumerate(pairs, 1):
        if not isinstance(items, list) or not all(type(item) in _ID_TYPES for item in items):
            malformed.append((number, "a user's items are not a list of ids"))
        elif not items:
            malformed.append((number, "a user without items"))
        elif user in sequences:
            malformed.append((number, "a user is listed twice"))
        else:
            sequences[user] = items
            numbers.append(number)
    return sequence_rows(file.name, list(sequences), list(sequences.values()), numbers, malformed)
