"""The click baselines find planted effects, do not see labels, and are saved exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from recops_models.click.rates import Rates, RatesConfig
from recops_models.data import Dataset, ImportReport
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.click import ClickData, click_data
from recops_models.layers.rate_features import RateFeatures
from recops_models.recipes import rate_counter
from recops_models.recipes.boosting import fit_trees
from recops_models.recipes.files import load_model, save_model
from recops_models.recipes.rate_counter import RateCounter
from recops_models.recipes.rates_fit import _Folds, _training, fit_rates

USERS, ITEMS, GENRES, EVENTS = 60, 30, 3, 3000
SMALL = RatesConfig(trees=20, leaves=7, leaf_examples=20, learning_rate=0.2)


def dataset(label: np.ndarray | None = None, *, items: int = ITEMS) -> Dataset:
    """Return random events in time order, with labels if given."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "user_id": rng.integers(USERS, size=EVENTS),
        "item_id": rng.integers(items, size=EVENTS),
        "timestamp": np.arange(EVENTS),
    }
    return Dataset(
        "synthetic",
        pa.table(columns if label is None else {**columns, "label": label.astype(np.float32)}),
        pa.table({"item_id": np.arange(items), "genre": [f"g{i % GENRES}" for i in range(items)]}),
        pa.table({"user_id": np.arange(USERS)}),
        ImportReport("synthetic", {}, (), ()),
    )


def streaks(seed: int = 7) -> np.ndarray:
    """Return labels that repeat the user's last label with probability .9."""
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=EVENTS)
    last: dict[int, int] = {}
    for row, user in enumerate(dataset().interactions["user_id"].to_pylist()):
        if user in last and rng.random() < 0.9:
            label[row] = last[user]
        last[user] = label[row]
    return label


def metrics_of(model: Rates, data: ClickData) -> dict[str, float]:
    metrics = ClickMetrics()
    for batch in data.test.batches(4096, seed=None):
        metrics.update(model(batch), batch.label, batch.group)
    return metrics.compute()


def test_recent_labels_find_streaks() -> None:
    data = click_data(dataset(streaks()), max_len=20)
    config = replace(SMALL, half_life=0.5)
    by_recent = metrics_of(fit_rates(data, replace(config, scores=("recent",)), seed=0), data)
    by_user = metrics_of(fit_rates(data, replace(config, scores=("user",)), seed=0), data)
    boosted = metrics_of(fit_rates(data, config, seed=0), data)
    assert by_recent["auc"] > 0.85
    assert by_user["auc"] < 0.7
    assert boosted["auc"] > 0.85
    for metrics in (by_recent, boosted):
        assert abs(metrics["pcoc"] - 1) < 0.1


def test_pairs_find_a_successor() -> None:
    """A label depends on the item before: no rate of one item or user predicts it."""
    source = dataset()
    item = source.interactions["item_id"].to_numpy()
    before = np.full(EVENTS, 0)
    last: dict[int, int] = {}
    for row, user in enumerate(source.interactions["user_id"].to_pylist()):
        before[row] = last.get(user, 0)
        last[user] = item[row]
    data = click_data(dataset((before + item) % 2), max_len=20)
    config = replace(SMALL, window=1, strength=1.0)
    by_pairs = metrics_of(fit_rates(data, replace(config, scores=("pairs",)), seed=0), data)
    by_items = metrics_of(fit_rates(data, replace(config, scores=("all:item",)), seed=0), data)
    assert by_pairs["auc"] > 0.7
    assert by_items["auc"] < 0.6


@pytest.mark.parametrize("implicit", [False, True])
def test_random_labels_have_no_signal(implicit: bool) -> None:
    label = None if implicit else np.random.default_rng(1).integers(2, size=EVENTS)
    # Sampled negatives are items that the user has not met, so repeated items would be a signal.
    data = click_data(dataset(label, items=1000 if implicit else ITEMS), max_len=20)
    metrics = metrics_of(fit_rates(data, SMALL, seed=0), data)
    assert abs(metrics["auc"] - 0.5) < 0.08
    assert metrics["logloss"] < 0.72


