"""Tables of any data frame library as Arrow tables, and back.

Every library that implements the Arrow PyCapsule protocol (``__arrow_c_stream__``) works: pyarrow,
polars, pandas, duckdb. So do Hugging Face datasets and dicts of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pyarrow as pa

from recops_models.data.errors import DataError

Frame: TypeAlias = Any
"""Table of any library, or a dict of arrays; results have the type of the caller's library."""

IdsLike: TypeAlias = Frame
"""One id, or an iterable, an array or a column of ids, or a frame with a column of ids."""

VectorsLike: TypeAlias = Frame
"""Array, tensor or nested list of numbers."""

ARROW = "pyarrow"


def to_arrow(frame: Frame, name: str) -> pa.Table:
    """Return a frame as an Arrow table. The index of a pandas frame is left out.

    Args:
        frame: table of any library that implements the Arrow PyCapsule protocol, or a dict of
            arrays.
        name: name of the argument, for errors.

    Raises:
        DataError: ``frame`` is no table, or a column mixes types.
    """
    try:
        if isinstance(frame, Mapping):
            return pa.table({str(key): _column(key, values) for key, values in frame.items()})
        if library_of(frame) == "pandas":
            return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        if isinstance(frame, pa.Table):
            return frame
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
        if hasattr(frame, "with_format"):  # Hugging Face datasets.
            return frame.with_format("arrow")[:]
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = ": ".join(str(part) for part in reversed(error.args)).partition("\n")[0]
        raise DataError(
            f"{name}: cannot be read as a table, whose columns hold one type each ({reason})"
        ) from error
    raise DataError(
        f"{name}: must be a table (pandas, polars, pyarrow, duckdb or a dict of arrays), got "
        f"{type(frame).__name__}"
    )


def is_frame(value: object) -> bool:
    """Return whether :func:`to_arrow` may read ``value``; a single column is no frame."""
    if isinstance(value, (Mapping, pa.Table)):
        return True
    if library_of(value) == "pandas":
        return type(value).__name__ == "DataFrame"
    is_series = type(value).__name__ in ("Series", "Array", "ChunkedArray")
    return hasattr(value, "__arrow_c_stream__") and not is_series


def library_of(frame: Frame) -> str:
    """Return the library whose tables :func:`from_arrow` returns for this caller.

    ``"dict"`` stands for dicts; an unknown library gets pyarrow tables.
    """
    if isinstance(frame, Mapping):
        return "dict"
    packages = [kind.__module__.partition(".")[0] for kind in type(frame).__mro__]
    packages = ["duckdb" if package == "_duckdb" else package for package in packages]
    return next((package for package in packages if package in _FROM_ARROW), ARROW)


def from_arrow(table: pa.Table, library: str) -> Frame:
    """Return an Arrow table as a table of ``library``.

    Args:
        table: the table.
        library: a result of :func:`library_of`. A library that is not installed gives ``table``.
    """
    try:
        return _FROM_ARROW[library](table)
    except ImportError:
        return table


def _column(name: object, values: Frame) -> pa.Array:
    if hasattr(values, "detach"):  # A torch tensor.
        from recops_models.training.device import array

        values = array(values)
    if getattr(values, "ndim", 1) > 1:
        return pa.array(list(values))
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ValueError(f"column {name}: {error}") from error


def _to_polars(table: pa.Table) -> Frame:
    import polars

    return polars.from_arrow(table)


def _to_duckdb(table: pa.Table) -> Frame:
    import duckdb

    return duckdb.from_arrow(table)


def _to_dict(table: pa.Table) -> Frame:
    return {name: table[name].to_numpy() for name in table.column_names}


_FROM_ARROW: dict[str, Callable[[pa.Table], Frame]] = {
    ARROW: lambda table: table,
    "dict": _to_dict,
    "pandas": lambda table: table.to_pandas(),
    "polars": _to_polars,
    "duckdb": _to_duckdb,
}
