"""Requests of the Python interface: filters, histories, warnings and errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import recops_models as rm
from recops_models.data import DataError

COLUMNS = {"user_id": "uid", "item_id": "sku", "timestamp": "ts"}
ITEMS = [f"i-{number:02}" for number in range(12)]


def log_of(users: int = 20, events: int = 5) -> dict[str, list[Any]]:
    """Return events of users that walk along the items."""
    steps = [(user, step) for user in range(users) for step in range(events)]
    return {
        "uid": [f"u-{user}" for user, _ in steps],
        "sku": [ITEMS[(user + step) % 10] for user, step in steps],
        "ts": [100 * step + user for user, step in steps],
    }


@pytest.fixture(scope="module")
def data() -> rm.Dataset:
    items = {"sku": ITEMS, "brand": [name[-1] for name in ITEMS]}
    return rm.Dataset.from_frames(log_of(), items, columns=COLUMNS)


@pytest.fixture(scope="module")
def popular(data: rm.Dataset) -> rm.Model:
    return rm.train("popularity", data)


@pytest.fixture(scope="module")
def click(data: rm.Dataset) -> rm.Model:
    return rm.train("sum-pool", data, {"epochs": 1, "width": 4, "hidden": (4,)})


def test_lists_come_back_in_the_library_of_the_call(popular: rm.Model) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    assert isinstance(popular.recommend(["u-1"], k=2), dict)  # As the training data.
    asked = polars.DataFrame({"uid": ["u-2", "u-1"]})
    table = popular.recommend(asked, k=2)
    assert isinstance(table, polars.DataFrame)
    assert table["user_id"].to_list() == ["u-2", "u-2", "u-1", "u-1"]


@pytest.mark.parametrize(
    "users",
    [
        "u-1",
        ["u-1"],
        ("u-1",),
        {"u-1"},
        np.array(["u-1"]),
        pa.array(["u-1"]),
        pa.chunked_array([["u-1"]]),
        ["u-1", "u-1"],
        {"uid": ["u-1"]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_users_are_ids_of_any_kind(popular: rm.Model, users: Any) -> None:
    table = popular.recommend(users, k=1)
    assert list(table["user_id"]) == ["u-1"]


def test_all_users_with_events_are_the_default(popular: rm.Model) -> None:
    table = popular.recommend(k=1)
    assert len(set(table["user_id"])) == 20


def test_seen_items_are_left_out_unless_asked_for(popular: rm.Model) -> None:
    seen = {ITEMS[number] for number in range(1, 6)}
    assert not seen & {*popular.recommend(["u-1"], k=7)["item_id"]}
    assert seen < {*popular.recommend(["u-1"], k=12, exclude_seen=False)["item_id"]}


def test_filters_by_user(popular: rm.Model) -> None:
    allowed = {"uid": ["u-1", "u-1", "u-2"], "sku": [ITEMS[8], ITEMS[9], ITEMS[0]]}
    with pytest.warns(UserWarning, match="recommend: 1 of 2 users have fewer than 2 items"):
        table = popular.recommend(["u-1", "u-2"], k=2, allowed=allowed)
    pairs = set(zip(table["user_id"], table["item_id"], strict=True))
    assert pairs == {("u-1", ITEMS[8]), ("u-1", ITEMS[9]), ("u-2", ITEMS[0])}
    banned = {"uid": ["u-1"], "sku": [ITEMS[8]]}
    table = popular.recommend(["u-1"], k=1, allowed=[ITEMS[8], ITEMS[9]], banned=banned)
    assert list(table["item_id"]) == [ITEMS[9]]


def test_candidates_and_allowed_items_hold_together(popular: rm.Model) -> None:
    candidates = {"uid": ["u-1"] * 3, "sku": [ITEMS[7], ITEMS[8], ITEMS[9]]}
    table = popular.recommend(candidates=candidates, allowed=[ITEMS[8], ITEMS[9]], k=2)
    assert {*table["item_id"]} == {ITEMS[8], ITEMS[9]}


def test_a_short_list_states_why(popular: rm.Model) -> None:
    reason = (
        r"recommend: 1 of 1 users have fewer than 10 items; user 'u-1' has 1: the catalogue has 12 "
        r"items, the filters leave 3 of them, 6 are banned or in the history"
    )
    with pytest.warns(UserWarning, match=reason):
        popular.recommend(["u-1"], allowed=[ITEMS[1], ITEMS[8], ITEMS[9]], banned=[ITEMS[9]])


def test_no_allowed_item_gives_an_empty_list(popular: rm.Model, click: rm.Model) -> None:
    for model in (popular, click):
        with pytest.warns(UserWarning, match="leave 0 of them"):
            table = model.recommend(["u-1"], allowed=[])
        assert len(table["item_id"]) == 0


def test_unknown_items_in_filters_are_skipped(popular: rm.Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = popular.recommend(["u-1"], k=1, allowed=["nothing", ITEMS[8]])
    assert list(table["item_id"]) == [ITEMS[8]]


def test_histories_replace_the_events_of_known_users(click: rm.Model) -> None:
    events = log_of()
    rows = [row for row, user in enumerate(events["uid"]) if user == "u-3"]
    histories = {name: [values[row] for row in rows] for name, values in events.items()}
    same = click.recommend(histories=histories, k=5)
    expected = click.recommend(["u-3"], k=5)
    assert list(same["item_id"]) == list(expected["item_id"])
    np.testing.assert_array_equal(same["score"], expected["score"])
    other = {"uid": ["u-3"], "sku": [ITEMS[9]]}
    assert ITEMS[9] not in click.recommend(histories=other, k=5)["item_id"]
    assert ITEMS[4] in click.recommend(histories=other, k=11)["item_id"]


def test_rows_of_histories_may_come_in_any_order_with_times(click: rm.Model) -> None:
    forward: dict[str, list[Any]] = {"uid": ["x"] * 3, "sku": ITEMS[:3], "ts": [1, 2, 3]}
    backward = {name: values[::-1] for name, values in forward.items()}
    tables = [click.recommend(histories=each, k=4) for each in (forward, backward)]
    np.testing.assert_array_equal(tables[0]["score"], tables[1]["score"])


def test_users_choose_among_histories(click: rm.Model) -> None:
    histories = {"uid": ["x", "y"], "sku": ITEMS[:2]}
    assert {*click.recommend(["y"], histories=histories, k=2)["user_id"]} == {"y"}
    with pytest.raises(DataError, match=r"recommend: users: histories has no events of 'z'"):
        click.recommend(["z"], histories=histories)


def test_events_of_unknown_items_are_skipped_with_a_warning(click: rm.Model) -> None:
    histories = {"uid": ["x", "x"], "sku": [ITEMS[0], "nothing"]}
    with pytest.warns(UserWarning, match="1 events of histories have items that the model"):
        click.recommend(histories=histories, k=2)
    nothing = {"uid": ["x"], "sku": ["nothing"]}
    with pytest.warns(UserWarning, match="1 events of histories have items that the model"):
        assert len(click.recommend(histories=nothing, k=2)["item_id"]) == 2
    knn = rm.train("item-knn", click.data)
    with pytest.raises(ValueError, match="user 'x' has no events of known items in histories"):
        knn.recommend(histories=nothing)


def test_pairs_are_scored_in_their_order(click: rm.Model) -> None:
    users, items = ["u-1", "u-2", "u-1", "u-1"], [ITEMS[0], ITEMS[0], ITEMS[3], ITEMS[0]]
    scores = click.score({"uid": users, "sku": items})
    assert scores[0] == scores[3]
    for row in range(4):
        alone = click.score({"uid": [users[row]], "sku": [items[row]]})
        np.testing.assert_allclose(scores[row], alone[0], rtol=1e-5)
    assert click.score({"uid": [], "sku": []}).shape == (0,)


def test_rows_with_features_are_scored(click: rm.Model) -> None:
    rows = {
        "user": [1, 2],
        "item": [0, 3],
        "brand": ["0", "3"],
        "history_item": [[1, 2], [2]],
        "history_brand": [["1", "2"], ["2"]],
    }
    scores = click.score(rows)
    assert scores.shape == (2,)
    assert ((scores > 0) & (scores < 1)).all()
    with pytest.raises(DataError, match=r"score: frame: column 'history_item' must hold lists"):
        click.score({**rows, "history_item": [1, 2]})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m: m.recommend(["z"]),
            DataError,
            r"recommend: users: no user 'z' among 20, such as 'u-0'; histories= takes new users",
        ),
        (lambda m: m.recommend(k=0), ValueError, r"recommend: k must be 1 or more, got 0"),
        (
            lambda m: m.recommend({"who": ["u-1"]}),
            DataError,
            r"recommend: users has no column 'user_id' \(columns: who\)",
        ),
        (
            lambda m: m.recommend(["u-1", 2]),
            DataError,
            r"recommend: users must be ids of one type, got list",
        ),
        (
            lambda m: m.recommend([["u-1"]]),
            DataError,
            r"recommend: users must be ids, got lists",
        ),
        (
            lambda m: m.recommend(histories={"uid": ["u-1"]}),
            DataError,
            r"recommend: histories has no column 'item_id' \(columns: user_id\)",
        ),
        (
            lambda m: m.recommend(["u-1"], allowed={"article": ["i-01"]}),
            DataError,
            r"recommend: allowed has no column 'item_id' \(columns: article\)",
        ),
        (
            lambda m: m.recommend(histories={"uid": [None], "sku": ["i-01"]}),
            DataError,
            r"histories: user_id is missing in a row",
        ),
        (
            lambda m: m.score({"uid": ["u-1"], "sku": ["z"]}),
            DataError,
            r"score: frame: no item 'z' among 12, such as 'i-00'",
        ),
        (
            lambda m: m.score({"uid": ["u-1"]}),
            DataError,
            r"score: frame has no column 'item_id' \(columns: user_id\)",
        ),
        (
            lambda m: m.similar_items(["z"]),
            DataError,
            r"similar_items: items: no item 'z' among 12",
        ),
        (
            lambda m: m.similar_items([ITEMS[0]], k=0),
            ValueError,
            r"similar_items: k must be 1 or more, got 0",
        ),
    ],
)
def test_bad_requests_are_refused(
    click: rm.Model, call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        call(click)


def test_only_rankers_of_histories_refuse_a_user_without_events() -> None:
    users = {"uid": ["u-1", "nobody"], "city": ["a", "b"]}
    data = rm.Dataset.from_frames(log_of(), users=users, columns=COLUMNS)
    pair = {"uid": ["nobody"], "sku": [ITEMS[3]]}
    for name in ("popularity", "sum-pool"):
        model = rm.train(name, data, {} if name == "popularity" else {"epochs": 1, "width": 4})
        table = model.recommend(["nobody", "u-1"], k=3)
        assert [*table["user_id"]] == ["nobody"] * 3 + ["u-1"] * 3
        listed = dict(zip(table["item_id"][:3], table["score"][:3], strict=True))
        [score] = model.score({"uid": ["nobody"], "sku": [table["item_id"][0]]})
        assert score == pytest.approx(max(listed.values()), rel=1e-6)
        assert np.isfinite(model.score(pair)).all()
    knn = rm.train("item-knn", data)
    with pytest.raises(ValueError, match="recommend: user 'nobody' has no events"):
        knn.recommend(["nobody", "u-1"])
    with pytest.raises(ValueError, match="score: user 'nobody' has no events"):
        knn.score(pair)


def test_a_condition_filters_items() -> None:
    log = {"user_id": list("aabb"), "item_id": ["w", "x", "w", "x"], "timestamp": [0, 1, 2, 3]}
    items = {"item_id": ["w", "x", "y", "z"], "price": [1, 2, 3, 4]}
    log = {name: values * 2 for name, values in log.items()} | {"timestamp": list(range(8))}
    data = rm.Dataset.from_frames(log, items, repeats="drop")
    model = rm.train("popularity", data)
    assert model.recommend(["a"], k=1, where="price > 3")["item_id"].tolist() == ["z"]
    assert model.recommend(["a"], k=1, where="item_id = 'y'")["item_id"].tolist() == ["y"]
    with pytest.raises(DataError, match=r"no column 'cost' of items \(columns: item_id, price\)"):
        model.recommend(["a"], k=1, where="cost < 3")
