from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from recops_models.evaluation.metrics import evaluate
from recops_models.generative.popularity import Popularity, item_counts
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.training import Epoch, TrainingConfig, fit
from recops_models.training.windows import cut_windows
from synthetic_histories import NUM_ITEMS, histories, paths, ring

TRAIN, VALIDATION = ring()


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # These models are so small that a second thread only waits for the first.


def build(name: str) -> SASRec | UniRec:
    torch.manual_seed(0)
    if name == "sasrec":
        return SASRec(NUM_ITEMS, SASRecConfig(history=8, width=16, dropout=0.1))
    tokens, sizes = paths()
    config = UniRecConfig(history=8, width=16, heads=2, expert_hidden=16, dropout=0.1)
    return UniRec(tokens, sizes, item_counts(TRAIN, NUM_ITEMS), config)


@pytest.mark.parametrize("name", ["sasrec", "unirec"])
def test_learns_what_popularity_cannot(name: str, tmp_path: Path) -> None:
    model = build(name)
    config = TrainingConfig(epochs=15, learning_rate=1e-2, batch=16, patience=15)
    done = fit(model, TRAIN, VALIDATION, config, seed=0, folder=tmp_path)
    popular = evaluate(Popularity(item_counts(TRAIN, NUM_ITEMS)), VALIDATION, NUM_ITEMS)
    found = evaluate(model, VALIDATION, NUM_ITEMS)
    assert found.metrics["ndcg@10"] > popular.metrics["ndcg@10"] + 0.3
    assert found.metrics == done.curve[done.best_epoch].validation


@pytest.mark.parametrize("name", ["sasrec", "unirec"])
def test_a_resumed_run_makes_the_same_bits(name: str, tmp_path: Path) -> None:
    config = TrainingConfig(epochs=4, batch=16)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    straight = build(name)
    expected = fit(straight, TRAIN, VALIDATION, config, seed=3, folder=whole)

    def interrupt(epoch: int, done: float, loss: float) -> None:
        if epoch == 2 and done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(build(name), TRAIN, VALIDATION, config, seed=3, folder=parts, on_step=interrupt)
    told: list[Epoch] = []
    torch.manual_seed(99)  # The surroundings' random state does not matter.
    resumed = build(name)
    found = fit(
        resumed, TRAIN, VALIDATION, config, seed=3, folder=parts, resume=True, on_epoch=told.append
    )
    assert [epoch.epoch for epoch in told] == [0, 1, 2, 3]
    assert [e.train_loss for e in found.curve] == [e.train_loss for e in expected.curve]
    for key, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_stops_early_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=50, batch=16, learning_rate=0.0, patience=2)
    done = fit(build("sasrec"), TRAIN, VALIDATION, config, seed=0, folder=tmp_path)
    assert (len(done.curve), done.best_epoch) == (3, 0)


def test_a_loss_that_explodes_is_one_clear_line(tmp_path: Path) -> None:
    model = build("sasrec")
    with torch.no_grad():
        model.place.fill_(float("nan"))
    with pytest.raises(ValueError, match="loss became nan in epoch 1"):
        fit(model, TRAIN, VALIDATION, TrainingConfig(), seed=0, folder=tmp_path)


def test_windows_hold_every_target_once_behind_its_own_past() -> None:
    rows = [np.arange(start, start + n) for start, n in ((0, 23), (40, 1), (50, 2), (60, 6))]
    windows = cut_windows(histories(rows), 5, np.random.default_rng(0))
    assert windows.shape[1] == 6
    following = (windows[:, 1:] > 0) & (windows[:, :-1] > 0)
    assert ((windows[:, 1:] - windows[:, :-1])[following] == 1).all()
    targets = windows[:, 1:][windows[:, 1:] > 0] - 1
    assert sorted(targets.tolist()) == sorted(item for row in rows for item in row[1:].tolist())
