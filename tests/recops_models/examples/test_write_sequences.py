"""Sequences that are written from data sets: the parts of the splits, from memory and from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import recops_models as rm
from recops.files import CorruptFileError
from recops_models.cli import run
from recops_models.data import DataError, Dataset, save_dataset
from recops_models.data.dataset import entity_keys
from recops_models.data.histories import Histories
from recops_models.data.splits import named_split
from recops_models.examples import write_sequences as writing
from recops_models.examples.sequence_folder import open_sequence_folder
from recops_models.examples.write_sequences import write_sequences


def shop(users: int = 80) -> Dataset:
    """Return users of one to nine events at random times, with text ids and ratings."""
    rng = np.random.default_rng(2)
    user = np.repeat(np.arange(users), rng.integers(1, 10, users))
    return Dataset.from_frames(
        {
            "user_id": [f"u{number:03}" for number in user],
            "item_id": [f"i{number:02}" for number in rng.integers(0, 30, len(user))],
            "timestamp": 1000 + rng.permutation(len(user)),
            "rating": rng.integers(1, 6, len(user)).astype(np.float32),
        },
        items={"item_id": [f"i{number:02}" for number in range(31)], "price": np.arange(31.0)},
        repeats="keep",
    )


def expected_rows(dataset: Dataset, split: str, part: str) -> dict[str, list[str]]:
    """Return the items of each user's row of a part, from the split in memory."""
    _, parts = named_split(dataset, split)
    keys = np.array(dataset.item_keys)
    if part == "train":
        users, rows = np.arange(dataset.users.num_rows), split_rows(parts.histories())
    else:
        examples = parts.examples(part).next_events()
        targets = split_rows(examples.targets)
        users = examples.users
        rows = [
            np.append(history, target)
            for history, target in zip(split_rows(examples.histories), targets, strict=True)
        ]
    names = entity_keys(dataset, "user").to_pylist()
    return {
        names[user]: keys[row].tolist() for user, row in zip(users, rows, strict=True) if len(row)
    }


def split_rows(histories: Histories) -> list[np.ndarray]:
    return np.split(histories.items, histories.offsets[1:-1])


@pytest.mark.parametrize("split", ["leave-one-out", "global-time"])
def test_rows_are_those_of_the_split_in_memory(
    split: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_BLOCK", 37)  # Many blocks of users.
    dataset = shop()
    save_dataset(dataset, tmp_path / "saved")
    numbers = write_sequences(tmp_path / "saved", tmp_path / "disk", split=split)
    assert write_sequences(dataset, tmp_path / "memory", split=split) == numbers
    for part in ("train", "validation", "test"):
        table = pa.parquet.read_table(tmp_path / "disk" / f"{part}.parquet")
        assert table == pa.parquet.read_table(tmp_path / "memory" / f"{part}.parquet")
        rows = dict(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))
        assert rows == expected_rows(dataset, split, part)
        assert len(rows) == table.num_rows == getattr(numbers, part)
        assert table.column_names == ["user_id", "item_id", "timestamp", "rating"]
        times = table["timestamp"].to_pylist()
        assert all(each == sorted(each) for each in times)
    opened = open_sequence_folder(tmp_path / "disk")
    assert (opened.repeats, opened.item_keys) == ("keep", dataset.item_keys)
    assert opened.items["price"].to_pylist() == dataset.items["price"].to_pylist()


@pytest.mark.slow
def test_the_command_leads_from_csv_to_a_trained_ranker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = shop().interactions
    rows = zip(*(events[name].to_pylist() for name in events.column_names), strict=True)
    lines = [",".join(events.column_names), *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    imported, folder = str(tmp_path / "imported"), str(tmp_path / "sequences")
    assert run(["data", "import", "csv", str(tmp_path / "log.csv"), "--out", imported]) == 0
    assert run(["data", "sequences", imported, "--out", folder]) == 0
    assert "80 training" in capsys.readouterr().out
    assert run(["data", "sequences", imported, "--out", folder]) == 1
    assert "holds sequences: name another folder" in capsys.readouterr().err
    assert run(["data", "sequences", imported, "--out", folder, "--force"]) == 0
    settings = ["--set", "epochs=1", "--set", "width=8", "--set", "history=4"]
    run_folder = str(tmp_path / "run")
    assert run(["train", "sasrec", "--data", folder, "--out", run_folder, *settings]) == 0
    trained = capsys.readouterr().out
    assert run(["evaluate", run_folder]) == 0
    assert "ndcg@10" in capsys.readouterr().out
    assert "sasrec in" in trained
    assert run(["recommend", run_folder, "--user", "7"]) == 1
    assert "no users in memory: name interactions with --data" in capsys.readouterr().err
    assert run(["recommend", run_folder, "--user", "7", "--data", imported]) == 0


def test_a_changed_or_unfit_source_is_refused(tmp_path: Path) -> None:
    ring = rm.Dataset.from_frames({"user_id": [1, 1, 2], "item_id": [3, 4, 3]})
    with pytest.raises(DataError, match="a time split needs times in seconds"):
        write_sequences(ring, tmp_path / "out", split="global-time")
    with pytest.raises(DataError, match="split leave-one-out gives no validation sequence"):
        write_sequences(ring, tmp_path / "out")
    assert not (tmp_path / "out" / "sequences.json").exists()
    for name in ("one", "two"):
        save_dataset(shop(80 if name == "one" else 70), tmp_path / name)
    other = (tmp_path / "two" / "interactions.parquet").read_bytes()
    (tmp_path / "one" / "interactions.parquet").write_bytes(other)
    with pytest.raises(CorruptFileError, match="does not belong to the import"):
        write_sequences(tmp_path / "one", tmp_path / "out")
