"""Lists for many users equal those of single requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs import job_of
from recops_models.data import load
from recops_models.generative.ranker import REQUESTS
from recops_models.recipes.recommending import ReadyModel, ready_model
from recops_models.recipes.requested_users import requested_users
from recops_models.recipes.run import load_trained, train_job
from small_shop import SETTINGS, write_shop

USERS = REQUESTS + 20
NEW = "item_id,title,genre\n{},Film 7 returns,Drama\n50,Something else,Comedy\n"
INPUTS = {"task": "scene", "user_fields": "age"}


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


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


def check_table(model: ReadyModel, users: np.ndarray, k: int) -> None:
    """Check that the table of ``users`` has the items and scores of single requests.

    It compares every ninth user, which covers every batch.
    """
    batch_sizes: list[int] = []
    table = model.many(users, k, batch_sizes.append)
    assert sum(batch_sizes) == len(users)
    rows = list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    names = model.dataset.user_keys
    for user in users[::9].tolist():
        single = model.task.recommend(model.model, user, k)
        is_item = single.items[0] >= 0
        items = [model.item_ids[item].as_py() for item in single.items[0][is_item].tolist()]
        user_rows = [row for row in rows if row[0] == names[user]]
        assert [row[1] for row in user_rows] == list(range(1, len(items) + 1))
        assert [row[2] for row in user_rows] == items
        scores = torch.tensor([row[3] for row in user_rows])
        torch.testing.assert_close(scores, single.scores[0][is_item], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", SETTINGS)
def test_batches_equal_single_requests(model: str, tmp_path: Path) -> None:
    recommender = ready(trained(tmp_path, model))
    for k in (5, 40):
        check_table(recommender, requested_users("all", recommender.dataset), k)


def test_requests_have_user_fields_and_the_scene_of_the_last_event(tmp_path: Path) -> None:
    out = trained(tmp_path, "unirec", **INPUTS)
    everyone = np.random.default_rng(0).permutation(USERS - 1)
    lists = []
    for task in (None, "feed", "search"):
        recommender = ready(out, task=task)
        check_table(recommender, everyone, 5)
        lists.append(recommender.many(everyone, 5, lambda _: None))
    assert len({tuple(table["score"].to_pylist()) for table in lists}) == 3
    feed, search = everyone % 2 == 0, everyone % 2 == 1
    for table, users in ((lists[1], feed), (lists[2], search)):
        mask = np.repeat(users, 5)
        assert table.filter(mask)["item"].equals(lists[0].filter(mask)["item"])


@pytest.mark.parametrize(("first", "kind"), [("a7", "string"), ("40", "int64")])
def test_new_items_appear_in_the_lists_of_many_users(first: str, kind: str, tmp_path: Path) -> None:
    out = trained(tmp_path, "unirec")
    (tmp_path / "new.csv").write_text(NEW.format(first))
    recommender = ready(out, new_items=tmp_path / "new.csv")
    users = requested_users("all", recommender.dataset)
    check_table(recommender, users, 40)
    table = recommender.many(users, 40, lambda _: None)
    assert str(table["item"].type) == kind
    assert {first, "50"} <= set(map(str, table["item"].to_pylist()))


def test_ids_are_those_of_the_source(tmp_path: Path) -> None:
    recommender = ready(trained(tmp_path, "popularity", id_format="n{}"))
    table = recommender.many(requested_users("all", recommender.dataset), 3, lambda _: None)
    assert [str(field.type) for field in table.schema] == ["string", "int64", "string", "float"]
    assert set(table["user"].to_pylist()) == {f"n{user}" for user in range(USERS - 1)}
    assert set(table["item"].to_pylist()) <= {f"n{item}" for item in range(1, 31)}
    data = recommender.dataset
    own_events = data.interactions["user_id"].to_numpy() == data.user_id("n3")
    seen = data.interactions.filter(own_events)["item_id"].to_pylist()
    own_lists = table.filter(np.array([user == "n3" for user in table["user"].to_pylist()]))
    assert not {data.item_id(item) for item in own_lists["item"].to_pylist()} & set(seen)
