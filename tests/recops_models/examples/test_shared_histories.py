"""Neighbouring examples whose histories begin alike: which, and what batches tell of them."""

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


def test_runs_are_neighbours_of_one_user_with_one_beginning() -> None:
    rng = np.random.default_rng(0)
    for targets, max_len in ((2, 10), (4, 7), (20, 5), (3, 1)):
        user = rng.permutation(np.repeat(np.arange(7), 30))
        first = user * 100
        ends = first + rng.integers(0, 60, len(user))
        run, begin = shared_histories(user, first, ends, targets, max_len)
        assert (np.unique(run) == np.arange(run.max() + 1)).all()
        for which in range(run.max() + 1):
            mine = run == which
            assert len(set(user[mine])) == 1
            assert len(set(ends[mine])) <= targets
            assert set(begin[mine]) == {max(first[mine][0], ends[mine].max() - max_len)}
            alone = np.minimum(ends - first, max_len)
            assert (2 * (ends - begin) >= alone)[mine].all()
        # By user and then by time; examples with one end are not parted.
        order = np.lexsort((ends, user))
        assert (np.diff(run[order]) >= 0).all()
        assert len(set(zip(user, ends, strict=True))) == len(set(zip(user, ends, run, strict=True)))


def test_runs_are_as_long_as_they_may_be() -> None:
    ends = np.arange(50)
    run, begin = shared_histories(np.zeros(50, dtype=np.int64), np.zeros_like(ends), ends, 5, 20)
    assert (run == ends // 5).all()
    assert (begin == np.maximum(0, ends // 5 * 5 + 4 - 20)).all()


def dataset() -> Dataset:
    """Everybody rates 60 of 70 items, one a second."""
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
def test_batches_tell_whose_histories_are_beginnings(feedback: str) -> None:
    alone, shared = (examples(feedback=feedback, targets_per_history=n) for n in (1, 5))
    (plain,) = alone.train.batches(10_000, seed=None)
    assert plain.begun_by is None
    shares, seen = [], 0
    for batch in shared.train.batches(64, seed=1):
        events, begun_by = histories(batch), batch.begun_by["history_item"].tolist()
        assert all(
            events[row][: len(mine)] == mine for mine, row in zip(events, begun_by, strict=True)
        )
        assert all(begun_by[row] == row for row in begun_by)
        assert max(map(len, events)) <= 12
        shares.append(len(set(begun_by)) / len(begun_by))
        seen += len(events)
    assert seen == len(plain.label)
    assert np.mean(shares) < 0.4  # A batch of 64 examples breaks a run now and then.


def test_a_history_loses_its_first_events_alone() -> None:
    alone, shared = (examples(targets_per_history=n) for n in (1, 5))
    for part in ("train", "validation", "test"):
        whole = {}
        for batch in getattr(alone, part).batches(64, seed=None):
            met = zip(batch.group.tolist(), batch.features["item"].tolist(), strict=True)
            whole |= dict(zip(met, zip(histories(batch), batch.label, strict=True), strict=True))
        for batch in getattr(shared, part).batches(64, seed=None):
            met = zip(batch.group.tolist(), batch.features["item"].tolist(), strict=True)
            for key, mine, label in zip(met, histories(batch), batch.label, strict=True):
                full, same = whole.pop(key)
                assert label == same
                assert full[len(full) - len(mine) :] == mine
                assert 2 * len(mine) >= len(full)
        assert not whole


def test_a_resumed_pass_goes_on_as_it_was() -> None:
    shared = examples(targets_per_history=5).train
    whole = list(shared.batches(50, seed=3, epoch=2))
    rest = list(shared.batches(50, seed=3, epoch=2, skip=4))
    other = next(iter(shared.batches(50, seed=3, epoch=1)))
    assert [batch.features["item"].tolist() for batch in whole[4:]] == [
        batch.features["item"].tolist() for batch in rest
    ]
    assert whole[0].features["item"].tolist() != other.features["item"].tolist()
    assert [len(batch.label) for batch in whole[:-1]] == [50] * (len(whole) - 1)


def test_what_is_thinned_begins_nothing() -> None:
    made = unseen_pairs(examples(targets_per_history=5))
    assert all(batch.begun_by is None for batch in made.train.batches(64, seed=0))


def test_no_target_is_refused() -> None:
    with pytest.raises(
        ValueError, match="click_data: targets_per_history must be 1 or more, got 0"
    ):
        examples(targets_per_history=0)
