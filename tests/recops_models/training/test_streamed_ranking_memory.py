"""Memory of a training on streamed sequences does not grow with the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peak_memory import peak_bytes, reads_proc
from sequence_parquet import write_random

# .ci/full sets 5,000.
MEGABYTES = float(os.environ.get("RECOPS_STREAM_MEGABYTES", "200"))

# One epoch of reading and cutting, without steps, which would take hours.
READ = """
import sys
from pathlib import Path
from recops_models.examples.sequence_folder import open_sequence_folder
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.training.streamed_ranking_task import StreamedNextItemTask
task = StreamedNextItemTask(open_sequence_folder(Path(sys.argv[1])), validation_users=1000)
model = SASRec(task.num_items, SASRecConfig(history=50, width=16))
_, batches = task.start_epoch(model, 4096, seed=0, epoch=0, skip=0)
targets = sum(len(windows.rows) for _, windows in batches)
assert targets == task.num_events - task.num_sequences, targets
model.eval()
task.evaluate(model)
"""


def peak_megabytes(folder: Path, megabytes: float) -> float:
    """Return the peak memory, in MB, of an epoch of a file of ``megabytes``."""
    write_random(folder, megabytes=megabytes)
    peak = peak_bytes(READ, str(folder)) / 2**20
    (folder / "train.parquet").unlink()
    return peak


@pytest.mark.full
@reads_proc
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small = peak_megabytes(tmp_path / "small", 50)
    large = peak_megabytes(tmp_path / "large", MEGABYTES)
    print(f"peak memory: {large:.0f} MB for {MEGABYTES:.0f} MB, {small:.0f} MB for 50 MB")
    assert large < 2000
    # 200 MB of the file are 69 million events, which would take 1.1 GB in memory.
    assert large - small < 250
