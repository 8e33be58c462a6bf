"""Lists for many users equal those of single requests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs import job_of
from recops_models.click.model import ClickScorer
from recops_models.data import Dataset, Histories, load
from recops_models.examples.candidates import Candidates
from recops_models.examples.scenes import SceneConfig, Scenes
from recops_models.generative.path_ranker import PathRanker, Requests
from recops_models.generative.ranker import (
    REQUESTS,
    Ranking,
    Recommender,
    seen_items,
    top_unseen,
)
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


def histories_of(data: Dataset, users: np.ndarray) -> Histories:
    everyone = Histories.of(data.interactions, data.user_vocabulary, data.item_vocabulary)
    return everyone.take(users)


def direct(ready: ReadyModel, user: int, k: int) -> Ranking:
    """Return what the model itself recommends to a user, for a model without further inputs."""
    history = histories_of(ready.dataset, np.array([user]))
    if isinstance(ready.model, Recommender):
        return ready.model.recommend(history, k)
    assert isinstance(ready.model, ClickScorer)
    with torch.no_grad():
        logits = ready.model(Candidates(ready.dataset, ready.model.schema).shown_to(user))
    return top_unseen(logits.sigmoid()[None], seen_items(history), k)


def check_table(
    ready: ReadyModel,
    users: np.ndarray,
    k: int,
    single: Callable[[ReadyModel, int, int], Ranking] = direct,
) -> None:
    """Check that the table of ``users`` has the items and scores of single requests.

    It compares every ninth user, which covers every batch.
    """
    batch_sizes: list[int] = []
    table = ready.lists(ready.requests(users), k, answered=batch_sizes.append)
    assert sum(batch_sizes) == len(users)
    rows = list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    names = ready.dataset.user_keys
    for user in users[::9].tolist():
        (best,), (values,) = single(ready, user, k)
        items = [ready.item_ids[item].as_py() for item in best[best >= 0].tolist()]
        user_rows = [row for row in rows if row[0] == names[user]]
        assert [row[1] for row in user_rows] == list(range(1, len(items) + 1))
        assert [row[2] for row in user_rows] == items
        scores = torch.tensor([row[3] for row in user_rows])
        torch.testing.assert_close(scores, values[best >= 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", SETTINGS)
def test_batches_equal_single_requests(model: str, tmp_path: Path) -> None:
    recommender = ready(trained(tmp_path, model))
    for k in (5, 40):
        check_table(recommender, requested_users("all", recommender.dataset), k)


def in_scene(ready: ReadyModel, user: int, k: int, *, scene: str | None) -> Ranking:
    """Return what the model recommends to a user in a scene; None: that of the last event."""
    assert isinstance(ready.model, PathRanker)
    scenes = Scenes.of(ready.dataset, SceneConfig(task=INPUTS["task"]))
    history = histories_of(ready.dataset, np.array([user]))
    last = ready.dataset.interactions.slice(int(history.rows[-1]), 1)
    index = int(scenes.of_events(last)[0]) if scene is None else scenes.index(scene)
    requests = Requests(ready.model, torch.tensor([index]), torch.tensor([user + 1]))
    return requests.recommend(history, k)


def test_requests_have_user_fields_and_the_scene_of_the_last_event(tmp_path: Path) -> None:
    out = trained(tmp_path, "unirec", **INPUTS)
    everyone = np.random.default_rng(0).permutation(USERS - 1)
    lists = []
    for task in (None, "feed", "search"):
        recommender = ready(out, task=task)
        check_table(recommender, everyone, 5, functools.partial(in_scene, scene=task))
        lists.append(recommender.lists(recommender.requests(everyone), 5))
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
    table = recommender.lists(recommender.requests(users), 40)
    assert str(table["item"].type) == kind
    assert {first, "50"} <= set(map(str, table["item"].to_pylist()))


def test_ids_are_those_of_the_source(tmp_path: Path) -> None:
    recommender = ready(trained(tmp_path, "popularity", id_format="n{}"))
    users = requested_users("all", recommender.dataset)
    table = recommender.lists(recommender.requests(users), 3)
    assert [str(field.type) for field in table.schema] == ["string", "int64", "string", "float"]
    assert set(table["user"].to_pylist()) == {f"n{user}" for user in range(USERS - 1)}
    assert set(table["item"].to_pylist()) <= {f"n{item}" for item in range(1, 31)}
    data = recommender.dataset
    own_events = data.interactions["user_id"].to_numpy() == data.user_id("n3")
    seen = data.interactions.filter(own_events)["item_id"].to_pylist()
    own_lists = table.filter(np.array([user == "n3" for user in table["user"].to_pylist()]))
    assert not {data.item_id(item) for item in own_lists["item"].to_pylist()} & set(seen)
