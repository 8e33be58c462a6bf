"""Parsing of user or item ids consistently over several files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data import columns
from recops_models.data.checks import RawTable, RowCheck

IdKind = Literal["auto", "integer", "string", "typed"]
"""Kind of ids; see :func:`~recops_models.data.assemble.assemble`."""


_KEEP_TEXT = ", as most are; `recops data import --ids string` keeps every id, as text"


class TextNumbers(Protocol):
    """Numbers of string ids, in sorted order."""

    def find(self, text: pa.ChunkedArray) -> NDArray[np.int64]:
        """Return the number of each id; a missing id gets any number."""
        ...

    def take(self, numbers: NDArray[np.int64]) -> Iterator[pa.Array]:
        """Yield the ids of ascending numbers ``[n]``, in blocks."""
        ...


class KeysInMemory:
    """Numbers of string ids, which are their positions in a sorted array.

    Args:
        texts: strings; an empty string is no id.
    """

    def __init__(self, texts: Iterable[pa.ChunkedArray]) -> None:
        every = pa.chunked_array([chunk for text in texts for chunk in text.chunks], pa.string())
        unique = pc.unique(every.filter(pc.not_equal(every, "")))
        self._keys = unique.take(pc.array_sort_indices(unique))

    def find(self, text: pa.ChunkedArray) -> NDArray[np.int64]:
        """See :meth:`TextNumbers.find`."""
        numbers = pc.fill_null(pc.index_in(text, value_set=self._keys), 0)
        result: NDArray[np.int64] = numbers.to_numpy().astype(np.int64)
        return result

    def take(self, numbers: NDArray[np.int64]) -> Iterator[pa.Array]:
        """See :meth:`TextNumbers.take`."""
        yield self._keys.take(pa.array(numbers))


class IdReader:
    """Parser of one entity's ids: integers, or strings numbered over all files.

    Args:
        entity: ``"item"`` or ``"user"``.
        kind: the kind of ids that was asked for.
        numbering: numbers of string ids; None: the ids are integers.

    Attributes:
        column: name of the id column.
        key_column: name of the column for string ids.
        numbering: see the argument.
    """

    def __init__(self, entity: str, kind: IdKind, numbering: TextNumbers | None) -> None:
        self.column, self.key_column = f"{entity}_id", f"{entity}_key"
        self._kind, self.numbering = kind, numbering

    @classmethod
    def of(cls, entity: str, kind: IdKind, files: list[RawTable]) -> IdReader:
        """Return the reader of the ids in ``files``, the first of which decides their kind."""
        column = f"{entity}_id"
        texts = [columns.id_text(raw.table[column]) for raw in files]
        chosen = kind
        if kind == "typed":
            chosen = "string" if pa.types.is_string(files[0].table[column].type) else "auto"
        is_integer = are_integers(chosen, *columns.count_integers(texts[0]))
        return cls(entity, kind, None if is_integer else KeysInMemory(texts))

    def read(self, raw: RawTable, check: RowCheck) -> NDArray[np.int64]:
        """Return the id of each row of ``raw``; ``check`` records the bad rows."""
        column = raw.table[self.column]
        if self.numbering is not None:
            text = columns.id_text(column)
            ids, faults = self.numbering.find(text), [columns.missing_ids(text, self.column)]
        elif pa.types.is_integer(column.type):
            ids, faults = columns.check_integer_ids(column, self.column)
        else:
            hint = _KEEP_TEXT if self._kind == "auto" else ""
            text = columns.id_text(column)
            ids, faults = columns.parse_integer_ids(text, self.column, hint=hint)
        check.reject_faults(faults, self.column)
        return ids


def are_integers(kind: IdKind, integers: int, present: int) -> bool:
    """Return whether ids are integers: as asked for, or more than half of those ``present``."""
    return kind == "integer" or (kind == "auto" and 2 * integers > present)
