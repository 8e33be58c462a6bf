"""Summary statistics of a data set."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.column_roles import is_list
from recops_models.data.dataset import Dataset
from recops_models.data.repeats import repeat_share

_PERCENTILES = (0, 10, 50, 90, 99, 100)


def summarize(dataset: Dataset) -> dict[str, str]:
    """Return counts, sparsity, history lengths, time range and columns, as label → text."""
    users, items, events = (
        table.num_rows for table in (dataset.users, dataset.items, dataset.interactions)
    )
    user = dataset.interactions["user_id"].to_numpy()
    _, lengths = np.unique(user, return_counts=True)
    num_with_events = pc.count_distinct(dataset.interactions["item_id"]).as_py()
    pairs = (
        dataset.interactions.select(["user_id", "item_id"])
        .group_by(["user_id", "item_id"])
        .aggregate([])
        .num_rows
    )
    quantiles = np.percentile(lengths, _PERCENTILES, method="nearest")
    summary = {
        "name": dataset.name,
        "users": f"{users:,}, {len(lengths):,} of them with events",
        "items": f"{items:,}, {num_with_events:,} of them with events",
        "interactions": f"{events:,}",
        "sparsity": f"{1 - pairs / (users * items):.4%} of user-item pairs have no event",
        "history length": ", ".join(
            f"p{p} {int(q):,}" for p, q in zip(_PERCENTILES, quantiles, strict=True)
        ),
        "repeats": f"{repeat_share(dataset):.1%} of the events ({dataset.repeats})",
        "time": _time_range(dataset),
    }
    for name in ("interactions", "items", "users"):
        summary[f"{name} columns"] = _columns(getattr(dataset, name))
    return summary


def _time_range(dataset: Dataset) -> str:
    if dataset.time == "order":
        return "order only"
    if dataset.time == "none":
        return "none (random order)"
    ends = pc.min_max(dataset.interactions["timestamp"]).as_py()
    first, last = (datetime.fromtimestamp(ends[key], timezone.utc) for key in ("min", "max"))
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _columns(table: pa.Table) -> str:
    return ", ".join(f"{field.name} ({_kind(field.type)})" for field in table.schema)


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return "category"
    if is_list(kind):
        return f"list of {kind.value_type}"
    return str(kind)
