"""Quickstart on a small data set. ``.ci/run`` checks its claim on ml-100k."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recops
from recops.files import CorruptFileError, read_json
from recops_models.callbacks import Callbacks
from recops_models.cli import run
from recops_models.data import Dataset, save_dataset
from recops_models.data.attributes import coarsest_attributes, item_titles
from recops_models.generative.sasrec import SASRecConfig
from recops_models.generative.unirec import UniRecConfig
from recops_models.quickstart import Outcome, Settings, pipeline, quickstart
from recops_models.quickstart.stages import OUTPUTS
from recops_models.tokenizers import load_sids

SETTINGS = Settings(
    data="small",
    codes=8,
    unirec=UniRecConfig(history=8, width=16, heads=2, expert_hidden=16, head_hidden=16, beams=50),
    sasrec=SASRecConfig(history=8, width=16),
).quick()


class Watcher(Callbacks):
    """Callbacks that collect the stages, and may raise ``KeyboardInterrupt``."""

    def __init__(self, interrupt: Callable[[str, float], bool] = lambda *_: False) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self.interrupt = interrupt

    def start(self, stage: str, **details: Any) -> None:
        self.stages.append(stage)

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self.notes.append(f"{self.stages[-1]}: {note}")
        if self.interrupt(self.stages[-1], share):
            raise KeyboardInterrupt


def start(
    dataset: Dataset, out: Path, *, resume: bool = False, watcher: Watcher | None = None
) -> Outcome:
    return quickstart(SETTINGS, dataset, out, resume=resume, callbacks=watcher or Watcher())


def same(first: Outcome, second: Outcome) -> bool:
    return all(
        torch.equal(first.models[name].items, second.models[name].items) for name in first.models
    )


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Run on one thread: the models are too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("run")
    return out, start(small, out)


def test_a_run_writes_all_outputs(small: Dataset, finished: tuple[Path, Outcome]) -> None:
    out, outcome = finished
    assert all((out / name).is_file() for name in OUTPUTS)
    sids = load_sids(out / "unirec" / "sids.parquet")
    assert np.array_equal(sids.item_ids, small.item_vocabulary.ids)
    trie = recops.SidTrie.load(out / "unirec" / "trie.safetensors")
    assert trie.contains(outcome.paths).all()
    assert trie.num_items == small.items.num_rows
    page = (out / "report.html").read_text()
    assert all(name in page for name in ("UniRec", "SASRec", "Item-kNN", "Popularity", small.name))


def test_metrics_follow_the_schema(finished: tuple[Path, Outcome]) -> None:
    out, outcome = finished
    metrics = read_json(out / "metrics.json", kind="metrics")
    assert (metrics["data"], metrics["model"], metrics["seed"]) == ("small", "unirec", 0)
    assert metrics["split"] == "leave-one-out"
    assert set(metrics["baselines"]) == {"sasrec", "item-knn", "popularity"}
    for figures in (metrics, *metrics["baselines"].values()):
        for part in ("test", "validation"):
            assert {"hr@10", "hr@50", "ndcg@10"} <= set(figures[part])
    assert metrics["train_seconds"] > 0
    assert metrics["versions"]["torch"] == torch.__version__
    assert metrics["real_items"] == outcome.real_items == 1.0
    pairs = [(each["model"], each["against"]) for each in metrics["differences"]]
    assert pairs[:2] == [("UniRec", "SASRec"), ("UniRec", "item-kNN")]
    for difference in metrics["differences"]:
        low, high = difference["interval"]
        assert low <= difference["value"] <= high


def test_recommendations_are_unseen_items_with_titles(
    small: Dataset, finished: tuple[Path, Outcome]
) -> None:
    titles = dict(zip(small.items["item_id"].to_pylist(), item_titles(small), strict=True))
    users = read_json(finished[0] / "recommendations.json", kind="recommendations")["users"]
    assert users
    for user in users:
        events = small.interactions.filter(
            np.equal(small.interactions["user_id"].to_numpy(), user["user_id"])
        )
        seen_items = set(events["item_id"].to_pylist()) - {user["held_out"]["item_id"]}
        for items in user["recommended"].values():
            assert len(items) == len({item["item_id"] for item in items}) == 10
            assert not seen_items & {item["item_id"] for item in items}
            assert all(titles[item["item_id"]] == item["title"] for item in items)


def test_equal_seeds_give_equal_lists(
    small: Dataset, tmp_path: Path, finished: tuple[Path, Outcome]
) -> None:
    assert same(start(small, tmp_path), finished[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "share"), [("semantic IDs", 0.0), ("unirec", 0.5), ("sasrec", 0.9)]
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    small: Dataset, tmp_path: Path, finished: tuple[Path, Outcome], stage: str, share: float
) -> None:
    watcher = Watcher(lambda current, progress: current == stage and progress >= share)
    with pytest.raises(KeyboardInterrupt):
        start(small, tmp_path, watcher=watcher)
    assert not (tmp_path / "report.html").exists()
    assert same(start(small, tmp_path, resume=True), finished[1])


@pytest.mark.slow
@pytest.mark.parametrize("output", ["metrics", "recommendations", "report"])
def test_metrics_are_written_last(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    def interrupt(outcome: Outcome) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, output, interrupt)
        with pytest.raises(KeyboardInterrupt):
            start(small, tmp_path)
    assert not (tmp_path / "metrics.json").exists()
    start(small, tmp_path, resume=True)
    assert all((tmp_path / name).is_file() for name in OUTPUTS)


@pytest.mark.slow
def test_resuming_a_finished_run_trains_nothing(
    small: Dataset, tmp_path: Path, finished: tuple[Path, Outcome]
) -> None:
    first = start(small, tmp_path)
    watcher = Watcher()
    resumed = start(small, tmp_path, resume=True, watcher=watcher)
    assert same(first, resumed)
    assert watcher.notes == []
    assert resumed.seconds == first.seconds


def test_a_damaged_checkpoint_is_named(small: Dataset, tmp_path: Path) -> None:
    start(small, tmp_path)
    path = tmp_path / "unirec" / "checkpoint.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match="checkpoint"):
        start(small, tmp_path, resume=True)


def test_a_path_begins_with_the_coarsest_attribute(small: Dataset, tmp_path: Path) -> None:
    (attribute,) = coarsest_attributes(small, 1)
    assert attribute.column == "class"
    first = [values[0] for values in small.items["class"].to_pylist()]
    assert [attribute.values[token] for token in attribute.tokens] == first
    outcome = start(small, tmp_path)
    assert outcome.attributes == {"class": attribute.values}
    assert outcome.paths[:, 0].tolist() == attribute.tokens.tolist()


def test_data_without_attributes_have_paths_of_codes_only(small: Dataset, tmp_path: Path) -> None:
    items = small.items.select(["item_id", "movie_title"])
    outcome = start(replace(small, items=items), tmp_path)
    assert outcome.attributes == {}
    assert outcome.paths.shape[1] == SETTINGS.levels


def test_command_line(small: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_dataset(small, tmp_path / "data")
    arguments = ["quickstart", "--data", str(tmp_path / "data"), "--quick", "--out"]
    assert run([*arguments, str(tmp_path / "run")]) == 0
    output = capfd.readouterr().out
    assert "UniRec" in output
    assert "100% of the recommended semantic IDs are real items" in output
    assert "report.html" in output
    assert run([*arguments, str(tmp_path / "run"), "--resume", "--json"]) == 0
    metrics = read_json(tmp_path / "run" / "metrics.json", kind="metrics")
    line = json.loads(capfd.readouterr().out)
    assert line == {"out": str(tmp_path / "run"), **metrics}
    assert run([*arguments, str(tmp_path / "run"), "--seed", "1"]) == 1
    assert "holds a run with seed 0, not 1" in capfd.readouterr().err
    assert run(["quickstart", "--data", "no-such-set", "--out", str(tmp_path / "x")]) == 2


def test_other_commands_accept_its_models(
    small: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, vectors, out = tmp_path / "data", tmp_path / "vectors.npy", tmp_path / "run"
    save_dataset(small, data)
    rng = np.random.default_rng(0)
    np.save(vectors, rng.normal(size=(small.items.num_rows, 6)).astype(np.float32))
    arguments = ["--data", str(data), "--vectors", str(vectors), "--order", "id", "--out", str(out)]
    assert run(["quickstart", "--quick", *arguments]) == 0
    assert str(vectors) in (out / "report.html").read_text()
    capfd.readouterr()
    user = str(small.user_vocabulary.ids[0])
    for model in ("unirec", "sasrec", "item-knn"):
        assert run(["evaluate", str(out / model)]) == 0
        assert run(["recommend", str(out / model), "--user", user, "-k", "3"]) == 0
        assert "validation" in capfd.readouterr().out
