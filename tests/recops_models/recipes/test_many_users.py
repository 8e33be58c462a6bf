"""Lists for many users are those of single requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs import job_of
from recops_models.data import load
from recops_models.generative.ranker import REQUESTS
from recops_models.recipes.asked_users import asked_users
from recops_models.recipes.recommending import ReadyModel, ready_model
from recops_models.recipes.run import load_trained, train_job
from small_shop import SETTINGS, write_shop

USERS = REQUESTS + 20
NEW = "item_id,title,genre\n{},Film 7 returns,Drama\n50,Something else,Comedy\n"
TOLD = {"task": "scene", "user_fields": "age"}


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # These models are so small that a second thread only waits for the first.


def trained(tmp_path: Path, model: str, *, id_format: str = "{}", **settings: str) -> Path:
    shop = write_shop(tmp_path / "shop", users=USERS, id_format=id_format)
    out = tmp_path / "out"
    out.mkdir()
    job = job_of(model, str(shop), {**SETTINGS[model], **settings}, seed=0, quick=False)
    train_job(job, load(shop), out)
    return out


def ready(out: Path, *, new_items: Path | None = None, task: str | None = None) -> ReadyModel:
    job, model = load_trained(out)
    return ready_model(out, job, model, load(job.data), new_items=new_items, scene=task)


def check_alike(model: ReadyModel, users: np.ndarray, k: int) -> None:
    """Many users' table holds, item by item and score by score, what each one's request gives; some
    of them, of every batch, are asked.
    """
    told: list[int] = []
    table = model.many(users, k, told.append)
    assert sum(told) == len(users)
    rows = list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    names = model.dataset.user_keys
    for user in users[::9].tolist():
        alone = model.task.recommend(model.model, user, k)
        there = alone.items[0] >= 0
        items = [model.item_ids[item].as_py() for item in alone.items[0][there].tolist()]
        mine = [row for row in rows if row[0] == names[user]]
        assert [row[1] for row in mine] == list(range(1, len(items) + 1))
        assert [row[2] for row in mine] == items
        scores = torch.tensor([row[3] for row in mine])
        torch.testing.assert_close(scores, alone.scores[0][there], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", SETTINGS)
def test_batches_answer_as_single_requests_do(model: str, tmp_path: Path) -> None:
    asked = ready(trained(tmp_path, model))
    for k in (5, 40):
        check_alike(asked, asked_users("all", asked.dataset), k)


def test_each_user_is_asked_with_fields_in_the_scene_of_the_last_event(tmp_path: Path) -> None:
    out = trained(tmp_path, "unirec", **TOLD)
    everyone = np.random.default_rng(0).permutation(USERS - 1)
    lists = []
    for task in (None, "feed", "search"):
        asked = ready(out, task=task)
        check_alike(asked, everyone, 5)
        lists.append(asked.many(everyone, 5, lambda _: None))
    assert len({tuple(table["score"].to_pylist()) for table in lists}) == 3
    feed, search = everyone % 2 == 0, everyone % 2 == 1
    for told, users in ((lists[1], feed), (lists[2], search)):
        mine = np.repeat(users, 5)
        assert told.filter(mine)["item"].equals(lists[0].filter(mine)["item"])


@pytest.mark.parametrize(("first", "kind"), [("a7", "string"), ("40", "int64")])
def test_new_items_stand_in_the_lists_of_many(first: str, kind: str, tmp_path: Path) -> None:
    out = trained(tmp_path, "unirec")
    (tmp_path / "new.csv").write_text(NEW.format(first))
    asked = ready(out, new_items=tmp_path / "new.csv")
    users = asked_users("all", asked.dataset)
    check_alike(asked, users, 40)
    table = asked.many(users, 40, lambda _: None)
    assert str(table["item"].type) == kind
    assert {first, "50"} <= set(map(str, table["item"].to_pylist()))


def test_ids_are_those_of_the_source(tmp_path: Path) -> None:
    asked = ready(trained(tmp_path, "popularity", id_format="n{}"))
    table = asked.many(asked_users("all", asked.dataset), 3, lambda _: None)
    assert [str(field.type) for field in table.schema] == ["string", "int64", "string", "float"]
    assert set(table["user"].to_pylist()) == {f"n{user}" for user in range(USERS - 1)}
    assert set(table["item"].to_pylist()) <= {f"n{item}" for item in range(1, 31)}
    met = asked.dataset.interactions["user_id"].to_numpy() == asked.dataset.user_id("n3")
    seen = asked.dataset.interactions.filter(met)["item_id"].to_pylist()
    mine = table.filter(np.array([user == "n3" for user in table["user"].to_pylist()]))
    assert not {asked.dataset.item_id(item) for item in mine["item"].to_pylist()} & set(seen)
