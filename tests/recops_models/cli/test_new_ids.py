"""Retraining with 1 % new users and items: both folders serve old and new ids, everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import recops_models as rm
from recops_models.cli import run
from recops_models.serving.center import Center
from small_shop import write_shop

USERS, ITEMS = 100, range(1, 101)
MORE_USERS, MORE_ITEMS = 102, range(101)  # User 100 has events; item 0 precedes all others.


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("{}", id="integers", marks=pytest.mark.slow),
        pytest.param("n{}", id="text"),
    ],
)
def trainings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Callable[[int], str]]:
    """Return the folder of two trainings and the newer shop, and the writer of ids."""
    home, id_format = tmp_path_factory.mktemp("retrained"), request.param
    small = ["--set", "width=4", "--set", "hidden=8", "--set", "epochs=1", "--set", "max_len=20"]
    shop = write_shop(home / "shop", users=USERS, items=ITEMS, events=4, id_format=id_format)
    train = ["train", "mimn", "--data", str(shop)]
    assert run([*train, *small, "--out", str(home / "old")]) == 0
    write_shop(shop, users=MORE_USERS, items=MORE_ITEMS, events=4, id_format=id_format)
    assert run([*train, "--from", str(home / "old"), "--out", str(home / "new")]) == 0
    return home, id_format.format


@pytest.mark.filterwarnings("ignore:new items since training:UserWarning")
@pytest.mark.parametrize("training", ["old", "new"])
def test_both_folders_serve_old_and_new_ids(
    trainings: tuple[Path, Callable[[int], str]],
    training: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home, write = trainings
    folder = home / training
    model = rm.load(folder)
    users, items = [write(3), write(100)], [write(0), write(5)]
    lists = model.recommend(users, k=3)
    assert [str(user) for user in lists["user_id"].to_pylist()] == [
        user for user in users for _ in "abc"
    ]
    pairs = {"user_id": [users[0], users[1]] * 2, "item_id": [items[0]] * 2 + [items[1]] * 2}
    scores = model.score(pairs)
    assert np.isfinite(scores).all()
    capsys.readouterr()
    for user in users:
        assert run(["recommend", str(folder), "--user", user, "-k", "3"]) == 0
    printed = capsys.readouterr()
    assert ("new items since training" in printed.err) == (training == "old")
    store = f"lmdb:{tmp_path / 'store'}"
    target = ["--model", str(folder), "--store", store]
    assert run(["uic", "ingest", *target, "--events", str(home / "shop")]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == 0
    for number, user in enumerate(users):
        with Center.open(folder, store) as center:
            result = center.score(user, items)
        assert result.known
        np.testing.assert_allclose(result.scores, scores[number::2], rtol=1e-5)


def test_the_center_moves_to_the_retrained_model(
    trainings: tuple[Path, Callable[[int], str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home, write = trainings
    store, shop = f"lmdb:{tmp_path / 'store'}", str(home / "shop")
    old = ["--model", str(home / "old"), "--store", store]
    new = ["--model", str(home / "new"), "--store", store]
    assert run(["uic", "ingest", *old, "--events", shop]) == 0
    assert run(["uic", "refresh", *new, "--keep-states"]) == 0
    with Center.open(home / "new", store) as center:
        before = center.score(write(100), [write(0), write(5)])
    assert run(["uic", "refresh", *old, "--events", shop]) == 0
    assert run(["uic", "refresh", *new, "--events", shop]) == 0
    with Center.open(home / "new", store) as center:
        replayed = center.score(write(100), [write(0), write(5)])
    assert before.known
    assert before.events == replayed.events
    assert np.isfinite(before.scores).all()
    assert (before.scores != replayed.scores).any()
