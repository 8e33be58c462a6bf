"""Column names of a user's own tables: cleaning, renaming, and advice on missing columns."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import pyarrow as pa

from recops_models.data.errors import DataError
from recops_models.data.times import look_like_times

TableSource = Literal["file", "frame"]
"""Origin of a table; errors on files name options, errors on frames name arguments."""

_TIME_NAME = re.compile(
    r"(^|[ _-])(time|date|datetime|timestamp|ts|at|when|created)([ _-]|$)", re.I
)


def clean_name(name: str) -> str:
    """Return a column name without spaces and invisible characters at its ends."""
    shown = [i for i, c in enumerate(name) if not (c.isspace() or unicodedata.category(c) == "Cf")]
    return name[shown[0] : shown[-1] + 1] if shown else ""


def renamed(table: pa.Table, file: str, columns: Mapping[str, str]) -> pa.Table:
    """Return ``table`` with clean and canonical column names.

    Args:
        table: a table of the user's.
        file: name of the table, for errors.
        columns: names in the table by canonical name; names of other tables are ignored.

    Raises:
        DataError: two columns have the same name, or the table has both names of a column.
    """
    names = [clean_name(name) for name in table.column_names]
    if len(set(names)) < len(names):
        raise DataError(f"{file}: column names must be unique, got {', '.join(names)}")
    targets = {clean_name(name): target for target, name in columns.items()}
    targets = {name: target for name, target in targets.items() if name in names}
    for name, target in targets.items():
        if name != target and target in names and target not in targets:
            raise DataError(f"{file}: has both columns {name!r} and {target!r}; remove one")
    return table.rename_columns([targets.get(name, name) for name in names])


def check_mapped(
    columns: Mapping[str, str], names: Iterable[Sequence[str]], source: TableSource
) -> None:
    """Check that each column of the mapping is in a table.

    Args:
        columns: names in the tables by canonical name.
        names: column names of each table.
        source: origin of the tables.

    Raises:
        DataError: a column is in none of the tables.
    """
    known = {clean_name(name): None for table in names for name in table}
    for name in columns.values():
        if clean_name(name) not in known:
            raise DataError(
                f"columns: no {source} has the column {name!r} (columns: {', '.join(known)})"
            )


def check_present(table: pa.Table, file: str, required: Sequence[str], source: TableSource) -> None:
    """Check that a table has the required columns.

    Raises:
        DataError: a column is missing; the error suggests another name or a missing header.
    """
    present = table.column_names
    for name in required:
        if name in present:
            continue
        listed = ", ".join(present) or "none"
        alike = next((other for other in present if _plain(other) == _plain(name)), None)
        if alike is not None:
            advice = f"name it: {_mapping(name, alike, source)}"
        elif source == "file" and any(map(_is_number, present)):
            advice = "for a file without a header line, use --columns"
        else:
            advice = f"if it has another name: {_mapping(name, 'NAME', source)}"
        raise DataError(f"{file}: no column {name!r} (columns: {listed}); {advice}")


def has_times(table: pa.Table, file: str, source: TableSource) -> bool:
    """Return whether interactions have a column ``timestamp``.

    Raises:
        DataError: they have none, but another column looks like times.
    """
    if "timestamp" in table.column_names:
        return True
    for name in table.column_names:
        if look_like_times(table[name], large_numbers=_TIME_NAME.search(name) is not None):
            order = "--time-unit order" if source == "file" else "time_unit='order'"
            raise DataError(
                f"{file}: no column 'timestamp', but {name!r} looks like times: name it "
                f"({_mapping('timestamp', name, source)}), or use the order of the rows ({order})"
            )
    return False


def _mapping(canonical: str, name: str, source: TableSource) -> str:
    if source == "frame":
        return f"columns={{{canonical!r}: {name!r}}}"
    return "--map " + shlex.quote(f"{canonical}={name}")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
