"""Vocabulary, ragged histories and splits."""

from __future__ import annotations

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
    global_time,
    leave_one_out,
)
from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable

EVENTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 30)), min_size=1, max_size=60
)


def dataset_of(events: list[tuple[int, int, int]], time: str = "seconds") -> Dataset:
    users, items, times = (np.array(column) for column in zip(*events, strict=True))
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    return assemble("d", RawTable("events", table), source="test", time=time)  # type: ignore[arg-type]


def test_vocabulary_goes_there_and_back() -> None:
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
    some = np.array([len(histories) - 1, 0])
    taken = histories.take(some)
    assert taken.lengths.tolist() == histories.lengths[some].tolist()
    assert taken.last(2)[0].tolist() == histories.last(2)[0][some].tolist()


@given(EVENTS)
def test_leave_one_out_holds_out_the_last_two(events: list[tuple[int, int, int]]) -> None:
    dataset = dataset_of(events)
    split = leave_one_out(dataset)
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
        if len(expected) < 3:
            assert parts == [expected, [], []]
        else:
            assert parts == [expected[:-2], expected[-2:-1], expected[-1:]]


def test_examples_ask_for_what_comes_after_what_is_known() -> None:
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


def test_a_time_split_cuts_at_the_quantiles() -> None:
    split = global_time(dataset_of([(1, item % 10, item) for item in range(100)]))
    assert [split.train.num_rows, split.validation.num_rows, split.test.num_rows] == [80, 10, 10]
    (examples,) = (split.examples("test"),)
    assert examples.histories.lengths.tolist() == [90]
    assert examples.targets.lengths.tolist() == [10]


def test_impossible_time_splits_are_told() -> None:
    events = [(1, item, item) for item in range(10)]
    with pytest.raises(DataError, match="only each user's order"):
        global_time(dataset_of(events, time="order"))
    with pytest.raises(DataError, match="too few distinct times"):
        global_time(dataset_of([(1, item, 5) for item in range(10)]))
    with pytest.raises(ValueError, match=r"sum to less than 1, got 0\.5 and 0\.5"):
        global_time(dataset_of(events), validation=0.5, test=0.5)


def test_an_empty_report_is_a_report() -> None:
    assert ImportReport("x").num_bad == 0
