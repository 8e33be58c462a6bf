"""Exploring lists of an AGE model, whose explored items are marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs import job_of
from recops_models.cli import run
from recops_models.click import age as age_module
from recops_models.click.age import Age
from recops_models.data import load
from recops_models.data.storage import read_table
from recops_models.recipes.recommending import ReadyModel, ready_model
from recops_models.recipes.run import load_trained, train_job
from recops_models.training.click_task import ExampleTask
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


def test_a_list_has_the_highest_exploring_scores(trained: Path) -> None:
    exploring, plain = ready(trained, 3), ready(trained, None)
    assert isinstance(exploring.model, Age)
    assert isinstance(exploring.task, ExampleTask)
    candidates = exploring.task.candidates
    explored = 0
    for user in range(19):
        items, scores, plain_scores, marks = exploring.exploring_list(user, 2)
        direct = exploring.model.explore(candidates.shown_to(user), seed=3)
        direct.score[candidates.items_of(user)] = -1
        best = direct.score.sort(descending=True, stable=True)
        assert torch.equal(items, best.indices[:2])
        assert torch.equal(scores, best.values[:2])
        assert torch.equal(plain_scores, direct.y[items])
        (plain_items, *_), _ = plain.task.recommend(plain.model, user, 2)
        assert marks.tolist() == [item not in plain_items for item in items]
        explored += int(marks.sum())
    assert explored > 0


def test_the_seed_decides_what_is_explored(trained: Path) -> None:
    def lists(seed: int) -> list[list[int]]:
        model = ready(trained, seed)
        return [model.exploring_list(user, 3).items.tolist() for user in range(19)]

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
    rows = [row for row in table.to_pylist() if row["explored"]]
    assert 0 < len(rows) < len(table)
    (tmp_path / "user.txt").write_text("5\n")
    alone = tmp_path / "alone.parquet"
    assert run([*command, "--users", str(tmp_path / "user.txt"), "--out", str(alone)]) == 0
    assert read_table(alone).to_pylist() == [r for r in table.to_pylist() if r["user"] == 5]
    capsys.readouterr()
    assert run([*command, "--user", str(rows[0]["user"])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("explored" in line and str(rows[0]["item"]) in line for line in lines)


def test_exploring_can_be_switched_off(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "lists.parquet"
    command = ["recommend", str(trained), "-k", "3", "--plain"]
    assert run([*command, "--users", "all", "--out", str(plain)]) == 0
    table = read_table(plain)
    assert table.column_names == ["user", "place", "item", "score"]
    model = ready(trained, None)
    (items, *_), _ = model.task.recommend(model.model, 5, 3)
    listed = [row["item"] for row in table.to_pylist() if row["user"] == 5]
    assert listed == [model.item_ids[item].as_py() for item in items.tolist()]
    capsys.readouterr()
    assert run([*command, "--user", "5"]) == 0
    assert "explored" not in capsys.readouterr().out


def test_items_with_many_events_are_not_explored(tmp_path: Path) -> None:
    model = ready(train(tmp_path, max_impressions="1"), 3)
    for user in range(19):
        _, scores, plain_scores, marks = model.exploring_list(user, 2)
        assert torch.equal(scores, plain_scores)
        assert not marks.any()


def test_a_user_who_saw_nearly_all_items_has_a_shorter_list(trained: Path) -> None:
    items, scores, plain_scores, marks = ready(trained, 3).exploring_list(0, 8)
    assert int((items >= 0).sum()) == 6
    assert scores.isneginf().tolist() == [False] * 6 + [True] * 2
    assert plain_scores.isneginf().tolist() == [False] * 6 + [True] * 2
    assert not marks[6:].any()
    table = ready(trained, 3).many(np.array([0]), 8, lambda _: None)
    assert table.num_rows == 6


def test_a_large_catalogue_is_read_in_parts(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = ready(trained, 3).exploring_list(4, 3)
    monkeypatch.setattr(age_module, "_ROWS", 7)
    in_parts = ready(trained, 3).exploring_list(4, 3)
    assert torch.equal(in_parts.items, at_once.items)
    torch.testing.assert_close(in_parts.scores, at_once.scores)


def test_a_user_without_events_is_refused(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recommend", str(trained), "--user", "19"]) == 1
    assert "nothing can be recommended" in capsys.readouterr().err
