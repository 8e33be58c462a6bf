"""Consecutive examples whose histories start at the same event, and their batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recops_models.data import Dataset, ImportReport
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.shared_histories import shared_histories
from recops_models.examples.unseen_pairs import unseen_pairs


def test_runs_are_consecutive_events_of_one_user_with_one_start() -> None:
    rng = np.random.default_rng(0)
    for targets, max_len in ((2, 10), (4, 7), (20, 5), (3, 1)):
        user = rng.permutation(np.repeat(np.arange(7), 30))
        first = user * 100
        ends = first + rng.integers(0, 60, len(user))
        run, begin = shared_histories(user, first, ends, targets, max_len)
        assert (np.unique(run) == np.arange(run.max() + 1)).all()
        for index in range(run.max() + 1):
            mine = run == index
            assert len(set(user[mine])) == 1
            assert len(set(ends[mine])) <= targets
            assert set(begin[mine]) == {max(first[mine][0], ends[mine].max() - max_len)}
            alone = np.minimum(ends - first, max_len)
            assert (2 * (ends - begin) >= alone)[mine].all()
        # Runs are sorted by user and time. Examples with the same end are in the same run.
        order = np.lexsort((ends, user))
        assert (np.diff(run[order]) >= 0).all()
        assert len(set(zip(user, ends, strict=True))) == len(set(zip(user, ends, run, strict=True)))


def test_runs_are_as_long_as_possible() -> None:
    ends = np.arange(50)
    run, begin = shared_histories(np.zeros(50, dtype=np.int64), np.zeros_like(ends), ends, 5, 20)
    assert (run == ends // 5).all()
    assert (begin == np.maximum(0, ends // 5 * 5 + 4 - 20)).all()


def dataset() -> Dataset:
    """Return a data set in which each user rates 60 of 70 items, one per second."""
    rng = np.random.default_rng(0)
    user = rng.permutation(np.repeat(np.arange(12), 60))
    item = np.empty_like(user)
    for each in range(12):
        item[user == each] = rng.permutation(70)[:60]
    table = {"user_id": user, "item_id": item, "timestamp": np.arange(len(user))}
    rating = rng.integers(1, 6, len(user)).astype(np.float32)
    return Dataset(
        "toy",
        pa.table({**table, "rating": rating}),
        pa.table({"item_id": np.arange(70)}),
        pa.table({"user_id": np.arange(12)}),
        ImportReport("toy", {}, (), ()),
    )


def histories(batch: Batch) -> list[list[int]]:
    shown, lengths = batch.features["history_item"], batch.lengths["history_item"]
    return [row[:length].tolist() for row, length in zip(shown, lengths, strict=True)]


def examples(**settings: Any) -> ClickData:
    return click_data(dataset(), "leave-one-out", max_len=12, rare_share=0.0, **settings)


@pytest.mark.parametrize("feedback", ["explicit", "implicit"])
def test_batches_know_which_histories_are_prefixes(feedback: str) -> None:
    alone, shared = (examples(feedback=feedback, targets_per_history=n) for n in (1, 5))
    (plain,) = alone.train.batches(10_000, seed=None)
    assert plain.prefix_of is None
    shares, seen = [], 0
    for batch in shared.train.batches(64, seed=1):
        events, prefix_of = histories(batch), batch.prefix_of["history_item"].tolist()
        assert all(
            events[row][: len(mine)] == mine for mine, row in zip(events, prefix_of, strict=True)
        )
        assert set(prefix_of) <= set(range(len(events)))
        assert all(prefix_of[row] == row for row in prefix_of)
        assert max(map(len, events)) <= 12
        shares.append(len(set(prefix_of)) / len(prefix_of))
        seen += len(events)
    assert seen == len(plain.label)
    assert np.mean(shares) < 0.4  # The end of a batch of 64 examples cuts some runs.


def test_a_shared_history_loses_only_its_first_events() -> None:
    alone, shared = (examples(targets_per_history=n) for n in (1, 5))
    for part in ("train", "validation", "test"):
        expected = {}
        for batch in getattr(alone, part).batches(64, seed=None):
            keys = zip(batch.group.tolist(), batch.features["item"].tolist(), strict=True)
            values = zip(histories(batch), batch.label, strict=True)
            expected |= dict(zip(keys, values, strict=True))
        for batch in getattr(shared, part).batches(64, seed=None):
            keys = zip(batch.group.tolist(), batch.features["item"].tolist(), strict=True)
            for key, mine, label in zip(keys, histories(batch), batch.label, strict=True):
                full, full_label = expected.pop(key)
                assert label == full_label
                assert full[len(full) - len(mine) :] == mine
                assert 2 * len(mine) >= len(full)
        assert not expected


def test_a_resumed_pass_yields_the_same_batches() -> None:
    shared = examples(targets_per_history=5).train
    every = list(shared.batches(50, seed=3, epoch=2))
    resumed = list(shared.batches(50, seed=3, epoch=2, skip=4))
    other = next(iter(shared.batches(50, seed=3, epoch=1)))
    assert [batch.features["item"].tolist() for batch in every[4:]] == [
        batch.features["item"].tolist() for batch in resumed
    ]
    assert every[0].features["item"].tolist() != other.features["item"].tolist()
    assert [len(batch.label) for batch in every[:-1]] == [50] * (len(every) - 1)


def test_filtered_histories_have_no_prefixes() -> None:
    filtered = unseen_pairs(examples(targets_per_history=5))
    assert all(batch.prefix_of is None for batch in filtered.train.batches(64, seed=0))


def test_zero_targets_are_refused() -> None:
    with pytest.raises(
        ValueError, match="click_data: targets_per_history must be 1 or more, got 0"
    ):
        examples(targets_per_history=0)
