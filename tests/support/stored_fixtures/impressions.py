"""Stored log of impressions."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from recops_models.data.impressions import impressions_of, read_impressions, write_impressions
from stored_fixtures.fixture import StoredFixture, Values


def _write(folder: Path) -> None:
    lists = pa.table(
        {
            "user": [3, 3, 7, 7],
            "place": [1, 2, 1, 2],
            "item": ["a", "b", "c", "a"],
            "score": pa.array([0.75, 0.5, 0.5, 0.25], pa.float32()),
            "propensity": [0.25, 1.0, 0.5, 0.75],
        }
    )
    table = impressions_of(lists, model="din@0123", policy="epsilon=0.1", timestamp=1769846400)
    write_impressions(folder, table)


def _read(folder: Path) -> Values:
    table = read_impressions(folder)
    kinds = {name: str(table[name].type) for name in table.column_names}
    # Requests have random names.
    order = [("user_id", "ascending"), ("position", "ascending")]
    return {"columns": kinds, "rows": table.drop_columns(["request"]).sort_by(order).to_pydict()}


IMPRESSIONS = {"impressions": StoredFixture(_write, _read)}
