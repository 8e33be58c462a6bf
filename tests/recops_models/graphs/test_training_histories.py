"""What a graph may be made of: the training part, and nothing after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from click_inputs import schema
from click_parquet import write_click_folder
from recops_evidence.experiments.synthetic_delays import SyntheticDelays
from recops_models.data import Dataset, named_split
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories
from recops_models.examples.click import click_data
from recops_models.examples.click_stream import open_click_folder
from recops_models.examples.features import Categorical, Sequence
from recops_models.graphs.training_histories import histories_key, training_histories


def lists(found: Histories) -> list[list[int]]:
    return [part.tolist() for part in np.split(found.items, found.offsets[1:-1])]


def test_it_is_the_training_part_and_no_more(small: Dataset) -> None:
    name, split = named_split(small, clock=True)
    data = click_data(small, name)
    found = training_histories(data)
    rows = data.fitted.lookup("item").rows(split.train["item_id"].to_numpy())
    assert len(found.items) == split.train.num_rows
    assert np.array_equal(np.sort(found.items), np.sort(np.where(rows > 1, rows, -1)))
    # Whatever comes later: the same graph.
    later = split.test["item_id"].to_numpy()
    shuffled = split.test.set_column(1, "item_id", pa.array(np.roll(later, 7)))
    other = training_histories(click_data(small, replace(split, test=shuffled)))
    assert lists(other) == lists(found)


def test_histories_stand_in_order(small: Dataset) -> None:
    _, split = named_split(small, clock=True)
    data = click_data(small, split)
    user = small.user_vocabulary.index(split.train["user_id"].to_numpy())
    rows = data.fitted.lookup("item").rows(split.train["item_id"].to_numpy())
    rows = np.where(rows > 1, rows, -1)
    for one, mine in enumerate(lists(training_histories(data))):
        assert mine == rows[user == one].tolist()


def test_users_who_are_not_trained_on_tell_nothing(small: Dataset) -> None:
    name, split = named_split(small, "by-user")
    found = training_histories(click_data(small, name))
    trained = small.user_vocabulary.index(split.train["user_id"].unique().to_numpy())
    assert set(np.flatnonzero(found.lengths)) == set(trained)


def test_made_up_examples_are_their_own_histories() -> None:
    data = SyntheticDelays(examples=40, domains=4, items=5).draw(0)
    batch = next(data.train.batches(100, seed=None))
    assert lists(training_histories(data)) == batch.features["history_item"].tolist()


def test_of_streamed_examples_a_users_longest_counts(tmp_path: Path) -> None:
    write_click_folder(tmp_path, megabytes=0.01, users=40, items=30, piece=300)
    data = open_click_folder(tmp_path)
    found = training_histories(data)
    longest: dict[int, list[int]] = {}
    for batch in data.train.batches(64, seed=None):
        sizes = batch.lengths["history_item"].tolist()
        views = zip(
            batch.group.tolist(), batch.features["history_item"].tolist(), sizes, strict=True
        )
        for user, items, size in views:
            if size > len(longest.get(user, [])):
                longest[user] = [item if item > 1 else -1 for item in items[:size]]
    assert sorted(lists(found)) == sorted(longest.values())


def test_a_hash_knows_ids_and_settings() -> None:
    one = Histories(np.array([0, 2]), np.array([3, 4]), np.arange(2))
    keys = [
        histories_key(one, {"window": 1}),
        histories_key(replace(one, items=np.array([4, 3])), {"window": 1}),
        histories_key(replace(one, offsets=np.array([0, 1, 2])), {"window": 1}),
        histories_key(one, {"window": 2}),
    ]
    assert len({*keys}) == 4
    assert keys[0] == histories_key(one, {"window": 1})


def test_without_a_candidates_history_there_is_none() -> None:
    data = SyntheticDelays(examples=40, domains=4, items=5).draw(0)
    alone = schema((Categorical("item"), Sequence("tags")))
    with pytest.raises(DataError, match="no history shares the candidate's table"):
        training_histories(replace(data, fitted=alone))
