"""Importer of LETTER's files: ``NAME.inter.json`` and optionally ``NAME.index.json``.

Files of other names are found by ``inter`` and ``index`` in their names, or given.

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


def read_letter(
    path: Path, *, name: str | None = None, ids: IdKind = "auto", index: Path | None = None
) -> Dataset:
    """Read the files in folder ``path``, or the file ``path`` of interactions and its index.

    Args:
        path: folder with one ``NAME.inter.json`` or, if there is none, one other ``.json`` file
            with ``inter`` in its name; or the file of interactions, of any name.
        name: name of the data set; None: that of the file.
        ids: see :func:`~recops_models.data.assemble.assemble`.
        index: file of semantic IDs. None: ``NAME.index.json`` beside the interactions; in a folder
            otherwise its one ``.json`` file with ``index`` in its name.

    Raises:
        DataError: there is not exactly one file of interactions, there are several of semantic IDs,
            or a file does not have the format described above.
    """
    inter = path if path.is_file() else _only_file(path, "inter")
    if inter is None:
        raise DataError(f"{path}: must hold one .inter.json file, got 0; name the file itself")
    stem = inter.name.removesuffix(".json").removesuffix(".inter")
    notes = []
    if index is None:
        index = inter.with_name(f"{stem}.index.json")
        if not index.exists():
            index = None if path.is_file() else _only_file(path, "index")
            notes = [f"semantic IDs: {'no file' if index is None else index.name}"]
    return assemble(
        name or stem,
        _read_sequences(inter),
        None if index is None else read_sids(index),
        source=str(inter.parent),
        ids=ids,
        time="order",
        notes=(ORDER_NOTE, *notes),
    )


def _only_file(folder: Path, part: str) -> Path | None:
    """Return the folder's ``*.part.json``, or else its ``*part*.json``; None if it has none."""
    for pattern in (f"*.{part}.json", f"*{part}*.json"):
        files = [
            file
            for file in sorted(folder.glob(pattern))
            if part == "index" or "index" not in file.name
        ]
        if len(files) == 1:
            return files[0]
        if files:
            raise DataError(
                f"{folder}: must hold one {pattern.lstrip('*')} file, got {len(files)}; "
                f"name the {'file itself' if part == 'inter' else 'one to use (--index)'}"
            )
    return None


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
