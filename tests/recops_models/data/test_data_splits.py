"""Vocabularies, ragged histories and splits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops_models.data import (
    DataError,
    Dataset,
    Histories,
    ImportReport,
    Vocabulary,
    by_user,
    global_time,
    leave_one_out,
    named_split,
)
from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.splits import leave_last

EVENTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 30)), min_size=1, max_size=60
)


def dataset_of(events: list[tuple[int, int, int]], time: str = "seconds") -> Dataset:
    users, items, times = (np.array(column) for column in zip(*events, strict=True))
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    return assemble("d", RawTable("events", table), source="test", time=time)  # type: ignore[arg-type]


def test_vocabulary_maps_ids_to_indices_and_back() -> None:
    vocabulary = Vocabulary.of([2**60, 5, 2**53 + 1, 5])
    assert vocabulary.ids.tolist() == [5, 2**53 + 1, 2**60]
    assert len(vocabulary) == 3
    assert vocabulary.index([[2**60], [5]]).tolist() == [[2], [0]]
    assert vocabulary.index([6, 5, 2**61, -1], missing="mark").tolist() == [-1, 0, -1, -1]
    with pytest.raises(KeyError, match=r"unknown id 6 \(2 unknown\)"):
        vocabulary.index([6, 5, 7])
    assert Vocabulary.of([]).index([1], missing="mark").tolist() == [-1]
    with pytest.raises(ValueError, match="strictly ascending"):
        Vocabulary(np.array([2, 1]))


@given(EVENTS)
def test_histories_hold_each_users_events_in_order(events: list[tuple[int, int, int]]) -> None:
    dataset = dataset_of(events)
    histories = Histories.of(dataset.interactions, dataset.user_vocabulary, dataset.item_vocabulary)
    user, item = (dataset.interactions[name].to_numpy() for name in ("user_id", "item_id"))
    padded, lengths = histories.last(3)
    for row, user_id in enumerate(dataset.user_vocabulary):
        expected = item[user == user_id].tolist()
        span = slice(histories.offsets[row], histories.offsets[row + 1])
        assert dataset.item_vocabulary.ids[histories.items[span]].tolist() == expected
        assert item[histories.rows[span]].tolist() == expected
        assert lengths[row] == min(3, len(expected))
        shown = padded[row][: lengths[row]]
        assert dataset.item_vocabulary.ids[shown].tolist() == expected[-3:]
        assert (padded[row][lengths[row] :] == -1).all()
    rows = np.array([len(histories) - 1, 0])
    selected = histories.take(rows)
    assert selected.lengths.tolist() == histories.lengths[rows].tolist()
    assert selected.last(2)[0].tolist() == histories.last(2)[0][rows].tolist()


@given(EVENTS, st.sampled_from([1, 2, 3]))
def test_the_last_events_of_each_user_are_held_out(
    events: list[tuple[int, int, int]], number: int
) -> None:
    dataset = dataset_of(events)
    split = leave_one_out(dataset) if number == 1 else leave_last(dataset, number)
    rows = split.train.num_rows + split.validation.num_rows + split.test.num_rows
    assert rows == dataset.interactions.num_rows
    every = split.dataset.interactions
    item = every["item_id"].to_numpy()
    for user in dataset.user_vocabulary:
        expected = item[every["user_id"].to_numpy() == user].tolist()
        parts = [
            part.filter(pc.equal(part["user_id"], user))["item_id"].to_pylist()
            for part in (split.train, split.validation, split.test)
        ]
        if len(expected) < 3 * number:
            assert parts == [expected, [], []]
        else:
            first, second = len(expected) - 2 * number, len(expected) - number
            assert parts == [expected[:first], expected[first:second], expected[second:]]


def test_leave_last_needs_at_least_one_event() -> None:
    with pytest.raises(ValueError, match="leave_last: number must be 1 or more, got 0"):
        leave_last(dataset_of([(1, 1, 1)]), 0)


def test_targets_are_the_events_after_the_history() -> None:
    dataset = dataset_of([(1, item, item) for item in range(5)] + [(2, 7, 1), (2, 8, 2)])
    split = leave_one_out(dataset)
    for part, known, target in (("validation", [0, 1, 2], 3), ("test", [0, 1, 2, 3], 4)):
        examples = split.examples(part)
        assert examples.users.tolist() == [0]
        assert dataset.item_vocabulary.ids[examples.histories.items].tolist() == known
        assert dataset.item_vocabulary.ids[examples.targets.items].tolist() == [target]
    assert split.histories().lengths.tolist() == [3, 2]


@given(EVENTS)
def test_a_time_split_never_trains_on_the_future(events: list[tuple[int, int, int]]) -> None:
    dataset = dataset_of(events)
    try:
        split = global_time(dataset, validation=0.2, test=0.2)
    except DataError:
        return
    parts = [part["timestamp"].to_numpy() for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == dataset.interactions.num_rows
    assert parts[0].max() < parts[1].min()
    assert parts[1].max() < parts[2].min()


def test_a_time_split_uses_quantiles() -> None:
    split = global_time(dataset_of([(1, item % 10, item) for item in range(100)]))
    assert [split.train.num_rows, split.validation.num_rows, split.test.num_rows] == [80, 10, 10]
    (examples,) = (split.examples("test"),)
    assert examples.histories.lengths.tolist() == [90]
    assert examples.targets.lengths.tolist() == [10]


def test_impossible_time_splits_are_refused() -> None:
    events = [(1, item, item) for item in range(10)]
    with pytest.raises(DataError, match="only each user's order"):
        global_time(dataset_of(events, time="order"))
    with pytest.raises(DataError, match=r"too few distinct times .*; use the split leave-one-out"):
        global_time(dataset_of([(1, item, 5) for item in range(10)]))
    with pytest.raises(ValueError, match=r"sum to less than 1, got 0\.5 and 0\.5"):
        global_time(dataset_of(events), validation=0.5, test=0.5)


@given(EVENTS, st.integers(1, 2))
def test_held_out_users_are_never_trained_on(
    events: list[tuple[int, int, int]], targets: int
) -> None:
    dataset = dataset_of(events)
    try:
        split = by_user(dataset, validation=0.3, test=0.3, targets=targets, seed=1)
    except DataError:
        return
    parts = [split.train, split.validation, split.test]
    assert sum(part.num_rows for part in (*parts, split.context)) == len(dataset.interactions)
    users = [set(part["user_id"].to_pylist()) for part in parts]
    assert sum(map(len, users)) == len(users[0] | users[1] | users[2])
    assert set(split.context["user_id"].to_pylist()) == users[1] | users[2]
    every = Histories.of(dataset.interactions, dataset.user_vocabulary, dataset.item_vocabulary)
    for part in ("validation", "test"):
        examples = split.examples(part)
        assert (examples.targets.lengths == targets).all()
        for row, user in enumerate(examples.users):
            asked = [
                histories.items[histories.offsets[row] : histories.offsets[row + 1]].tolist()
                for histories in (examples.histories, examples.targets)
            ]
            known = every.items[every.offsets[user] : every.offsets[user + 1]].tolist()
            assert asked == [known[:-targets], known[-targets:]]


def test_a_split_by_user_has_its_shares_and_its_seed() -> None:
    dataset = dataset_of([(user, item, item) for user in range(100) for item in range(3)])
    first, again, other = (by_user(dataset, test=0.2, seed=seed) for seed in (0, 0, 1))
    assert (first.validation.num_rows, first.test.num_rows, first.context.num_rows) == (10, 20, 60)
    assert first.test.equals(again.test)
    assert not first.test.equals(other.test)


def test_users_held_out_by_the_source_are_test() -> None:
    events = pa.table({"user_id": [1, 1, 2, 2, 3, 3, 4], "item_id": [5] * 7, "timestamp": range(7)})
    marks: list[object] = [None, True, False, True]
    users = pa.table({"user_id": [1, 2, 3, 4], "held_out": marks})
    dataset = assemble("d", RawTable("e", events), users=RawTable("u", users), source="test")
    split = by_user(dataset, validation=0.5)
    assert split.test["user_id"].to_pylist() == [2, 4]
    assert split.context["user_id"].to_pylist().count(2) == 1
    assert split.examples("test").users.tolist() == [1]
    wrong = users.set_column(1, "held_out", pa.array([0, 1, 2, 0]))
    dataset = assemble("d", RawTable("e", events), users=RawTable("u", wrong), source="test")
    with pytest.raises(DataError, match="held_out must be true or false"):
        by_user(dataset)


def test_the_default_split_follows_the_source() -> None:
    rows = [(user, item, user + item) for user in range(20) for item in range(4)]
    timed, ordered = dataset_of(rows), dataset_of(rows, time="order")
    users = timed.users.append_column("held_out", pa.array([user < 5 for user in range(20)]))
    held_out = replace(timed, users=users)
    for dataset, clock, name in (
        (timed, True, "global-time"),
        (timed, False, "leave-one-out"),
        (ordered, True, "leave-one-out"),
        (held_out, True, "by-user"),
        (held_out, False, "by-user"),
    ):
        chosen, split = named_split(dataset, clock=clock)
        assert chosen == name
        if name == "by-user":
            assert split.test["user_id"].to_pylist() == [0, 1, 2, 3, 4]


def test_splits_are_found_by_name() -> None:
    dataset = dataset_of([(user, item, user + item) for user in range(20) for item in range(4)])
    for name, expected in (
        ("leave-one-out", leave_one_out(dataset)),
        ("global-time", global_time(dataset)),
        ("by-user", by_user(dataset)),
    ):
        chosen, split = named_split(dataset, name)
        assert chosen == name
        assert split.test.equals(expected.test)
    with pytest.raises(ValueError, match="no split 'random'; available: leave-one-out, global"):
        named_split(dataset, "random")


def test_next_events_are_the_first_targets() -> None:
    rows = [(0, 1, 1), (1, 2, 1), (0, 3, 2), (1, 4, 2), (0, 5, 8), (0, 6, 8), (1, 7, 9), (0, 8, 9)]
    dataset = dataset_of([*rows, (1, 0, 5), (0, 9, 5)])
    examples = global_time(dataset, validation=0.2, test=0.4).examples("test")
    assert (examples.targets.lengths > 1).any()
    asked = examples.next_events()
    assert asked.targets.lengths.tolist() == [1] * len(examples.users)
    firsts = examples.targets.items[examples.targets.offsets[:-1]]
    assert asked.targets.items.tolist() == firsts.tolist()
    assert asked.histories is examples.histories


def test_a_sample_of_examples_is_always_the_same() -> None:
    dataset = dataset_of([(user, item, item) for user in range(9) for item in range(user, 12)])
    asked = leave_one_out(dataset).examples("test")
    some = asked.some(4)
    assert some.users.tolist() == asked.some(4).users.tolist() == sorted(set(some.users.tolist()))
    assert len(some.users) == 4
    target_of = dict(zip(asked.users.tolist(), asked.targets.items.tolist(), strict=True))
    assert some.targets.items.tolist() == [target_of[user] for user in some.users.tolist()]
    assert (some.histories.lengths == 11 - some.users).all()
    assert asked.some(9) is asked.some(None) is asked


def test_impossible_splits_by_user_are_refused() -> None:
    dataset = dataset_of([(user, item, item) for user in range(9) for item in range(2)])
    with pytest.raises(DataError, match="too few users"):
        by_user(dataset, targets=2)
    with pytest.raises(ValueError, match="by_user: shares must be positive"):
        by_user(dataset, test=0)
    with pytest.raises(ValueError, match="targets must be 1 or more, got 0"):
        by_user(dataset, targets=0)


def test_data_without_order_holds_out_random_events() -> None:
    rows = [(user, item) for user in range(300) for item in range(5)]
    users, items = (np.array(column) for column in zip(*rows, strict=True))
    raw = RawTable("e", pa.table({"user_id": users, "item_id": items}))
    datasets = [assemble("d", raw, source="test", time="none") for _ in range(2)]
    assert datasets[0].interactions.equals(datasets[1].interactions)
    assert datasets[0].interactions["timestamp"].to_numpy().max() == 4
    last = leave_one_out(datasets[0]).test["item_id"].to_numpy()
    assert len(last) == 300
    assert np.bincount(last, minlength=5).min() > 30
    with pytest.raises(DataError, match="needs times, and the source has none"):
        global_time(datasets[0])


def test_an_empty_report_has_no_bad_rows() -> None:
    assert ImportReport("x").num_bad == 0
