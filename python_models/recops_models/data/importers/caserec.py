"""Importer of CaseRecommender's zip archives of tab-separated ``.dat`` files with headers.

The largest file with three columns (user, item, value) holds the interactions. The values of the
second largest, such as hours played or ratings, become ``weight``; pairs without a value get 0. A
file ``…info.dat`` about items is the catalogue. Events have neither times nor an order
(``time="none"``).
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data import columns
from recops_models.data.archives import unpack
from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.ids import IdKind
from recops_models.data.importers.text_files import read_delimited

_NOTE = "the source has neither times nor an order: positions are random, with a fixed seed"
_TITLES = ("name", "game name", "title", "book-title")


def read_caserec(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the archive ``path``.

    Raises:
        DataError: the file is missing, damaged or not a zip archive; it unpacks to more than 1 GiB;
            or it has no file of interactions.
    """
    files = _read_archive(path)
    items = {file: raw for file, raw in files.items() if file.endswith("info.dat")}
    feedback = sorted(
        (raw for file, raw in files.items() if file not in items and _num_columns(raw) == 3),
        key=lambda raw: -raw.table.num_rows,
    )
    if not feedback:
        raise DataError(f"{path}: must hold a .dat file with the columns user, item, value")
    catalogue = [raw for file, raw in items.items() if not file.startswith("user")]
    interactions = _named(feedback[0])
    notes = [_NOTE]
    if len(feedback) > 1:
        interactions, note = _weighted(interactions, _named(feedback[1]))
        notes.append(note)
    used = {raw.file for raw in (*catalogue[:1], *feedback[:2])}
    notes += [f"{raw.file}: not used" for raw in files.values() if raw.file not in used]
    return assemble(
        name or path.stem,
        interactions,
        _described(catalogue[0]) if catalogue else None,
        source=str(path),
        ids=ids,
        time="none",
        notes=tuple(notes),
    )


def _read_archive(path: Path) -> dict[str, RawTable]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a zip archive of .dat files")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in sorted(archive.namelist()) if name.endswith(".dat")]
            contents = unpack(archive, members)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: not readable as a zip archive ({error})") from error
    return {
        (file := PurePosixPath(member).name): read_delimited(
            path / file,
            delimiter="\t",
            quoting=False,
            only_text=True,
            content=_without_end_tabs(content),
        )
        for member, content in contents.items()
    }


def _without_end_tabs(content: bytes) -> bytes:
    """Remove the trailing tab of the header, and of rows with one tab too many.

    Rows of Book-Crossing end with a tab, which would add an empty column. A row with the right
    number of tabs keeps its trailing tab, because its last column is empty.
    """
    header, newline, rows = content.partition(b"\n")
    names = header.rstrip(b"\r\t")
    num_tabs = names.count(b"\t")
    end_tab = re.compile(rb"^((?:[^\t\n]*\t){%d}[^\t\n]*)\t(\r?)$" % num_tabs, re.MULTILINE)
    return names + newline + end_tab.sub(rb"\1\2", rows)


def _num_columns(raw: RawTable) -> int:
    return len(raw.table.column_names)


def _named(raw: RawTable) -> RawTable:
    table = raw.table.rename_columns(["user_id", "item_id", "value"])
    return RawTable(raw.file, table, raw.malformed)


def _weighted(first: RawTable, second: RawTable) -> tuple[RawTable, str]:
    """Return the rows of ``first`` with the values of ``second`` as weights, and a note."""
    pairs, others = (
        pc.binary_join_element_wise(
            *(columns.as_text(raw.table[name]) for name in ("user_id", "item_id")), "\t"
        ).combine_chunks()
        for raw in (first, second)
    )
    values = columns.as_text(second.table["value"]).combine_chunks()
    weight = pc.fill_null(values.take(pc.index_in(pairs, value_set=others)), "0")
    known = columns.mask(pa.chunked_array([pc.is_in(others, value_set=pairs)]))
    repeated = len(others) - pc.count_distinct(others).as_py()
    note = (
        f"{second.file}: {second.table.num_rows:,} values are weights of the pairs in "
        f"{first.file}; {int(np.count_nonzero(~known)):,} have an unknown pair, "
        f"{repeated:,} repeat an earlier one, {len(second.malformed):,} could not be split"
    )
    table = first.table.select(["user_id", "item_id"]).append_column("weight", weight)
    return RawTable(first.file, table, first.malformed), note


def _described(raw: RawTable) -> RawTable:
    """Return the catalogue with typed columns: a title, lists of genres, numbers and categories.

    A column is numeric if more than half of its non-empty values are numbers.
    """
    first, *others = raw.table.column_names
    table = {"item_id": raw.table[first]}
    for header in others:
        column, name = raw.table[header], header.strip().lower()
        if name in _TITLES and "title" not in table:
            table["title"] = column
        elif name.startswith("genre"):
            table[name] = pc.split_pattern_regex(column, r"\s*,\s*")
        else:
            values, faults = columns.parse_numbers(column, name)
            bad = np.any([rows for _, rows in faults], axis=0)
            num_values = int(columns.mask(pc.not_equal(columns.as_text(column), "")).sum())
            is_numeric = 2 * int((~bad).sum()) > num_values
            table[name] = (
                pa.chunked_array([pa.array(values, mask=bad)])
                if is_numeric
                else column.dictionary_encode()
            )
    return RawTable(raw.file, pa.table(table), raw.malformed)
