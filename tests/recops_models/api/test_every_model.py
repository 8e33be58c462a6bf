"""All models share one interface; the models are stored fixtures, or trained as small as those."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import recops_models as rm
from recops_models.recipes.registry import names
from stored_fixtures.fixture import STORED
from stored_fixtures.trainings import trained

NEW = {"user_id": ["new"] * 3, "item_id": [1, 2, 3]}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fixtures") / "stored"
    return Path(shutil.copytree(STORED, folder))


@pytest.fixture(params=names())
def model(request: pytest.FixtureRequest, copy: Path, monkeypatch: pytest.MonkeyPatch) -> rm.Model:
    monkeypatch.chdir(copy)
    return rm.load(copy / trained(request.param))


def user_of(model: rm.Model) -> int:
    ids: list[int] = model.data.interactions["user_id"].to_pylist()
    return ids[-1]


def test_lists_hold_the_best_new_items(model: rm.Model) -> None:
    user = user_of(model)
    table = model.recommend([user], k=4)
    assert table.column_names == ["user_id", "rank", "item_id", "score"]
    assert table["user_id"].to_pylist() == [user] * 4
    assert table["rank"].to_pylist() == [1, 2, 3, 4]
    scores = table["score"].to_numpy()
    assert (np.diff(scores) <= 0).all()
    events = model.data.interactions
    seen = events.filter(pa.compute.equal(events["user_id"], user))["item_id"].to_pylist()
    assert not {*seen} & {*table["item_id"].to_pylist()}


def test_scores_of_pairs_are_those_of_the_list(model: rm.Model) -> None:
    table = model.recommend([user_of(model)], k=4)
    pairs = table.select(["item_id", "user_id"]).take([2, 0, 3, 1])
    scores = model.score(pairs)
    assert scores.dtype == np.float32
    expected = table["score"].take([2, 0, 3, 1]).to_numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_histories_serve_users_that_training_has_not_seen(model: rm.Model) -> None:
    known = model.data.item_keys[:3]
    histories = {"user_id": ["9000001"] * 3, "item_id": known}
    table = model.recommend(histories=histories, k=3)
    assert {*table} == {"user_id", "rank", "item_id", "score"}  # A dict, as the histories are.
    assert list(table["user_id"]) == [9000001] * 3
    assert not {*known} & {*table["item_id"]}


def test_filters_hold(model: rm.Model) -> None:
    items = model.data.item_keys
    user = user_of(model)
    everything = model.recommend([user], k=len(items), exclude_seen=False)
    best = everything["item_id"].to_pylist()
    assert sorted(best) == sorted(items)
    allowed = [best[5], best[1], best[3]]
    chosen = model.recommend([user], k=3, allowed=allowed, exclude_seen=False)
    assert {*chosen["item_id"].to_pylist()} == {*allowed}
    banned = model.recommend([user], k=3, banned=best[:2], exclude_seen=False)
    assert not {*best[:2]} & {*banned["item_id"].to_pylist()}
    candidates = pa.table({"user_id": [user] * 2, "item_id": [best[4], best[2]]})
    ranked = model.recommend(candidates=candidates, k=2, exclude_seen=False)
    assert {*ranked["item_id"].to_pylist()} == {best[4], best[2]}


def test_similar_items_are_other_items(model: rm.Model) -> None:
    item = model.data.item_keys[0]
    table = model.similar_items([item], k=2)
    assert table.column_names == ["item_id", "rank", "similar_item_id", "score"]
    assert table["item_id"].to_pylist() == [item] * 2
    assert item not in table["similar_item_id"].to_pylist()


def test_a_saved_model_is_self_contained(
    model: rm.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = user_of(model)
    expected = model.recommend([user], k=3)
    model.save_pretrained(tmp_path / "saved")
    moved = shutil.move(tmp_path / "saved", tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    loaded = rm.load(moved)
    assert loaded.recommend([user], k=3).equals(expected)
    assert loaded.config["model"] == model.config["model"]
    assert loaded.metrics == model.metrics


def test_evaluation_gives_the_metrics_of_training_and_baselines(model: rm.Model) -> None:
    results = model.evaluate()
    details = results.keys() - {"validation", "test", "baselines", "groups"}
    assert details == ({"beyond_accuracy"} if "hr@10" in results["test"] else set())
    for groups in results["groups"].values():
        assert groups.keys() == {"item_popularity", "history_length"}
    assert "popularity" in results["baselines"]
    for part in ("validation", "test"):
        recorded = model.metrics[part]
        assert results[part].keys() == recorded.keys() - {"booster_auc"}  # Only Rocket's training.
        for name, value in results[part].items():
            assert value is None or math.isclose(value, recorded[name], rel_tol=1e-4)
