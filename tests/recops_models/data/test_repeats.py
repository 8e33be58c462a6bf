"""Repeats: their share, the choice of their treatment, and what follows from it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recops_models as rm
from recops_models.data import DataError, Dataset, load_dataset, save_dataset
from recops_models.data.repeats import repeat_share
from recops_models.data.splits import named_split
from recops_models.evaluation.floors import floors
from recops_models.evaluation.ranking_floors import ranking_floors
from recops_models.examples.click import click_data
from recops_models.examples.negatives import Law, other_items


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


def events() -> Iterator[tuple[str, str, int]]:
    """Yield events of a shop in which each user mostly buys one of four favourites again."""
    rng = np.random.default_rng(0)
    for user in range(40):
        favourites = rng.choice(60, 4, replace=False)
        for step in range(15):
            is_repeat = rng.random() < 0.7
            item = rng.choice(favourites) if is_repeat else rng.integers(60)
            yield f"u-{user}", f"sku-{item}", step * 100 + user


def log() -> dict[str, list[Any]]:
    columns = map(list, zip(*events(), strict=True))
    return dict(zip(("user_id", "item_id", "timestamp"), columns, strict=True))


def test_the_share_counts_items_that_a_user_has_met() -> None:
    seen, repeats = set(), 0
    for user, item, _ in sorted(events(), key=lambda event: event[2]):
        repeats += (user, item) in seen
        seen.add((user, item))
    assert repeat_share(Dataset.from_frames(log())) == pytest.approx(repeats / 600)


def test_own_data_with_many_repeats_keeps_them(tmp_path: Path) -> None:
    data = Dataset.from_frames(log())
    assert data.repeats == "keep"
    share = f"{repeat_share(data):.1%}"
    assert (
        f"repeats=keep: {share} of the events repeat an item of their user; lists may contain "
        "items of the history"
    ) in data.report.notes
    save_dataset(data, tmp_path)
    assert load_dataset(tmp_path).repeats == "keep"
    assert rm.load_data(tmp_path, repeats="drop").repeats == "drop"
    without = Dataset.from_frames(log(), repeats="drop")
    assert without.repeats == "drop"
    assert any("lists leave out items of the history" in note for note in without.report.notes)


def test_own_data_with_few_repeats_drops_them() -> None:
    first = {"user_id": [1] * 11, "item_id": [*range(10), 0], "timestamp": list(range(11))}
    data = Dataset.from_frames(first)
    assert data.repeats == "drop"
    assert not any("repeats" in note for note in data.report.notes)
    assert Dataset.from_frames(first, repeats="keep").repeats == "keep"
    with pytest.raises(DataError, match="repeats must be keep or drop, got 'all'"):
        Dataset.from_frames(first, repeats="all")  # type: ignore[arg-type]


def recommended(model: rm.Model, **options: bool) -> set[str]:
    """Return all items that a model recommends to one user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # The list is shorter than k.
        return set(model.recommend(["u-3"], k=60, **options)["item_id"].tolist())


@pytest.mark.parametrize("model", ["popularity", "item-knn", "sasrec"])
def test_lists_contain_items_of_the_history_if_repeats_are_kept(model: str) -> None:
    settings = {"epochs": 1, "width": 8} if model == "sasrec" else {}
    history = {item for user, item, _ in events() if user == "u-3"}
    for repeats in ("keep", "drop"):
        trained = rm.train(model, Dataset.from_frames(log(), repeats=repeats), settings)
        assert trained.config["repeats"] == repeats
        items = recommended(trained)
        assert (history <= items) == (repeats == "keep")
        assert (history & items == set()) == (repeats == "drop")
        other = recommended(trained, exclude_seen=repeats == "keep")
        assert (history <= other) == (repeats == "drop")


def test_training_can_override_the_data() -> None:
    trained = rm.train("popularity", Dataset.from_frames(log()), repeats="drop")
    assert trained.config["repeats"] == "drop"
    assert rm.load(trained.folder).data.repeats == "drop"
    with_repeats = rm.train("popularity", Dataset.from_frames(log()))
    assert with_repeats.metrics["test"]["hr@50"] > trained.metrics["test"]["hr@50"], (
        "repeats are misses"
    )


def test_bought_before_is_a_floor_of_rankers() -> None:
    with_repeats, without = (
        ranking_floors(named_split(Dataset.from_frames(log(), repeats=repeats))[1])
        for repeats in ("keep", "drop")
    )
    assert list(without) == ["popularity", "last item"]
    assert list(with_repeats) == [*without, "bought before", "bought last"]
    for name in ("bought before", "bought last"):
        assert with_repeats[name]["hr@10"] > 0.6 > with_repeats["popularity"]["hr@10"]


def test_bought_before_is_a_floor_of_click_models() -> None:
    without = floors(click_data(Dataset.from_frames(log(), repeats="drop")))
    assert "bought before" not in without
    with_repeats = floors(click_data(Dataset.from_frames(log(), repeats="keep")))
    for name in ("bought before", "bought last"):
        assert 0.6 < with_repeats[name]["auc"] < 1


@pytest.mark.parametrize("law", ["uniform", "popularity"])
def test_negatives_may_be_items_of_the_history(law: Law) -> None:
    """Without repeats no negative is in the history, so the history alone decides the label."""
    shares = {}
    for repeats in ("keep", "drop"):
        data = click_data(Dataset.from_frames(log(), repeats=repeats), negatives_law=law)
        is_seen = []
        for batch in data.test.batches(1024, seed=None):
            history, item = batch.features["history_item"], batch.features["item"]
            in_history = (history == item[:, None]).any(1) & (item > 1)
            is_seen.append(in_history[batch.label == 0])
        shares[repeats] = float(np.concatenate(is_seen).mean())
    assert shares["drop"] == 0
    assert shares["keep"] > 0.05


@pytest.mark.parametrize("law", ["uniform", "popularity"])
def test_other_items_have_the_law_without_the_target(law: Law) -> None:
    counts = np.array([0, 5, 1, 0, 4])
    targets = np.array([1, 3, 0])
    drawn = other_items(targets, counts, 20_000, law=law, seed=0)
    for target, row in zip(targets, drawn, strict=True):
        weight = np.where(np.arange(5) == target, 0, counts if law == "popularity" else 1)
        share = np.bincount(row, minlength=5) / len(row)
        assert share == pytest.approx(weight / weight.sum(), abs=0.015)
        assert share[target] == 0
    assert (other_items(targets, counts, 3, law=law, seed=1) == drawn[:, :3]).all() is np.False_


def test_other_items_needs_another_item() -> None:
    with pytest.raises(DataError, match="only one has events"):
        other_items(np.array([1]), np.array([0, 7]), 1, law="popularity", seed=0)


def test_items_of_the_history_come_by_count_or_by_recency() -> None:
    from recops_models.data.histories import Histories
    from recops_models.generative.bought_items import BoughtItems

    counts = torch.tensor([1, 0, 0, 1, 3, 0])
    items = np.array([1, 2, 1, 2, 5, 0])
    requests = Histories(np.array([0, 5, 6]), items, np.arange(6))
    by_count = BoughtItems(counts, by="count")
    assert by_count.recommend(requests, 5, exclude_seen=False).items.tolist() == [
        [2, 1, 5, 4, 0],
        [0, 4, 3, 1, 2],
    ]
    by_recency = BoughtItems(counts, by="recency")
    assert by_recency.recommend(requests, 3, exclude_seen=False).items[0].tolist() == [5, 2, 1]
    assert by_recency.recommend(requests, 3).items[0].tolist() == [4, 0, 3]
