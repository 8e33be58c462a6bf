"""Parsing of user or item ids consistently over several files."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data import columns
from recops_models.data.checks import RawTable, RowCheck

IdKind = Literal["auto", "integer", "string", "typed"]
"""Kind of ids; see :func:`~recops_models.data.assemble.assemble`."""


_KEEP_TEXT = ", as most are; `recops data import --ids string` keeps every id, as text"


class IdReader:
    """Parser of one entity's ids: integers, or strings numbered over all files.

    Attributes:
        column: name of the id column.
        keys: sorted distinct string ids over all files; None for integer ids.
    """

    def __init__(self, entity: str, kind: IdKind, files: list[RawTable]) -> None:
        self.column, self._kind = f"{entity}_id", kind
        texts = [columns.id_text(raw.table[self.column]) for raw in files]
        if kind == "typed":
            is_text = pa.types.is_string(files[0].table[self.column].type)
            kind = "string" if is_text else "auto"
        integer = kind == "integer" or (kind == "auto" and columns.mostly_integers(texts[0]))
        self.keys: pa.Array | None = None
        if not integer:
            every = pa.chunked_array(
                [chunk for text in texts for chunk in text.chunks], pa.string()
            )
            unique = pc.unique(every.filter(pc.not_equal(every, "")))
            self.keys = unique.take(pc.array_sort_indices(unique))

    def read(self, raw: RawTable, check: RowCheck) -> NDArray[np.int64]:
        """Return the id of each row of ``raw``; ``check`` records the bad rows."""
        text = columns.id_text(raw.table[self.column])
        if self.keys is None:
            hint = _KEEP_TEXT if self._kind == "auto" else ""
            ids, faults = columns.parse_integer_ids(text, self.column, hint=hint)
        else:
            ids, faults = columns.parse_keys(text, self.keys, self.column)
        check.reject_faults(faults, self.column)
        return ids
