"""Values of the sequences of a history, at all events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recops_models.data.errors import DataError
from recops_models.examples.encoded_columns import EncodedColumns
from recops_models.examples.events import Events
from recops_models.examples.features import Sequence


def history_rows(sequence: Sequence, events: Events, columns: EncodedColumns) -> NDArray[np.int32]:
    """Return the table rows ``[E]`` of a sequence's values, or ``[E, k]`` of lists.

    Args:
        sequence: a feature of the schema.
        events: the events.
        columns: their columns as the schema encodes them.

    Raises:
        DataError: the data set has no such column.
    """
    name, shared = sequence.name, sequence.share_embedding
    if name in columns.events:
        return columns.events[name].astype(np.int32)
    if shared not in columns.items:
        raise DataError(f"{events.dataset.name}: no column has the feature {name!r}")
    return columns.items[shared].astype(np.int32)[events.item]
