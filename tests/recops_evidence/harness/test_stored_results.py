"""Files of a finished reproduction: round trip and damage."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

import pytest

from recops.files import CorruptFileError, read_json, write_json
from recops_evidence.harness.results import Results, SeedValues
from recops_evidence.harness.stored_results import (
    PAGE,
    RESULTS,
    SEEDS,
    read_results,
    read_seed_values,
    write_results,
)

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "tests" / "fixtures" / "stored" / "results" / "1"


@pytest.fixture
def stored() -> tuple[Results, list[SeedValues]]:
    return read_results(FOLDER), read_seed_values(FOLDER)


def test_written_results_are_read_again(
    stored: tuple[Results, list[SeedValues]], tmp_path: Path
) -> None:
    content, values = stored
    write_results(tmp_path, content, values)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([RESULTS, PAGE, SEEDS])
    assert read_results(tmp_path) == content
    assert read_seed_values(tmp_path) == values


def test_figures_are_read_without_the_file_of_seeds(
    stored: tuple[Results, list[SeedValues]], tmp_path: Path
) -> None:
    write_results(tmp_path, *stored)
    (tmp_path / SEEDS).unlink()
    assert read_results(tmp_path) == stored[0]
    with pytest.raises(FileNotFoundError):
        read_seed_values(tmp_path)


def test_damaged_or_foreign_seeds_are_refused(
    stored: tuple[Results, list[SeedValues]], tmp_path: Path
) -> None:
    write_results(tmp_path, *stored)
    data = (tmp_path / SEEDS).read_bytes()
    (tmp_path / SEEDS).write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    with pytest.raises(CorruptFileError, match=r"seeds\.jsonl\.xz: damaged"):
        read_seed_values(tmp_path)
    (tmp_path / SEEDS).write_bytes(lzma.compress(b"{}\n"))
    with pytest.raises(CorruptFileError, match=r"or of another results\.json"):
        read_seed_values(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    shutil.copy(FOLDER / RESULTS, tmp_path)
    content = read_json(tmp_path / RESULTS, kind="results", version=2)
    write_json(tmp_path / RESULTS, content, kind="results", version=3)
    with pytest.raises(CorruptFileError, match="results format 3, but this version reads up to 2"):
        read_results(tmp_path)
