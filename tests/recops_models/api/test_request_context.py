"""Requests in a stated context: the device of the request, and the prices of its items."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest

import recops_models as rm
from recops_models.cli import run
from recops_models.data import DataError, Dataset
from recops_models.data.storage import read_table

USERS, ITEMS = 6, 5
SCHEMA = """event:
  device: category
  topics: list
  price: {role: number, per: item}
  dwell: {role: number, known: after}
"""
SMALL = {"width": 4, "hidden": (8,), "epochs": 1, "max_len": 4, "rare_count": 1, "batch": 8}
SMALL |= {"learning_rate": 0.05, "dropout": 0.0, "rare_share": 0.0}


def log() -> dict[str, Any]:
    """Return ten events per user. Clicks depend on the device and on the price."""
    rng = np.random.default_rng(0)
    number = 10 * USERS
    device, price = rng.integers(0, 2, number), rng.integers(1, 9, number)
    return {
        "user_id": pa.array([f"u{user}" for user in np.tile(np.arange(USERS), 10)]),
        "item_id": pa.array([f"i{item}" for item in rng.integers(0, ITEMS, number)]),
        "timestamp": np.arange(number),
        "device": np.array(["app", "web"])[device],
        "topics": pa.array([[["x"], ["y", "x"]][topic] for topic in rng.integers(0, 2, number)]),
        "price": price.astype(np.float64),
        "dwell": rng.exponential(5, number),
        "label": ((price < 5) ^ (device == 0)).astype(np.float32),
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> rm.Model:
    home = tmp_path_factory.mktemp("context")
    (home / "schema.yaml").write_text(SCHEMA)
    data = Dataset.from_frames(log(), schema=home / "schema.yaml")
    return rm.train("din", data, SMALL, out=home / "din")


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


def scores_of(model: rm.Model, users: list[str], **options: Any) -> dict[tuple[str, str], float]:
    """Return the score of every user and item."""
    lists = model.recommend(users, k=ITEMS, exclude_seen=False, **options)
    keys = zip(lists["user_id"].tolist(), lists["item_id"].tolist(), strict=True)
    return dict(zip(keys, lists["score"].tolist(), strict=True))


def test_without_a_context_a_request_has_the_values_of_the_last_events(trained: rm.Model) -> None:
    events = log()
    last = max(row for row in range(10 * USERS) if events["user_id"][row].as_py() == "u2")
    items = events["item_id"].to_pylist()
    offers = {"item_id": [f"i{item}" for item in range(ITEMS)]}
    rows = [
        max(row for row, item in enumerate(items) if item == each) for each in offers["item_id"]
    ]
    stated = scores_of(
        trained,
        ["u2"],
        context={"device": [events["device"][last]], "topics": events["topics"][last : last + 1]},
        offers=offers | {"price": events["price"][rows]},
    )
    assert stated == scores_of(trained, ["u2"])


def test_the_context_holds_for_all_users_or_for_each(trained: rm.Model) -> None:
    app, web = (
        scores_of(trained, ["u0", "u1"], context={"device": each}) for each in ("app", "web")
    )
    assert all(app[key] != web[key] for key in app)
    one = scores_of(
        trained, ["u0", "u1"], context={"user_id": ["u1", "u9"], "device": ["web", "app"]}
    )
    plain = scores_of(trained, ["u0", "u1"])
    assert one == {key: (web if key[0] == "u1" else plain)[key] for key in plain}


def test_offers_hold_for_all_users_or_for_each(trained: rm.Model) -> None:
    users, plain = ["u0", "u1"], scores_of(trained, ["u0", "u1"])
    offers: dict[str, list[Any]] = {"item_id": ["i1", "new"], "price": [1e9, 1.0]}
    shown = scores_of(trained, users, offers=offers)
    assert {item for (_, item), score in shown.items() if score != plain[_, item]} == {"i1"}
    own = scores_of(trained, users, offers=offers | {"user_id": ["u1", "u1"]})
    assert own == {key: (shown if key[0] == "u1" else plain)[key] for key in plain}


def test_pairs_are_scored_in_their_own_context(trained: rm.Model) -> None:
    pairs = {"user_id": ["u0", "u1", "u0", "u0"], "item_id": ["i1", "i1", "i1", "i3"]}
    moment: dict[str, list[Any]] = {
        "device": ["app", "app", "web", "app"],
        "price": [1.0, 9.0, 9.0, None],
    }
    scores = trained.score(pairs | moment)
    for row, (user, item) in enumerate(zip(*pairs.values(), strict=True)):
        lists = scores_of(
            trained,
            [user],
            context={"device": moment["device"][row]},
            offers={"item_id": [item], "price": pa.array([moment["price"][row]], pa.float64())},
        )
        assert scores[row] == pytest.approx(lists[user, item], rel=1e-5)
    assert scores[0] != trained.score(pairs)[0]


def test_new_users_and_exploring_lists_have_a_context(trained: rm.Model) -> None:
    history = {"user_id": ["new"], "item_id": ["i1"]}
    app, web = (
        trained.recommend(histories=history, k=3, context={"device": each})["score"]
        for each in ("app", "web")
    )
    assert (app != web).all()
    policy: dict[str, Any] = {
        "explore": "policy=greedy,epsilon=0.5",
        "k": ITEMS,
        "exclude_seen": False,
    }
    app, web = (
        trained.recommend(["u0"], context={"device": each}, **policy)["plain_score"]
        for each in ("app", "web")
    )
    assert (np.sort(app) != np.sort(web)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"context": {"device": ["app", "web"]}},
            "context: must have one row, or a column user_id",
        ),
        ({"context": {"dwell": 1.0}}, "context: column 'dwell' is known only after an event"),
        ({"context": {"price": 1.0}}, "context: column 'price' differs between items"),
        ({"context": {"os": "x"}}, "context: din reads no column 'os' of requests; available: dev"),
        ({"context": {"user_id": ["u0"]}}, "context: must have a column that din reads"),
        (
            {"context": {"user_id": ["u0"] * 2, "device": ["app", "web"]}},
            "context: user_id 'u0' must have one row, got several",
        ),
        ({"offers": {"price": [1.0]}}, "offers: no column 'item_id'"),
        ({"offers": {"item_id": ["i1"], "device": ["app"]}}, "'device' has one value per request"),
        ({"offers": {"item_id": ["i1"], "price": ["low"]}}, "'price' must hold double, got string"),
        ({"offers": {"item_id": [None], "price": [1.0]}}, "offers: item_id is missing in row 1"),
    ],
)
def test_an_unfit_context_is_one_line(
    options: dict[str, Any], message: str, trained: rm.Model
) -> None:
    with pytest.raises(DataError, match=message) as error:
        trained.recommend(["u0"], **options)
    assert "\n" not in str(error.value)


def test_a_ranker_reads_no_context() -> None:
    model = rm.train("popularity", Dataset.from_frames(log()))
    with pytest.raises(DataError, match="popularity reads no column 'device' of requests"):
        model.recommend(["u0"], context={"device": "app"})


def test_the_command_states_the_context(
    trained: rm.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices, devices, out = (tmp_path / name for name in ("p.csv", "d.csv", "lists.parquet"))
    csv.write_csv(pa.table({"item_id": ["i1", "i2"], "price": [1, 9]}), prices)
    csv.write_csv(pa.table({"user_id": ["u0", "u1"], "device": ["app", "web"]}), devices)
    command = ["recommend", str(trained.folder), "-k", "3"]
    users = tmp_path / "users.txt"
    users.write_text("u0\nu1\n")
    many = ["--users", str(users), "--out", str(out), "--offers", str(prices)]
    assert run([*command, *many, "--context", str(devices)]) == 0
    expected = trained.recommend(
        ["u0", "u1"],
        k=3,
        exclude_seen=trained.data.repeats == "drop",
        context={"user_id": ["u0", "u1"], "device": ["app", "web"]},
        offers={"item_id": ["i1", "i2"], "price": [1.0, 9.0]},
    )
    assert read_table(out)["score"].to_pylist() == expected["score"].tolist()
    lists = []
    for device in ("app", "web"):
        capsys.readouterr()
        assert run([*command, "--user", "u0", "--context", f"device={device}"]) == 0
        lists.append(capsys.readouterr().out)
    assert lists[0] != lists[1]
    assert run([*command, "--user", "u0", "--context", "device"]) == 2
    assert "--context must be like device=app" in capsys.readouterr().err
    assert run([*command, "--user", "u0", "--offers", str(tmp_path / "none.csv")]) == 1
    assert capsys.readouterr().err.endswith("none.csv: no such file\n")
