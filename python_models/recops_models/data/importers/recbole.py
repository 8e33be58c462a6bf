"""Importer of RecBole's atomic files: ``NAME.inter``, optionally ``NAME.item`` and ``NAME.user``.

Files are tab-separated and unquoted, with a typed header such as ``user_id:token``. A ``token``
column becomes a category, ``float`` a number, and ``token_seq`` a list of categories. A
``token_seq`` with a name of text (title, name, description, text, review, summary) becomes text.
"""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.ids import IdKind
from recops_models.data.importers.text_files import read_delimited

_TEXT_NAME = re.compile(r"title|name|desc|text|review|summary", re.IGNORECASE)


def read_recbole(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the atomic files in folder ``path``, or those with the stem of ``path`` (``….inter``).

    Raises:
        DataError: there is not exactly one ``.inter`` file; a header has no type; a column is
            missing.
    """
    inter = _inter_file(path)
    raws = {kind: _read(inter.with_suffix(f".{kind}")) for kind in ("inter", "item", "user")}
    interactions = raws["inter"]
    assert interactions is not None  # _inter_file found it.
    return assemble(
        name or inter.stem,
        interactions,
        raws["item"],
        raws["user"],
        source=str(inter.parent),
        ids=ids,
    )


def _inter_file(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(path.glob("*.inter"))
    if len(files) != 1:
        raise DataError(
            f"{path}: must hold one .inter file, got {len(files)}; name the file itself"
        )
    return files[0]


def _read(file: Path) -> RawTable | None:
    if not file.exists():
        return None
    raw = read_delimited(file, delimiter="\t", quoting=False, only_text=True)
    names, typed = [], []
    for header, column in zip(raw.table.column_names, raw.table.columns, strict=True):
        name, separator, kind = header.partition(":")
        if not separator:
            raise DataError(
                f"{file}: header {header!r} has no type; RecBole writes name:token, name:float, …"
            )
        names.append(name)
        plain = name in ("user_id", "item_id", "timestamp")
        typed.append(column if plain else _typed(column, name, kind, file))
    return RawTable(raw.file, pa.table(typed, names=names), raw.malformed)


def _typed(column: pa.ChunkedArray, name: str, kind: str, file: Path) -> pa.ChunkedArray:
    if kind == "float":
        return column if file.suffix == ".inter" else _numbers(column, name, file)
    if kind == "token":
        return column if file.suffix == ".inter" else column.dictionary_encode()
    if kind == "token_seq":
        return (
            column
            if _TEXT_NAME.search(name)
            else pc.split_pattern_regex(pc.utf8_trim(column, " "), " +")
        )
    if kind == "float_seq":
        return column  # Kept as text, because no model reads it.
    raise DataError(
        f"{file}: type of column {name!r} must be token, token_seq, float or float_seq, "
        f"got {kind!r}"
    )


def _numbers(column: pa.ChunkedArray, name: str, file: Path) -> pa.ChunkedArray:
    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: column {name!r} is declared float, but {error}") from error
