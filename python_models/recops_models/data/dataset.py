"""The in-memory format of a data set: three Arrow tables."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.column_roles import ColumnRole, column_role
from recops_models.data.errors import DataError
from recops_models.data.event_columns import EventColumn
from recops_models.data.histories import AnyArray
from recops_models.data.report import ImportReport
from recops_models.data.table_options import TableOptions, TimeUnit
from recops_models.data.times import TimeFormat
from recops_models.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    from recops_models.data.frames import Frame

TimeKind = Literal["seconds", "order", "none"]
Repeats = Literal["keep", "drop"]

BLOCK = 1 << 20
"""Rows per block of :meth:`Dataset.event_blocks`, and per row group of a stored data set."""
Entity = Literal["item", "user"]


@dataclass(frozen=True)
class Dataset:
    """Interactions, items and users of one data set.

    Attributes:
        name: the data set's name.
        interactions: ``user_id`` i64, ``item_id`` i64, ``timestamp`` i64, and if the source has
            them ``rating``, ``label``, ``feedback`` (0 disliked, 1 neutral, 2 liked), ``weight``,
            ``position`` (the slot of an impression) and ``propensity`` f32. No nulls. Sorted by
            time; ties stay in the order of the source.
        items: ``item_id`` i64 (ascending, unique: the catalogue) and any text and attribute
            columns. ``item_key`` holds the source's ids if they are text.
        users: ``user_id`` i64 (ascending, unique) and attributes. ``user_key`` holds the source's
            ids if they are text.
        report: counts of rows read and dropped by the import.
        time: meaning of ``timestamp``. ``"seconds"``: since the epoch. ``"order"``: position of
            the event within its user's history, for sources without times. ``"none"``: a random
            position from a fixed seed, for sources without order; a held-out last event is then a
            random event.
        library: library of the frames that the data was read from (``"polars"``); results come back
            in it.
        columns: names of the source's columns by canonical name (``{"item_id": "sku"}``).
        time_format: format of the source's times.
        repeats: whether lists may contain items of the history (``"keep"``), and a sampled negative
            any item but the one of its event; see :mod:`recops_models.data.repeats`.
        event_columns: columns of the interactions that click models read, as a schema lists them.
        reads_lists: whether click models read lists of categories of items and users: those of own
            data. Named sets keep their features.
        labels: columns of the interactions with labels 0 and 1 in addition to clicks, the weakest
            first; see :mod:`recops_models.data.labels`.
        value: column of the interactions with the amount of an event, such as the price paid.

    Example:
        >>> import recops_models as rm
        >>> log = {"user_id": ["u1", "u1", "u2"], "item_id": [7, 9, 7], "timestamp": [1, 2, 3]}
        >>> data = rm.Dataset.from_frames(log)
        >>> data.interactions.num_rows, data.items.num_rows
        (3, 2)
    """

    name: str
    interactions: pa.Table
    items: pa.Table
    users: pa.Table
    report: ImportReport
    time: TimeKind = "seconds"
    library: str = "pyarrow"
    columns: Mapping[str, str] = field(default_factory=dict)
    time_format: TimeFormat = field(default_factory=TimeFormat)
    repeats: Repeats = "drop"
    event_columns: tuple[EventColumn, ...] = ()
    reads_lists: bool = False
    labels: tuple[str, ...] = ()
    value: str | None = None

    def __post_init__(self) -> None:
        for table, columns in (
            (self.interactions, ("user_id", "item_id", "timestamp")),
            (self.items, ("item_id",)),
            (self.users, ("user_id",)),
        ):
            for column in columns:
                if column not in table.column_names or table[column].type != pa.int64():
                    raise DataError(f"{self.name}: a table lacks its int64 column {column!r}")
                if table[column].null_count:
                    raise DataError(f"{self.name}: column {column!r} holds nulls")
        if (np.diff(self.interactions["timestamp"].to_numpy()) < 0).any():
            raise DataError(f"{self.name}: interactions are not in time order")

    @classmethod
    def from_frames(
        cls,
        interactions: Frame,
        items: Frame | None = None,
        users: Frame | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        time_unit: TimeUnit = "s",
        time_format: str | None = None,
        repeats: Repeats | None = None,
        schema: str | Path | None = None,
        name: str = "frames",
    ) -> Dataset:
        """Return a data set from data frames, with the caller's ids.

        Each frame is a table of any library that implements the Arrow PyCapsule protocol (pyarrow,
        polars, pandas, duckdb, Hugging Face datasets), or a dict of arrays. Bad rows are left out,
        and ``report`` counts and names them.

        Args:
            interactions: columns ``user_id``, ``item_id`` and ``timestamp`` (a number, a date or a
                time), and the optional columns of :mod:`recops_models.data.importers.folder`.
                Without ``timestamp``, the rows are in the order of the events.
            items: column ``item_id`` and any text or attributes. It is the catalogue: events of
                other items are left out. None: the items of the interactions.
            users: column ``user_id`` and any attributes.
            columns: names in the frames by canonical name, such as ``{"item_id": "sku"}``.
            time_unit: unit of numbers in ``timestamp`` since the epoch; ``"order"`` ignores them,
                for rows in the order of the events.
            time_format: format of text in ``timestamp``, such as ``"%d/%m/%Y %H:%M"``; None reads
                ISO dates, ``2026/01/31`` and ``31.01.2026``.
            repeats: ``"keep"`` if lists may contain items of the history, ``"drop"`` if not; None:
                keep if at least a tenth of the events repeat an item of their user.
            schema: file of the roles of columns, see :mod:`recops_models.data.column_schema`.
            name: name of the data set, for reports.

        Raises:
            DataError: a frame is no table, a column is missing or mixes types, no valid event is
                left, or an option is invalid.

        Example:
            >>> import recops_models as rm
            >>> log = {"uid": ["a", "a", "b"], "sku": [7, 9, 7], "ts": [1, 2, 3]}
            >>> names = {"user_id": "uid", "item_id": "sku", "timestamp": "ts"}
            >>> data = rm.Dataset.from_frames(log, columns=names)
            >>> data.user_keys, data.item_keys
            (['a', 'b'], [7, 9])
        """
        # The reader builds data sets, so that an import of it here would be a cycle.
        reader = importlib.import_module("recops_models.data.from_frames")
        dataset: Dataset = reader.dataset_from_frames(
            interactions,
            items,
            users,
            options=TableOptions(columns or {}, time_unit=time_unit, time_format=time_format),
            repeats=repeats,
            schema=schema,
            name=name,
        )
        return dataset

    @classmethod
    def from_impressions(
        cls,
        impressions: str | Path | pa.Table,
        clicks: Frame,
        catalogue: Dataset | None = None,
        *,
        window: int = 86_400,
        columns: Mapping[str, str] | None = None,
        time_unit: TimeUnit = "s",
        time_format: str | None = None,
        name: str = "impressions",
    ) -> Dataset:
        """Return a data set of impressions, labelled by the clicks that answer them.

        A click counts for the user's last impression of the item, at most ``window`` seconds
        before. ``report.notes`` counts matched and unmatched clicks. Histories of training examples
        end before the list of an impression.

        Args:
            impressions: folder of ``recommend(log=...)``, or the result of
                :func:`~recops_models.data.impressions.read_impressions`.
            clicks: columns ``user_id``, ``item_id`` and ``timestamp``.
            catalogue: data set whose items and users describe those of the impressions; impressions
                of other items are left out. None: ids only.
            window: longest time from an impression to its click, in seconds.
            columns: names in ``clicks`` by canonical name.
            time_unit: see :meth:`from_frames`, for the clicks.
            time_format: see :meth:`from_frames`, for the clicks.
            name: name of the data set.

        Raises:
            CorruptFileError: a file of the log is damaged or from a newer version.
            DataError: the log is empty, the clicks cannot be read or have no times, or no valid
                impression is left.
            ValueError: ``window`` is negative.
        """
        # The reader builds data sets, so that an import of it here would be a cycle.
        reader = importlib.import_module("recops_models.data.from_impressions")
        dataset: Dataset = reader.dataset_from_impressions(
            impressions,
            clicks,
            catalogue,
            window=window,
            options=TableOptions(columns or {}, time_unit=time_unit, time_format=time_format),
            name=name,
        )
        return dataset

    @property
    def event_schema(self) -> pa.Schema:
        """Names and types of the columns of ``interactions``."""
        return self.interactions.schema

    @property
    def num_events(self) -> int:
        """Number of interactions."""
        return int(self.interactions.num_rows)

    def event_blocks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the interactions in order, in blocks of :data:`BLOCK` rows; the last is shorter.

        Args:
            columns: the columns to read; None: all.
        """
        table = self.interactions if columns is None else self.interactions.select(list(columns))
        for start in range(0, table.num_rows, BLOCK):
            yield table.slice(start, BLOCK)

    def event_values(self, column: str) -> AnyArray:
        """Return the values ``[E]`` of a column of the interactions that has no nulls."""
        kind = self.event_schema.field(column).type
        values = np.empty(self.num_events, dtype=kind.to_pandas_dtype())
        start = 0
        for block in self.event_blocks([column]):
            values[start : start + block.num_rows] = block[column].to_numpy()
            start += block.num_rows
        return values

    @property
    def item_vocabulary(self) -> Vocabulary:
        """Vocabulary of the catalogue: index ``i`` is row ``i`` of ``items``."""
        return Vocabulary(self.items["item_id"].to_numpy().copy())

    @property
    def user_vocabulary(self) -> Vocabulary:
        """Vocabulary of the users: index ``i`` is row ``i`` of ``users``."""
        return Vocabulary(self.users["user_id"].to_numpy().copy())

    @property
    def item_keys(self) -> list[str] | list[int]:
        """Ids ``[N]`` of the items in the source, in the order of ``items``."""
        keys: list[str] | list[int] = entity_keys(self, "item").to_pylist()
        return keys

    @property
    def user_keys(self) -> list[str] | list[int]:
        """Ids ``[U]`` of the users in the source, in the order of ``users``."""
        keys: list[str] | list[int] = entity_keys(self, "user").to_pylist()
        return keys

    @property
    def streamed_digest(self) -> str:
        """Digest of histories that are not in memory; empty if there are none."""
        return ""

    def text_keys(self, entity: Entity) -> pa.ChunkedArray | None:
        """Return the ids in the source if they are text, None if they are integers."""
        table = self.items if entity == "item" else self.users
        return table[f"{entity}_key"] if f"{entity}_key" in table.column_names else None

    def item_columns(self, role: ColumnRole) -> list[str]:
        """Return the names of the ``items`` columns with this role.

        Args:
            role: see :func:`~recops_models.data.column_roles.column_role`.
        """
        names = [name for name in self.items.column_names if name not in ("item_id", "item_key")]
        return [name for name in names if column_role(self.items[name]) == role]

    def user_id(self, key: str) -> int:
        """Return the id of the user with the source's id ``key``, as text.

        Raises:
            DataError: no such user.
        """
        return self._resolve(self.users, "user", key)

    def item_id(self, key: str) -> int:
        """Return the id of the item with the source's id ``key``, as text.

        Raises:
            DataError: no such item.
        """
        return self._resolve(self.items, "item", key)

    def _resolve(self, table: pa.Table, entity: str, key: str) -> int:
        ids = table[f"{entity}_id"]
        names = (
            table[f"{entity}_key"]
            if f"{entity}_key" in table.column_names
            else ids.cast(pa.string())
        )
        row = pc.index(names, pa.scalar(key, names.type)).as_py()
        if row < 0:
            raise DataError(
                f"{self.name}: no {entity} {key!r} among {table.num_rows:,} {entity}s, such as "
                f"{names[0]}"
            )
        return int(ids[row].as_py())


def entity_keys(dataset: Dataset, entity: str) -> pa.ChunkedArray:
    """Return the ids of all users or items in the source: strings or integers."""
    table: pa.Table = getattr(dataset, f"{entity}s")
    return table[f"{entity}_key" if f"{entity}_key" in table.column_names else f"{entity}_id"]
