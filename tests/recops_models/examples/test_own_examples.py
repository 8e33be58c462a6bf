"""Examples of events with their own items, made batch by batch without the table of events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops_models.data import Dataset, load, save_dataset
from recops_models.data.splits import named_split
from recops_models.examples import earlier_counts
from recops_models.examples.batch import Batch
from recops_models.examples.click import click_data
from recops_models.examples.earlier_counts import EarlierCounts, RunningTotal
from recops_models.examples.events import Events
from recops_models.examples.loader import cut
from recops_models.examples.maker import ExampleMaker
from recops_models.examples.own_examples import OwnExamples


def log(rows: int = 600) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset.from_frames(
        {
            "user_id": rng.integers(0, 20, rows),
            "item_id": rng.integers(0, 30, rows),
            "timestamp": rng.integers(0, rows, rows),
            "label": rng.integers(0, 2, rows),
        }
    )


def assert_same(batch: Batch, expected: Batch) -> None:
    for actual, other in ((batch.features, expected.features), (batch.lengths, expected.lengths)):
        assert actual.keys() == other.keys()
        for name, tensor in actual.items():
            assert tensor.dtype == other[name].dtype
            assert tensor.equal(other[name]), name
    assert batch.label.equal(expected.label)
    assert batch.group.equal(expected.group)


@pytest.mark.parametrize("split", ["global-time", "by-user"])
@pytest.mark.parametrize("signed", [True, False])
def test_batches_are_those_of_one_block_of_all_examples(split: str, signed: bool) -> None:
    _, parts = named_split(log(), split)
    fitted = click_data(log(), split, signed=signed, max_len=5).fitted
    events = Events.of(parts, "explicit", 4.0)
    maker = ExampleMaker(events, fitted)
    rows = events.part(0)
    other = np.roll(events.item[rows], 1)  # Other items take the rates of a search.
    label = events.liked[rows].astype(np.float32)
    block = maker.block(rows, events.item[rows].astype(np.int64), label)
    examples = OwnExamples(maker, int(rows[0]), len(rows))
    assert examples.lengths[np.arange(len(rows))].tolist() == block.lengths.tolist()
    some = np.array([5, 300, 0, 17])
    assert_same(examples.batch(some), block.batch(some))

    mixed = maker.block(rows, other.astype(np.int64), label).batch(some)
    searched = events.running_rates.features(
        events.user[rows], events.item[rows], events.time_ranks(rows)
    )
    for name, values in events.rates(rows).items():
        assert (values == searched[name]).all()
    assert not mixed.features["item"].equal(block.batch(some).features["item"])


def test_click_examples_leave_the_table_in_its_file(tmp_path: Path) -> None:
    save_dataset(log(), tmp_path)
    data = load(tmp_path)
    clicks = click_data(data)
    assert len(list(clicks.train.batches(64, seed=0))) == 8
    assert "interactions" not in vars(data)


EVENTS = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=30)


@given(EVENTS, st.integers(1, 7), st.randoms(use_true_random=False))
def test_counts_equal_a_loop_over_earlier_events(events, rows: int, random) -> None:
    entity = np.array([each for each, _ in events], dtype=np.int32)
    liked = np.array([like for _, like in events], dtype=bool)
    order = list(range(len(events)))
    random.shuffle(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(earlier_counts, "_ROWS", rows)
        for chosen in (None, np.array(order, dtype=np.int64)):
            counts = EarlierCounts.of(entity, 5, liked, chosen)
            seen: list[tuple[int, bool]] = []
            for row in range(len(events)) if chosen is None else order:
                mine = [like for each, like in seen if each == entity[row]]
                assert (counts.events[row], counts.liked[row]) == (len(mine), sum(mine))
                seen.append((int(entity[row]), bool(liked[row])))
            assert counts.events_in_all.tolist() == np.bincount(entity, minlength=5).tolist()


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_a_running_total_equals_a_sum(count: int) -> None:
    marks = np.random.default_rng(0).random(count) < 0.9
    positions = np.arange(count + 1)
    expected = [int(marks[:position].sum()) for position in positions]
    assert RunningTotal(marks).before(positions).tolist() == expected
    assert RunningTotal(np.ones(count, bool)).before(positions).tolist() == positions.tolist()


def test_a_shuffle_of_narrow_rows_draws_the_same_order() -> None:
    rows = np.concatenate(list(cut(np.zeros(1000, dtype=np.int64), 1000, np.random.default_rng(4))))
    rng = np.random.default_rng(4)
    assert rows.tolist() == rng.permutation(rng.permutation(1000)[None])[0].tolist()
