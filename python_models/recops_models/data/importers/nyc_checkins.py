"""Importer of Foursquare's New York check-ins: ``interactions.parquet`` and ``items.parquet``.

``interactions`` has ``user_id``, ``item_id`` (a venue) and ``timestamp``: seconds since the start
of the log, rounded to minutes. ``items`` has ``latitude`` and ``longitude`` in degrees.
"""

from __future__ import annotations

from pathlib import Path

from recops_models.data.assemble import assemble
from recops_models.data.dataset import Dataset
from recops_models.data.importers.parquet_files import read_parquet


def read_nyc_checkins(folder: Path, *, name: str = "nyc-checkins") -> Dataset:
    """Read the two files in ``folder``.

    Raises:
        DataError: a file is missing, or lacks a column.
    """
    return assemble(
        name,
        read_parquet(folder / "interactions.parquet"),
        read_parquet(folder / "items.parquet"),
        source=str(folder),
        ids="integer",
        notes=("times are seconds since the start of the log, not since 1970, to the minute",),
    )
