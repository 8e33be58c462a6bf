"""Memory of a training on streamed examples does not grow with the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from click_parquet import write_click_folder
from peak_memory import COMMAND, peak_bytes, reads_proc

# .ci/full sets 5,000.
MEGABYTES = float(os.environ.get("RECOPS_STREAM_MEGABYTES", "200"))


def peak_megabytes(folder: Path, megabytes: float) -> float:
    """Return the peak memory, in MB, of training sum pooling on a file of ``megabytes``."""
    write_click_folder(folder, megabytes=megabytes)
    command = f"train sum-pool --data {folder} --out {folder}/run --set epochs=1 --set batch=8192"
    peak = peak_bytes(COMMAND, *command.split()) / 2**20
    (folder / "train.parquet").unlink()
    return peak


@pytest.mark.full
@reads_proc
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small = peak_megabytes(tmp_path / "small", 50)
    large = peak_megabytes(tmp_path / "large", MEGABYTES)
    print(f"peak memory: {large:.0f} MB for {MEGABYTES:.0f} MB, {small:.0f} MB for 50 MB")
    assert large < 2000
    # 200 MB of the file are 870,000 examples; their ids alone would take 350 MB in memory.
    assert large - small < 250
