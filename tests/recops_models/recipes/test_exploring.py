"""Exploring lists of an AGE model, whose explored items are marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

import recops_models as rm
from jobs import job_of
from recops_models.cli import run
from recops_models.click import age as age_module
from recops_models.click.age import Age
from recops_models.data import load
from recops_models.data.storage import read_table
from recops_models.examples.candidates import Candidates
from recops_models.recipes.answers import RequestItems
from recops_models.recipes.recommending import ReadyModel, ready_model
from recops_models.recipes.run import load_trained, train_job
from small_shop import write_shop

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = {
    "base": "sum-pool",
    "base.width": "8",
    "base.hidden": "16,8",
    "batch": "32",
    "epochs": "1",
    "mc_dropout": "0.3",
}


def train(root: Path, **changes: str) -> Path:
    """Train AGE on a shop of 30 items, whose users have seen 24 to 28 of them."""
    shop = write_shop(root / "shop", users=20, events=24)
    out = root / "age"
    out.mkdir()
    train_job(
        job_of("age", str(shop), {**SETTINGS, **changes}, seed=0, quick=False), load(shop), out
    )
    return out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("age"))


def ready(folder: Path, seed: int | None) -> ReadyModel:
    job, model = load_trained(folder)
    return ready_model(folder, job, model, load(job.data), seed=seed)


def rows(model: ReadyModel, user: int, k: int) -> dict[str, list[Any]]:
    """Return the columns of one user's list; items are indices."""
    lists = model.lists(model.requests(np.array([user])), k).to_pydict()
    ids = [model.dataset.item_id(str(item)) for item in lists["item"]]
    return {**lists, "item": model.dataset.item_vocabulary.index(ids).tolist()}


def test_a_list_has_the_highest_exploring_scores(trained: Path) -> None:
    exploring, plain = ready(trained, 3), ready(trained, None)
    assert isinstance(exploring.model, Age)
    candidates = Candidates(exploring.dataset, exploring.model.schema)
    explored = 0
    for user in range(19):
        listed = rows(exploring, user, 2)
        direct = exploring.model.explore(candidates.shown_to(user), seed=3)
        direct.score[candidates.items_of(user)] = -1
        best = direct.score.sort(descending=True, stable=True)
        assert listed["item"] == best.indices[:2].tolist()
        assert listed["score"] == best.values[:2].tolist()
        assert listed["plain_score"] == direct.y[listed["item"]].tolist()
        plain_items = rows(plain, user, 2)["item"]
        assert listed["explored"] == [item not in plain_items for item in listed["item"]]
        explored += sum(listed["explored"])
    assert explored > 0


def test_the_seed_decides_what_is_explored(trained: Path) -> None:
    def lists(seed: int) -> list[list[int]]:
        model = ready(trained, seed)
        return [rows(model, user, 3)["item"] for user in range(19)]

    assert lists(0) == lists(0)
    assert lists(0) != lists(1)


