"""Memory per event of click examples of a stored data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from peak_memory import peak_bytes, reads_proc
from recops_models.data import Dataset, ImportReport, save_dataset

# Small blocks make peaks
# comparable: buffers do not grow with the number of events.
READ = """
import sys
from recops_models.data import load
from recops_models.examples import training_columns
from recops_models.examples.click import click_data
training_columns._ROWS = 1 << 18
data = click_data(load(sys.argv[1]))
batches = data.train.batches(4096, seed=0)
for _ in range(3):
    next(batches)
"""


def peak_of_batches(folder: Path, rows: int) -> int:
    """Return the peak memory of a process that draws batches of ``rows`` stored events."""
    rng = np.random.default_rng(0)
    events = pa.table(
        {
            "user_id": rng.integers(0, 20_000, rows),
            "item_id": rng.integers(0, 5_000, rows),
            "timestamp": np.arange(rows),
            "label": rng.integers(0, 2, rows).astype(np.float32),
        }
    )
    users, items = pa.table({"user_id": range(20_000)}), pa.table({"item_id": range(5_000)})
    save_dataset(Dataset("given", events, items, users, ImportReport("given")), folder)
    return peak_bytes(READ, str(folder))


@pytest.mark.slow
@reads_proc
def test_an_event_takes_less_memory_than_its_row_of_the_table(tmp_path: Path) -> None:
    few, many = 2_000_000, 5_000_000
    slope = (peak_of_batches(tmp_path, many) - peak_of_batches(tmp_path, few)) / (many - few)
    print(f"{slope:.0f} bytes per event")
    # A row of the table has 28 bytes. Earlier versions held several copies of it.
    assert slope < 50
