"""Memory per event of click examples of a stored data set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recops_models.data import Dataset, ImportReport, save_dataset

# ru_maxrss would include the memory of the parent process at the fork. Small blocks make peaks
# comparable: buffers do not grow with the number of events.
READ = """
import re, sys
from pathlib import Path
from recops_models.data import load
from recops_models.examples import training_columns
from recops_models.examples.click import click_data
training_columns._ROWS = 1 << 18
data = click_data(load(sys.argv[1]))
batches = data.train.batches(4096, seed=0)
for _ in range(3):
    next(batches)
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text()).group(1))
"""


def peak_bytes(folder: Path, rows: int) -> int:
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
    run = subprocess.run(
        [sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return int(run.stdout) * 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_an_event_takes_less_memory_than_its_row_of_the_table(tmp_path: Path) -> None:
    few, many = 2_000_000, 5_000_000
    slope = (peak_bytes(tmp_path, many) - peak_bytes(tmp_path, few)) / (many - few)
    print(f"{slope:.0f} bytes per event")
    # A row of the table has 28 bytes. Earlier versions held several copies of it.
    assert slope < 50