def test_the_command_marks_explored_items(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["recommend", str(trained), "-k", "3", "--seed", "1"]
    many = tmp_path / "lists.parquet"
    assert run([*command, "--users", "all", "--out", str(many)]) == 0
    table = read_table(many)
    names = ["user", "place", "item", "score", "plain_score", "explored"]
    assert table.column_names == names
    explored = [row for row in table.to_pylist() if row["explored"]]
    assert 0 < len(explored) < len(table)
    (tmp_path / "user.txt").write_text("5\n")
    alone = tmp_path / "alone.parquet"
    assert run([*command, "--users", str(tmp_path / "user.txt"), "--out", str(alone)]) == 0
    assert read_table(alone).to_pylist() == [r for r in table.to_pylist() if r["user"] == 5]
    capsys.readouterr()
    assert run([*command, "--user", str(explored[0]["user"])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("explored" in line and str(explored[0]["item"]) in line for line in lines)


def test_exploring_can_be_switched_off(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "lists.parquet"
    command = ["recommend", str(trained), "-k", "3", "--plain"]
    assert run([*command, "--users", "all", "--out", str(plain)]) == 0
    table = read_table(plain)
    assert table.column_names == ["user", "place", "item", "score"]
    model = ready(trained, None)
    listed = [row["item"] for row in table.to_pylist() if row["user"] == 5]
    items = torch.tensor(rows(model, 5, 3)["item"])
    assert listed == model.item_ids.take(items.numpy()).to_pylist()
    assert isinstance(model.model, Age)
    candidates = Candidates(model.dataset, model.model.schema)
    probability = model.model(candidates.shown_to(5)).sigmoid()
    probability[candidates.items_of(5)] = 0
    assert torch.equal(items, probability.topk(3).indices)
    capsys.readouterr()
    assert run([*command, "--user", "5"]) == 0
    assert "explored" not in capsys.readouterr().out


def test_items_with_many_events_are_not_explored(tmp_path: Path) -> None:
    model = ready(train(tmp_path, max_impressions="1"), 3)
    for user in range(19):
        listed = rows(model, user, 2)
        assert listed["score"] == listed["plain_score"]
        assert listed["explored"] == [False, False]


def test_a_user_who_saw_nearly_all_items_has_a_shorter_list(trained: Path) -> None:
    model = ready(trained, 3)
    assert isinstance(model.model, Age)
    events = model.requests(np.array([0]))
    assert model.explorer is not None
    items = RequestItems(events.seen_items())
    (lists,) = model.explorer.lists(events, items, 8, num_items=30)
    assert int((lists.items >= 0).sum()) == 6
    assert lists.scores[0].isneginf().tolist() == [False] * 6 + [True] * 2
    assert lists.plain_scores[0].isneginf().tolist() == [False] * 6 + [True] * 2
    assert not lists.explored[0, 6:].any()
    assert model.lists(events, 8).num_rows == 6


def test_a_large_catalogue_is_read_in_parts(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = rows(ready(trained, 3), 4, 3)
    monkeypatch.setattr(age_module, "_ROWS", 7)
    in_parts = rows(ready(trained, 3), 4, 3)
    assert in_parts["item"] == at_once["item"]
    assert in_parts["score"] == pytest.approx(at_once["score"], rel=1e-5)


def test_a_user_without_events_gets_an_exploring_list(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recommend", str(trained), "--user", "19"]) == 0
    assert "explored" in capsys.readouterr().out


def test_random_scores_are_logged_with_estimated_propensities(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["recommend", str(trained), "--user", "5", "-k", "2", "--log", str(tmp_path / "log")]
    assert run(command) == 1
    message = "log: lists by random scores have no propensities; explore with epsilon=0.1"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "log").exists()
    assert run([*command, "--explore", "epsilon=0.5,draws=8"]) == 0
    table = rm.read_impressions(tmp_path / "log")
    assert table["policy"][0].as_py() == "epsilon=0.5,draws=8"
    first, second = table["propensity"].to_pylist()
    assert 0.5 / 30 < first <= 1
    assert 0 < second <= 1
    # Each probability of the first place is a mean over eight draws, of which k show the item.
    num_items = 30 - len(rm.load(trained).data.interactions.filter(pc.field("user_id") == 5))
    assert (first - 0.5 / num_items) / (0.5 / 8) == pytest.approx(
        round((first - 0.5 / num_items) / (0.5 / 8)), abs=1e-6
    )


def test_scores_without_draws_are_logged_with_exact_propensities(
    trained: Path, tmp_path: Path
) -> None:
    model = rm.load(trained)
    lists = model.recommend([5], k=2, explore="policy=gradient-ucb", log=tmp_path / "log")
    assert lists["propensity"].to_pylist() == [1.0, 1.0]
    mixed = model.recommend([5], k=1, explore="policy=ts,softmax=0.1,draws=4")
    assert 0 < mixed["propensity"][0].as_py() < 1


def test_a_policy_for_click_models_refuses_other_models(tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop")
    model = rm.train("popularity", rm.load_data(shop))
    with pytest.raises(ValueError, match="explore: policy ucb needs a click model"):
        model.recommend([5], explore="policy=ucb")
    with pytest.raises(ValueError, match="recommend: log_time requires log"):
        model.recommend([5], log_time=3)
