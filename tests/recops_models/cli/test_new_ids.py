"""Retraining with 1 % new users and items: all folders serve old and new ids, everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
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


SETTINGS = {
    "mimn": {"width": "4", "hidden": "8", "epochs": "1", "max_len": "20"},
    "din": {"width": "4", "hidden": "8", "epochs": "1", "max_len": "20"},
    "sasrec": {"width": "8", "epochs": "1", "history": "10"},
}


@dataclass(frozen=True)
class Trainings:
    """Trainings of one model before and after the shop gets new users and items.

    Attributes:
        home: folder of the shop, and of the trainings ``old``, ``continued`` and ``retrained``.
        model: name of the model.
        write: writes an id as the shop does.
    """

    home: Path
    model: str
    write: Callable[[int], str]


def train_thrice(home: Path, model: str, id_format: str) -> Trainings:
    """Train on a shop; then on a newer shop, from the first model and from scratch."""
    settings = [word for pair in SETTINGS[model].items() for word in ("--set", "=".join(pair))]
    shop = write_shop(home / "shop", users=USERS, items=ITEMS, events=4, id_format=id_format)
    train = ["train", model, "--data", str(shop)]
    assert run([*train, *settings, "--out", str(home / "old")]) == 0
    write_shop(shop, users=MORE_USERS, items=MORE_ITEMS, events=4, id_format=id_format)
    assert run([*train, "--from", str(home / "old"), "--out", str(home / "continued")]) == 0
    assert run([*train, *settings, "--out", str(home / "retrained")]) == 0
    return Trainings(home, model, id_format.format)


def shops(*models: str) -> list[object]:
    """Return the parameters of :func:`trainings`; all but one are slow."""
    return [
        pytest.param(
            (model, ids),
            id=f"{model}-{name}",
            marks=[] if (model, name) == ("mimn", "text") else pytest.mark.slow,
        )
        for model in models
        for name, ids in (("text", "n{}"), ("integers", "{}"))
    ]


@pytest.fixture(scope="module", params=shops(*SETTINGS))
def trainings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Trainings:
    return train_thrice(tmp_path_factory.mktemp("trained"), *request.param)


@pytest.mark.filterwarnings("ignore:new items since training:UserWarning")
@pytest.mark.parametrize("training", ["old", "continued", "retrained"])
def test_all_folders_serve_old_and_new_ids(
    trainings: Trainings, training: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, write = trainings.home / training, trainings.write
    model = rm.load(folder)
    users, items = [write(3), write(100)], [write(0), write(5)]
    lists = model.recommend(users, k=len(MORE_ITEMS), exclude_seen=False)
    keys = zip(*(map(str, lists[name].to_pylist()) for name in ("user_id", "item_id")), strict=True)
    assert set(keys) == {(user, write(item)) for user in users for item in MORE_ITEMS}
    pairs = {"user_id": [users[0], users[1]] * 2, "item_id": [items[0]] * 2 + [items[1]] * 2}
    scores = model.score(pairs)
    assert np.isfinite(scores).all()
    for user in users:
        capsys.readouterr()
        assert run(["recommend", str(folder), "--user", user, "-k", "3"]) == 0
        printed = capsys.readouterr()
        best = model.recommend([user], k=3)["item_id"].to_pylist()
        rows = [line.split() for line in printed.out.splitlines()[1:]]
        assert [row[2] for row in rows] == list(map(str, best))
        assert ("new items since training: 1 of 101" in printed.err) == (training == "old")
    if trainings.model != "mimn":
        return
    store = f"lmdb:{tmp_path / 'store'}"
    target = ["--model", str(folder), "--store", store]
    assert run(["uic", "ingest", *target, "--events", str(trainings.home / "shop")]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == 0
    for number, user in enumerate(users):
        with Center.open(folder, store) as center:
            result = center.score(user, items)
        assert result.known
        np.testing.assert_allclose(result.scores, scores[number::2], rtol=1e-5)


@pytest.mark.parametrize("trainings", shops("mimn"), indirect=True)
@pytest.mark.parametrize("newer", ["continued", "retrained"])
def test_the_center_moves_to_the_newer_model(
    trainings: Trainings, newer: str, tmp_path: Path
) -> None:
    home, write = trainings.home, trainings.write
    store, shop = f"lmdb:{tmp_path / 'store'}", str(home / "shop")
    old = ["--model", str(home / "old"), "--store", store]
    new = ["--model", str(home / newer), "--store", store]
    assert run(["uic", "ingest", *old, "--events", shop]) == 0
    assert run(["uic", "refresh", *new, "--keep-states"]) == 0
    with Center.open(home / newer, store) as center:
        before = center.score(write(100), [write(0), write(5)])
    assert run(["uic", "refresh", *old, "--events", shop]) == 0
    assert run(["uic", "refresh", *new, "--events", shop]) == 0
    with Center.open(home / newer, store) as center:
        replayed = center.score(write(100), [write(0), write(5)])
    assert before.known
    assert before.events == replayed.events
    assert np.isfinite(before.scores).all()
    assert (before.scores != replayed.scores).any()
