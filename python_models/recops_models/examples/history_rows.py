"""Events of all histories, grouped by user, and the values of their sequences."""

from __future__ import annotations

import numpy as np

from recops_models.data.errors import DataError
from recops_models.data.histories import AnyArray, Int64Array
from recops_models.examples.encoded_columns import EncodedColumns
from recops_models.examples.events import Events
from recops_models.examples.features import Sequence
from recops_models.examples.feedback import LIKED

_ROWS = 1 << 20


class HistoryRows:
    """Order of the events of all histories, by user and time.

    Args:
        events: the events.
        signed: whether histories hold all events, or only liked ones.

    Attributes:
        starts: ``[U + 1]`` i64; the events of user u are ``[starts[u], starts[u + 1])``.
    """

    def __init__(self, events: Events, *, signed: bool) -> None:
        counts = events.earlier_of_user
        self._earlier, totals = counts.events, counts.events_in_all
        if not signed:
            self._earlier, totals = counts.liked, counts.liked_in_all
        self._events, self._signed = events, signed
        self.starts: Int64Array = np.concatenate([[0], np.cumsum(totals)])

    def ends(self, rows: Int64Array) -> Int64Array:
        """Return the end of the history of each event, which is before the event."""
        ends: Int64Array = self.starts[self._events.user[rows]] + self._earlier[rows]
        return ends

    def values(self, sequence: Sequence, columns: EncodedColumns) -> AnyArray:
        """Return the table rows ``[n]`` of a sequence's values, or ``[n, k]`` of lists, in order.

        Args:
            sequence: a feature of the schema.
            columns: the columns of the events as the schema encodes them.

        Raises:
            DataError: the data set has no such column.
        """
        events, name, shared = self._events, sequence.name, sequence.share_embedding
        if name in columns.events:
            table, index = columns.events[name], None
        elif shared in columns.items:
            table, index = columns.items[shared].astype(np.int32), events.item
        else:
            raise DataError(f"{events.dataset.name}: no column has the feature {name!r}")
        values = np.empty((self.starts[-1], *table.shape[1:]), dtype=table.dtype)
        for start in range(0, len(events), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(events)))
            if not self._signed:
                rows = rows[events.feedback_class[rows] == LIKED]
            values[self.ends(rows)] = table[rows if index is None else index[rows]]
        return values