def training_inputs(data: ClickData) -> Tensor:
    features = RateFeatures(data.fitted, SMALL)
    counts = _Folds.of(data, features, 0)
    return torch.cat([features(b, counts.without(fold)) for b, fold in _training(data, 0)])


@pytest.mark.parametrize("running_rates", [True, False])
def test_no_input_depends_on_the_example_s_own_label(running_rates: bool) -> None:
    """A planted label changes the inputs of other examples, never its own inputs."""
    label = np.random.default_rng(1).integers(2, size=EVENTS)
    plain = click_data(dataset(label), max_len=20, running_rates=running_rates)
    order = torch.cat([b.label for b in plain.train.batches(4096, seed=0)])
    expected = training_inputs(plain)
    for row in (0, 700, 1500):
        changed = label.copy()
        changed[row] = 1 - changed[row]
        data = click_data(dataset(changed), max_len=20, running_rates=running_rates)
        labels = torch.cat([b.label for b in data.train.batches(4096, seed=0)])
        (at,) = (labels != order).nonzero().unbind(1)
        assert len(at) == 1
        inputs = training_inputs(data)
        torch.testing.assert_close(inputs[at], expected[at], rtol=1e-3, atol=1e-3)
        assert not torch.allclose(inputs, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scores", [("boosting",), ("all:item", "user")])
def test_a_saved_model_has_the_same_scores(scores: tuple[str, ...], tmp_path: Path) -> None:
    data = click_data(dataset(streaks()), max_len=20)
    model = fit_rates(data, replace(SMALL, scores=scores), seed=0)
    save_model(tmp_path / "model.safetensors", "rates", model)
    loaded = load_model(tmp_path / "model.safetensors")
    batch = next(iter(data.test.batches(64, seed=None)))
    assert torch.equal(loaded(batch), model(batch))
    assert loaded.config == model.config


def test_trees_are_those_of_scikit_learn() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    x[:, 1] = x[:, 1].round()
    label = (x[:, 0] * x[:, 1] + rng.normal(size=500) > 0).astype(np.float32)
    config = replace(SMALL, leaf_examples=5)
    trees = fit_trees(x, label, config, seed=0)
    boosting = HistGradientBoostingClassifier(
        max_iter=20, max_leaf_nodes=7, learning_rate=0.2, min_samples_leaf=5,
        l2_regularization=1.0, early_stopping=False, random_state=0,
    ).fit(x, label)  # fmt: skip
    expected = torch.from_numpy(boosting.decision_function(x)).float()
    torch.testing.assert_close(trees(torch.from_numpy(x))[:, 0], expected, rtol=1e-5, atol=1e-5)
    assert trees.depth >= 3


def test_the_same_seed_gives_the_same_model() -> None:
    data = click_data(dataset(), max_len=20)
    one, again, other = (fit_rates(data, SMALL, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(
        one[name].shape == other[name].shape and torch.equal(one[name], other[name]) for name in one
    )


def test_counts_are_merged_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    keys, label = rng.integers(-1, 40, size=1000), rng.random(1000) < 0.5
    at_once = RateCounter()
    at_once.add(keys, label)
    monkeypatch.setattr(rate_counter, "_MOST_PENDING", 100)
    pieces = RateCounter()
    for start in range(0, 1000, 90):
        pieces.add(keys[start : start + 90], label[start : start + 90])
    for divisor in (1, 5):
        table, other = at_once.table(divisor), pieces.table(divisor)
        assert torch.equal(table.keys, other.keys)
        assert torch.equal(table.counts, other.counts)
    examples, positives = at_once.table()(torch.tensor([7, -1, 99]))
    assert examples.tolist() == [(keys == 7).sum(), 0, 0]
    assert positives.tolist() == [label[keys == 7].sum(), 0, 0]


def test_unknown_scores_are_refused_with_the_known_ones() -> None:
    data = click_data(dataset(streaks()), max_len=20)
    with pytest.raises(ValueError, match=r"scores must be boosting, or among all:item, .*'x'"):
        fit_rates(data, replace(SMALL, scores=("x",)), seed=0)


@pytest.mark.parametrize(
    "settings", [{"window": 0}, {"decay": 1.5}, {"half_life": 0.0}, {"leaves": 1}, {"scores": ()}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"rates: {next(iter(settings))} must "):
        RatesConfig(**settings)
