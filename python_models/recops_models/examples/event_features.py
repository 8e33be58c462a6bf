"""Features of event columns: one of the request, and one of the history."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from recops_models.data.column_roles import column_role, is_list, longest_list
from recops_models.data.event_columns import EventColumn
from recops_models.examples.category_lists import MAX_VALUES
from recops_models.examples.features import Categorical, Sequence

_REQUEST = "event_"
_HISTORY = f"history_{_REQUEST}"

BINS = 16
"""Number of quantile bins of a column of numbers."""


def request_feature(column: str) -> str:
    """Return the feature with the value of an event column at a request."""
    return f"{_REQUEST}{column}"


def history_feature(column: str) -> str:
    """Return the sequence with the values of an event column in a history."""
    return f"{_HISTORY}{column}"


def is_request_feature(feature: str) -> bool:
    """Return whether a feature is one of :func:`request_feature`."""
    return feature.startswith(_REQUEST)


def event_column_of(feature: str) -> str | None:
    """Return the event column of a feature; None if it describes no event column.

    Example:
        >>> event_column_of("history_event_price"), event_column_of("event_price")
        ('price', 'price')
        >>> event_column_of("history_item") is None
        True
    """
    for prefix in (_HISTORY, _REQUEST):
        if feature.startswith(prefix):
            return feature.removeprefix(prefix)
    return None


def event_features(
    columns: Mapping[EventColumn, pa.ChunkedArray],
    *,
    history: str,
    max_len: int,
    rare_count: int,
    rare_share: float,
    in_requests: bool,
) -> tuple[list[Categorical], list[Sequence]]:
    """Return the features of requests and of the history for event columns.

    Numbers are cut into :data:`BINS` bins of equal counts, and lists are read up to
    :data:`MAX_VALUES` values. A column that is known only after the
    event has no feature of requests.

    Args:
        columns: the columns.
        history: name of the history.
        max_len: maximum length of a history.
        rare_count: ``min_count`` of the features.
        rare_share: ``rare_share`` of the features of requests.
        in_requests: False: no column has a feature of requests.
    """
    requested, sequences = [], []
    for column, values in columns.items():
        name = column.name
        bins = BINS if column_role(values) == "number" else None
        most = min(MAX_VALUES, longest_list(values)) if is_list(values.type) else None
        if column.known == "after" or not in_requests:
            sequences.append(
                Sequence(
                    history_feature(name),
                    max_len,
                    min_count=rare_count,
                    history=history,
                    bins=bins,
                    max_values=most,
                )
            )
            continue
        requested.append(
            Categorical(
                request_feature(name),
                min_count=rare_count,
                rare_share=rare_share,
                bins=bins,
                max_values=most,
            )
        )
        sequences.append(
            Sequence(
                history_feature(name),
                max_len,
                share_embedding=request_feature(name),
                history=history,
            )
        )
    return requested, sequences
