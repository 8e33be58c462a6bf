"""Level of item-kNN on public data sets, with settings chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from recops_models.data import DataError, load
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig
from recops_models.training.next_item_task import NextItemTask

SHOP = {"decay": 0.6}
PLACES = {
    "candidate_normalization": 0.0,
    "backward": 0.85,
    "decay": 0.9,
    "distance": 0.25,
    "shrinkage": 1.0,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "level"),
    [
        ("ml-100k", {"candidate_normalization": 0.5, "backward": 0.7}, 0.203),
        ("toys", SHOP, 0.100),
        ("beauty", SHOP, 0.084),
        ("yelp", PLACES, 0.046),
    ],
)
def test_tuned_item_knn_reaches_its_level(
    name: str,
    settings: Mapping[str, float],
    level: float,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name == "ml-100k":
        try:
            dataset = load(name)
        except (DataError, OSError) as error:
            pytest.skip(f"ml-100k is not here: {error}")
    else:
        folder: Path = request.getfixturevalue("recops_data")
        monkeypatch.setenv("RECOPS_DATA", str(folder))
        dataset = load(name)
    task = NextItemTask(dataset)
    config = ItemKNNConfig(**settings)
    model = ItemKNN.fit(task.train, task.num_items, config, seed=0)
    metrics = evaluate(model, task.test, task.num_items).metrics
    assert metrics["hr@10"] >= level
