"""Files of a finished reproduction: round trip, older formats and damage."""

from __future__ import annotations

import copy
import lzma
import shutil
from pathlib import Path
from typing import Any

import pytest

from recops.files import CorruptFileError, read_json, write_json
from recops_evidence.harness.results import Results, SeedValues, upgrade
from recops_evidence.harness.stored_results import (
    PAGE,
    RESULTS,
    SEEDS,
    read_results,
    read_seed_values,
    write_results,
)

ROOT = Path(__file__).resolve().parents[3]
FORMAT_1 = ROOT / "tests" / "fixtures" / "stored" / "results" / "1"


@pytest.fixture
def old() -> dict[str, Any]:
    """Results of format 1."""
    return read_json(FORMAT_1 / RESULTS, kind="results")


@pytest.fixture
def upgraded(old: dict[str, Any]) -> tuple[Results, list[SeedValues]]:
    return upgrade(old)


def test_written_results_are_read_again(
    upgraded: tuple[Results, list[SeedValues]], tmp_path: Path
) -> None:
    content, values = upgraded
    write_results(tmp_path, content, values)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([RESULTS, PAGE, SEEDS])
    assert read_results(tmp_path) == content
    assert read_seed_values(tmp_path) == values


def test_an_upgrade_keeps_every_figure(
    old: dict[str, Any], upgraded: tuple[Results, list[SeedValues]]
) -> None:
    content, values = upgraded
    for before, arm in zip(old["tables"]["arms"], content["tables"]["arms"], strict=True):
        measured = content["tables"]["measured"][arm["measured"]]
        row = values[arm["measured"]]
        assert (row["arm"], row["settings"]) == (before["arm"], before["settings"])
        for metric, figures in before["test"].items():
            assert row["test"][metric] == figures["per_seed"]
            assert measured["mean"][metric] == pytest.approx(figures["mean"])
            assert measured["std"][metric] == pytest.approx(figures["std"])
            assert measured["seeds"] == len(figures["per_seed"])
    unchanged = {"arms", "measured"}
    assert {k: v for k, v in content["tables"].items() if k not in unchanged} == {
        k: v for k, v in old["tables"].items() if k not in unchanged
    }


def test_an_arm_that_several_claims_share_is_stored_once(old: dict[str, Any]) -> None:
    arms = old["tables"]["arms"]
    arms.append({**copy.deepcopy(arms[0]), "id": "another-claim"})
    content, values = upgrade(old)
    assert len(content["tables"]["arms"]) == 3
    assert len(content["tables"]["measured"]) == len(values) == 2
    assert content["tables"]["arms"][2]["measured"] == content["tables"]["arms"][0]["measured"]


def test_format_1_is_read_without_a_file_of_seeds() -> None:
    assert not (FORMAT_1 / SEEDS).exists()
    assert len(read_results(FORMAT_1)["tables"]["measured"]) == len(read_seed_values(FORMAT_1))


def test_figures_are_read_without_the_file_of_seeds(
    upgraded: tuple[Results, list[SeedValues]], tmp_path: Path
) -> None:
    write_results(tmp_path, *upgraded)
    (tmp_path / SEEDS).unlink()
    assert read_results(tmp_path) == upgraded[0]
    with pytest.raises(FileNotFoundError):
        read_seed_values(tmp_path)


def test_damaged_or_foreign_seeds_are_refused(
    upgraded: tuple[Results, list[SeedValues]], tmp_path: Path
) -> None:
    write_results(tmp_path, *upgraded)
    data = (tmp_path / SEEDS).read_bytes()
    (tmp_path / SEEDS).write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    with pytest.raises(CorruptFileError, match=r"seeds\.jsonl\.xz: damaged"):
        read_seed_values(tmp_path)
    (tmp_path / SEEDS).write_bytes(lzma.compress(b"{}\n"))
    with pytest.raises(CorruptFileError, match=r"or of another results\.json"):
        read_seed_values(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    shutil.copy(FORMAT_1 / RESULTS, tmp_path)
    content = read_json(tmp_path / RESULTS, kind="results")
    write_json(tmp_path / RESULTS, content, kind="results", version=3)
    with pytest.raises(CorruptFileError, match="results format 3, but this version reads up to 2"):
        read_results(tmp_path)
