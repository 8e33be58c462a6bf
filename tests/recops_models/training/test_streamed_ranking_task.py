"""Training on streamed sequences: that of the same histories in memory, resumed, and in parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

import recops_models as rm
from callback_doubles import Interrupt
from recops_models import workers
from recops_models.data import DataError, Dataset
from recops_models.examples import sequence_file
from recops_models.examples.sequence_folder import open_sequence_folder
from recops_models.examples.sequence_reader import concatenated
from recops_models.examples.write_sequences import write_sequences
from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.windows import Windows
from recops_models.training.config import TrainingConfig
from recops_models.training.streamed_ranking_task import StreamedNextItemTask
from recops_models.training.trainer import fit
from recops_models.workers import BatchShare
from sequence_parquet import write_split
from synthetic_histories import NUM_ITEMS, ring_dataset

SETTINGS = {"epochs": 2, "width": 16, "history": 6, "batch": 16, "dropout": 0.3}


@pytest.fixture(autouse=True)
def _small_pieces(set_threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read 16 rows at once, so that small files have many buffers."""
    set_threads(1)
    monkeypatch.setattr(sequence_file, "_ROWS", 16)


def shop() -> Dataset:
    """Return a data set with text ids, with users of one to nine events."""
    rng = np.random.default_rng(4)
    user = np.repeat(np.arange(60), rng.integers(1, 10, 60))
    return rm.Dataset.from_frames(
        {
            "user_id": [f"u{number:02}" for number in user],
            "item_id": [f"i{number:02}" for number in rng.integers(0, NUM_ITEMS, len(user))],
            "timestamp": rng.permutation(len(user)),
        },
        repeats="drop",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of sequences in many row groups."""
    path = tmp_path_factory.mktemp("sequences")
    write_split(ring_dataset(), path, row_group=11)
    return path


def task_of(folder: Path, **options: Any) -> StreamedNextItemTask:
    return StreamedNextItemTask(open_sequence_folder(folder), buffer_bytes=5_000, **options)


def epoch_of(
    task: StreamedNextItemTask, epoch: int = 0, skip: int = 0
) -> list[tuple[float, Windows]]:
    model = SASRec(NUM_ITEMS, SASRecConfig(history=4, width=8))
    return list(task.start_epoch(model, 16, seed=1, epoch=epoch, skip=skip)[1])


def test_one_buffer_trains_the_bits_of_a_training_in_memory(tmp_path: Path) -> None:
    dataset = shop()
    write_split(dataset, tmp_path / "sequences")
    memory = rm.train("sasrec", dataset, SETTINGS, out=tmp_path / "memory")
    stream = rm.train("sasrec", tmp_path / "sequences", SETTINGS, out=tmp_path / "stream")
    weights = stream.module.state_dict()
    for name, value in memory.module.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert stream.metrics["test"] == memory.metrics["test"]
    assert stream.metrics["validation"] == memory.metrics["validation"]
    streamed, expected = stream.evaluate(), memory.evaluate()
    assert streamed == expected
    predictions = [
        pa.parquet.read_table(model.folder / "predictions.parquet") for model in (memory, stream)
    ]
    assert predictions[1]["rank"] == predictions[0]["rank"]
    assert predictions[1]["user"].to_pylist() == predictions[0]["user_key"].to_pylist()
    histories = {"user_id": ["new", "new"], "item_id": ["i03", "i04"]}
    lists = [model.recommend(histories=histories, k=3) for model in (memory, stream)]
    assert lists[0]["item_id"].tolist() == lists[1]["item_id"].tolist()
    pairs = {"user_id": ["new"], "item_id": ["i05"]}
    scores = [model.score(pairs, histories=histories) for model in (memory, stream)]
    assert scores[0].tolist() == scores[1].tolist()
    with pytest.raises(DataError, match="no users in memory: pass the events of users as hist"):
        stream.recommend()
    with pytest.raises(DataError, match="no user 'u00' among 0; histories= takes new users"):
        stream.recommend(["u00"])


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("popularity", {}),
        ("item-knn", {}),
        pytest.param("tiger", {"epochs": 1, "width": 8, "codes": 8}, marks=pytest.mark.slow),
        pytest.param(
            "tiger",
            {"epochs": 1, "width": 8, "codes": 8, "collaborative": True, "sasrec.width": 8},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "unirec",
            {"epochs": 1, "width": 16, "codes": 8, "attributes": (), "candidates": "item-knn"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_other_rankers_are_those_of_a_training_in_memory(
    model: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    dataset = shop()
    write_split(dataset, tmp_path / "sequences")
    memory = rm.train(model, dataset, settings, out=tmp_path / "memory")
    stream = rm.train(model, tmp_path / "sequences", settings, out=tmp_path / "stream")
    weights = stream.module.state_dict()
    for name, value in memory.module.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert stream.metrics["test"] == memory.metrics["test"]


@pytest.mark.slow
def test_engagement_weighs_targets_as_in_memory(tmp_path: Path) -> None:
    events = shop().interactions
    rating = np.random.default_rng(8).integers(1, 6, events.num_rows).astype(np.float32)
    dataset = replace(shop(), interactions=events.append_column("rating", pa.array(rating)))
    write_sequences(dataset, tmp_path / "sequences")
    settings = {"epochs": 1, "width": 16, "codes": 8, "attributes": (), "level_weights": (1, 2, 8)}
    memory = rm.train("unirec", dataset, settings, out=tmp_path / "memory")
    stream = rm.train("unirec", tmp_path / "sequences", settings, out=tmp_path / "stream")
    equal = rm.train(
        "unirec", tmp_path / "sequences", {**settings, "level_weights": ()}, out=tmp_path / "equal"
    )
    weights, unweighted = stream.module.state_dict(), equal.module.state_dict()
    for name, value in memory.module.state_dict().items():
        # The mean of the weights is summed in another order.
        torch.testing.assert_close(value, weights[name], rtol=0, atol=1e-5)
    assert any(not torch.allclose(unweighted[name], weights[name], atol=1e-3) for name in weights)
    assert stream.metrics["test"] == pytest.approx(memory.metrics["test"])
    assert "hr@10_engaged" in stream.evaluate()["test"]


def test_item_knn_of_blocks_differs_by_rounding_only(folder: Path) -> None:
    blocks = list(task_of(folder).histories())
    assert len(blocks) > 2
    many, one = (
        ItemKNN.fit(train, NUM_ITEMS, ItemKNNConfig(), seed=0).item_vectors().toarray()
        for train in (blocks, concatenated(blocks))
    )
    assert np.count_nonzero(one) > NUM_ITEMS
    np.testing.assert_allclose(many, one, rtol=1e-6)


def test_epochs_draw_other_windows_of_every_row(folder: Path) -> None:
    task = task_of(folder)
    assert len(list(task.histories())) > 3
    epochs = [epoch_of(task, epoch) for epoch in (0, 1, 0)]
    targets = [sum(len(windows.rows) for _, windows in epoch) for epoch in epochs]
    assert targets == [task.num_events - task.num_sequences] * 3
    assert not torch.equal(epochs[0][0][1].items, epochs[1][0][1].items)
    assert all(
        torch.equal(one.items, other.items)
        for (_, one), (_, other) in zip(epochs[0], epochs[2], strict=True)
    )
    shares = [share for share, _ in epochs[0]]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.1 < 0.8 < shares[-1] < 1


def test_skipped_batches_leave_the_others_as_they_are(folder: Path) -> None:
    task = task_of(folder)
    complete = epoch_of(task)
    remaining = epoch_of(task, skip=7)
    assert len(remaining) == len(complete) - 7 > 7
    for (share, windows), (other, expected) in zip(remaining, complete[7:], strict=True):
        assert share == other
        assert torch.equal(windows.items, expected.items)


def test_shares_of_workers_have_each_window_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(folder)
    complete = epoch_of(task)
    shares = []
    for rank in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(workers, "_share", BatchShare(rank, size=3))
            shares.append(epoch_of(task))
    for (_, windows), *parts in zip(complete, *shares, strict=True):
        assert torch.equal(torch.cat([part.items for _, part in parts]), windows.items)


@pytest.mark.parametrize("minutes", [0.0, 60.0])
def test_an_interrupted_training_resumes_to_the_same_bits(
    minutes: float, folder: Path, tmp_path: Path
) -> None:
    config = TrainingConfig(epochs=3, batch=32, checkpoint_minutes=minutes)

    def train(out: Path, config: TrainingConfig, **options: Any) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = SASRec(NUM_ITEMS, SASRecConfig(history=8, width=16, dropout=0.3))
        out.mkdir(exist_ok=True)
        fit(model, task_of(folder), config, seed=3, folder=out, **options)
        return model.state_dict()

    expected = train(tmp_path / "whole", replace(config, checkpoint_minutes=60))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", config, callbacks=Interrupt(after=1.4 / config.epochs))
    resumed = train(tmp_path / "parts", config, resume=True)
    for name, value in expected.items():
        assert torch.equal(value, resumed[name]), name


def test_few_validation_rows_choose_the_epoch(folder: Path) -> None:
    model = SASRec(NUM_ITEMS, SASRecConfig(history=8, width=16)).eval()
    few, every = task_of(folder, validation_users=9), task_of(folder)
    rows = np.sort(np.random.default_rng(0).permutation(120)[:9])
    ranks = every.evaluation(model, "validation").ranks[torch.from_numpy(rows)]
    assert few.evaluate(model)["hr@10"] == (ranks < 10).double().mean()
    assert few.measure(model, "validation")[0] == every.measure(model, "validation")[0]


def test_changed_files_are_not_resumed(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for file in folder.iterdir():
        (data / file.name).write_bytes(file.read_bytes())
    settings = {"epochs": 1, "width": 8, "history": 4}
    rm.train("sasrec", data, settings, out=tmp_path / "run")
    (data / "train.parquet").write_bytes((data / "test.parquet").read_bytes())
    with pytest.raises(DataError, match="has other events, items or users than when"):
        rm.train("sasrec", data, settings, out=tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("ease", {}, "ease: data must be interactions in memory, got the sequences of"),
        ("sasrec", {"split": "by-user"}, "is already split: leave out the split by-user"),
        ("unirec", {"settings": {"align": "rft"}}, "align needs columns of interactions in memo"),
        ("unirec", {"settings": {"level_weights": (1, 2)}}, "level_weights need a column of list"),
    ],
)
def test_unfit_trainings_are_refused(
    model: str, options: dict[str, Any], message: str, folder: Path
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        rm.train(model, folder, **options)
    assert "\n" not in str(error.value)
