"""Examples of the click league: split, matched unknown candidates, and frozen states."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch

from recops_evidence.league.click_examples import league_examples
from recops_models.data import Dataset
from recops_models.data.splits import leave_last_share
from recops_models.examples.batch import Batch
from recops_models.examples.known import known_candidates
from recops_models.examples.loader import Source
from recops_models.training.example_config import ExampleConfig

EXPLICIT = ExampleConfig(max_len=20)
IMPLICIT = dataclasses.replace(EXPLICIT, feedback="implicit", rare_count=12, rare_share=0.0)


def batch_of(source: Source) -> Batch:
    (batch,) = source.batches(10**6, seed=None)
    return batch


def test_each_user_holds_out_a_tenth_and_at_least_two(small: Dataset) -> None:
    split = leave_last_share(small)
    sizes = {
        name: np.unique(getattr(split, name)["user_id"].to_numpy(), return_counts=True)[1]
        for name in ("validation", "test")
    }
    assert len(sizes["test"]) == 60
    assert set(sizes["test"]) == {2}
    np.testing.assert_array_equal(sizes["test"], sizes["validation"])
    third = leave_last_share(small, 0.3)
    counts = np.unique(small.interactions["user_id"].to_numpy(), return_counts=True)[1]
    held_out = np.unique(third.test["user_id"].to_numpy(), return_counts=True)[1]
    np.testing.assert_array_equal(held_out, np.floor(0.3 * counts + 0.5))


def test_users_with_few_events_are_only_in_training(small: Dataset) -> None:
    split = leave_last_share(small, 0.1, least=5)
    counts = dict(zip(*np.unique(small.interactions["user_id"], return_counts=True), strict=True))
    assert {user for user, count in counts.items() if count < 15}.isdisjoint(
        split.test["user_id"].to_pylist()
    )
    with pytest.raises(ValueError, match=r"share must be in \(0, 1/3\], got 0.5"):
        leave_last_share(small, 0.5)
    with pytest.raises(ValueError, match="least must be 1 or more, got 0"):
        leave_last_share(small, least=0)


def test_every_training_event_is_an_example(small: Dataset) -> None:
    examples = league_examples(small, EXPLICIT)
    assert examples.clicks.train.num_examples == leave_last_share(small).train.num_rows


def test_negatives_are_known_as_often_as_positives(small: Dataset) -> None:
    clicks = league_examples(small, IMPLICIT).clicks
    for source in (clicks.validation, clicks.test):
        batch = batch_of(source)
        known, positive = known_candidates(clicks.fitted.schema, batch), batch.label > 0
        assert 0 < int(known[positive].sum()) < int(positive.sum())
        assert int(known[positive].sum()) == int(known[~positive].sum())
        np.testing.assert_array_equal(known[::2], known[1::2])


def test_evaluation_negatives_have_no_event_of_the_user(small: Dataset) -> None:
    config = dataclasses.replace(IMPLICIT, rare_count=1)
    clicks = league_examples(small, config).clicks
    events = small.interactions
    met = set(zip(events["user_id"].to_pylist(), events["item_id"].to_pylist(), strict=True))
    keys = clicks.fitted.lookup("item").keys
    ids = keys.to_pylist() if isinstance(keys, pa.Array) else keys.ids.tolist()
    batch = batch_of(clicks.test)
    item = batch.features["item"] - 2  # Rows 0 and 1 are padding and unknown values.
    pairs = [(int(u), ids[int(i)]) for u, i in zip(batch.group, item, strict=True) if i >= 0]
    labels = batch.label[item >= 0].bool().tolist()
    assert [pair in met for pair in pairs] == labels


def test_a_frozen_state_ends_before_the_users_test_part(small: Dataset) -> None:
    examples = league_examples(small, EXPLICIT)
    live, frozen = batch_of(examples.clicks.test), batch_of(examples.frozen)
    for name in ("group", "label"):
        torch.testing.assert_close(getattr(frozen, name), getattr(live, name))
    torch.testing.assert_close(frozen.features["item"], live.features["item"])
    first = torch.zeros(len(live.group), dtype=torch.bool)
    first[np.unique(live.group.numpy(), return_index=True)[1]] = True
    name = "history_item"
    assert bool((live.lengths[name] >= frozen.lengths[name]).all())
    assert bool((live.lengths[name] == frozen.lengths[name])[first].all())
    assert bool((live.features["user_count"] > frozen.features["user_count"])[~first].all())
    length = frozen.features[name].shape[1]
    columns = {"user_rate": ..., "user_count": ..., name: (..., slice(length))}
    for column, part in columns.items():
        torch.testing.assert_close(
            frozen.features[column][first], live.features[column][first][part]
        )
