"""Runs of an unfinished league in small files of the repository."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from recops.files import CorruptFileError, write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))


def test_packed_runs_are_restored_and_parts_are_small(tmp_path: Path) -> None:
    from league_runs import pack, unpack

    folder, stored = tmp_path / "runs", tmp_path / "stored"
    folder.mkdir()
    write_json(folder / "reproduction.json", {"paper": "league"}, kind="reproduction")
    lines = np.random.default_rng(0).integers(32, 127, size=800_000, dtype=np.uint8).tobytes()
    (folder / "runs.jsonl").write_bytes(lines)
    pack(folder, stored)
    parts = sorted(stored.glob("*.xz.*"))
    assert len(parts) > 1
    assert all(part.stat().st_size < 300_000 for part in parts)
    unpack(stored, tmp_path / "again")
    assert (tmp_path / "again" / "runs.jsonl").read_bytes() == lines
    with pytest.raises(ValueError, match=r"must have no runs.jsonl"):
        unpack(stored, tmp_path / "again")
    parts[0].unlink()
    with pytest.raises(CorruptFileError, match=r"a part of runs.jsonl is missing"):
        unpack(stored, tmp_path / "third")
