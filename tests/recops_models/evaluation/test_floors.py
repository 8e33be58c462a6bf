"""Floors of click metrics, compared with their definitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from recops_models.data import Dataset, ImportReport
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.evaluation.floors import floors
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.features import FeatureSchema

USERS, ITEMS, EVENTS = 80, 40, 4000


def dataset(**columns: Any) -> Dataset:
    rng = np.random.default_rng(0)
    item = np.minimum(rng.zipf(1.3, EVENTS), ITEMS) - 1
    table = {"user_id": rng.integers(USERS, size=EVENTS), "item_id": item}
    return Dataset(
        "synthetic",
        pa.table(table | {"timestamp": np.arange(EVENTS)} | columns),
        pa.table({"item_id": np.arange(ITEMS)}),
        pa.table({"user_id": np.arange(USERS)}),
        ImportReport("synthetic", {}, (), ()),
    )


def rated(*, by_taste: bool = True, seed: int = 0) -> Dataset:
    """Return labels that depend on user and item, or random ones without ``by_taste``."""
    rng, source = np.random.default_rng(seed), dataset()
    user, item = (source.interactions[name].to_numpy() for name in ("user_id", "item_id"))
    logit = rng.normal(size=USERS)[user] + rng.normal(size=ITEMS)[item] if by_taste else 0
    label = rng.random(EVENTS) < 1 / (1 + np.exp(-logit))
    return dataset(label=label.astype(np.float32))


def test_rates_count_events_before_each_example() -> None:
    source = rated()
    results = floors(click_data(source))
    assert all(set(metrics) == set(CLICK_METRICS) for metrics in results.values())
    columns = ("user_id", "item_id", "label")
    events = list(zip(*(source.interactions[name].to_pylist() for name in columns), strict=True))
    start = EVENTS - len(events) // 10
    for name, column in (("user rate", 0), ("item rate", 1)):
        rates = []
        for row in range(start, EVENTS):
            mine = [event[2] for event in events[:row] if event[column] == events[row][column]]
            prior = (sum(event[2] for event in events[:row]) + 1) / (row + 2)
            rates.append((sum(mine) + 10 * prior) / (len(mine) + 10))
        label = [event[2] for event in events[start:]]
        assert results[name]["auc"] == pytest.approx(roc_auc_score(label, rates), abs=1e-5)
        assert results[name]["logloss"] == pytest.approx(log_loss(label, rates), abs=1e-5)


@pytest.mark.parametrize("running_rates", [True, False])
def test_both_rates_are_better_than_one(running_rates: bool) -> None:
    results = floors(click_data(rated(), running_rates=running_rates))
    auc = {name: metrics["auc"] for name, metrics in results.items()}
    assert min(auc["user rate"], auc["item rate"]) > 0.6
    assert auc["item and user rate"] > max(auc["user rate"], auc["item rate"]) + 0.02
    assert auc["boosted counts"] > 0.6, "few training counts are as large as those of the test"
    assert abs(results["item and user rate"]["pcoc"] - 1) < 0.15


@pytest.mark.parametrize("running_rates", [True, False])
def test_random_labels_have_no_signal(running_rates: bool) -> None:
    """Counts that include an example's own label would let the boosting overfit."""
    results = floors(click_data(rated(by_taste=False), running_rates=running_rates))
    for name, metrics in results.items():
        assert abs(metrics["auc"] - 0.5) < 0.08, name
        assert metrics["logloss"] < 0.72, name


@pytest.mark.parametrize("law", ["uniform", "popularity"])
def test_popularity_counts_training_events(law: Any) -> None:
    source = dataset()
    data = click_data(source, negatives_law=law, rare_count=1, rare_share=0.0)
    times = np.bincount(source.interactions["item_id"].to_numpy()[: EVENTS - 2 * EVENTS // 10])
    (batch,) = data.test.batches(10**6, seed=None)
    items = source.items["item_id"].to_numpy()
    rows = data.fitted.lookup("item").rows(items)
    count = np.zeros(rows.max() + 1)
    count[rows[rows > 1]] = times[items[rows > 1]]
    score = count[batch.features["item"].numpy()]
    expected = roc_auc_score(batch.label.numpy(), score)
    assert floors(data)["popularity"]["auc"] == pytest.approx(expected, abs=1e-9)


def test_the_same_seed_gives_the_same_floors() -> None:
    data = click_data(rated(), running_rates=False)
    assert floors(data, seed=3) == floors(data, seed=3)
    assert floors(data, seed=3)["boosted counts"] != floors(data, seed=4)["boosted counts"]


def test_floors_need_a_candidate() -> None:
    data: ClickData = click_data(rated())
    schema = FeatureSchema((data.fitted.schema["item"],))
    bare = replace(data, fitted=replace(data.fitted, schema=schema))
    with pytest.raises(ValueError, match="floors: synthetic must have a history"):
        floors(bare)
