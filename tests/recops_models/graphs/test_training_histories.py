"""Histories of the training part, without later events."""

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


def lists(histories: Histories) -> list[list[int]]:
    return [part.tolist() for part in np.split(histories.items, histories.offsets[1:-1])]


def test_histories_have_only_the_training_part(small: Dataset) -> None:
    name, split = named_split(small, clock=True)
    data = click_data(small, name)
    histories = training_histories(data)
    rows = data.fitted.lookup("item").rows(split.train["item_id"].to_numpy())
    assert len(histories.items) == split.train.num_rows
    assert np.array_equal(np.sort(histories.items), np.sort(np.where(rows > 1, rows, -1)))
    # Other test events give the same histories.
    later = split.test["item_id"].to_numpy()
    shuffled = split.test.set_column(1, "item_id", pa.array(np.roll(later, 7)))
    with_other_test = training_histories(click_data(small, replace(split, test=shuffled)))
    assert lists(with_other_test) == lists(histories)


def test_histories_are_in_time_order(small: Dataset) -> None:
    _, split = named_split(small, clock=True)
    data = click_data(small, split)
    user = small.user_vocabulary.index(split.train["user_id"].to_numpy())
    rows = data.fitted.lookup("item").rows(split.train["item_id"].to_numpy())
    rows = np.where(rows > 1, rows, -1)
    for index, history in enumerate(lists(training_histories(data))):
        assert history == rows[user == index].tolist()


def test_users_outside_of_training_have_no_history(small: Dataset) -> None:
    name, split = named_split(small, "by-user")
    histories = training_histories(click_data(small, name))
    training_users = small.user_vocabulary.index(split.train["user_id"].unique().to_numpy())
    assert set(np.flatnonzero(histories.lengths)) == set(training_users)


def test_synthetic_examples_have_their_own_histories() -> None:
    data = SyntheticDelays(examples=40, domains=4, items=5).draw(0)
    batch = next(data.train.batches(100, seed=None))
    assert lists(training_histories(data)) == batch.features["history_item"].tolist()


def test_streamed_examples_have_the_longest_history_per_user(tmp_path: Path) -> None:
    write_click_folder(tmp_path, megabytes=0.01, users=40, items=30, piece=300)
    data = open_click_folder(tmp_path)
    histories = training_histories(data)
    longest: dict[int, list[int]] = {}
    for batch in data.train.batches(64, seed=None):
        sizes = batch.lengths["history_item"].tolist()
        views = zip(
            batch.group.tolist(), batch.features["history_item"].tolist(), sizes, strict=True
        )
        for user, items, size in views:
            if size > len(longest.get(user, [])):
                longest[user] = [item if item > 1 else -1 for item in items[:size]]
    assert sorted(lists(histories)) == sorted(longest.values())


def test_the_key_depends_on_ids_and_settings() -> None:
    histories = Histories(np.array([0, 2]), np.array([3, 4]), np.arange(2))
    keys = [
        histories_key(histories, {"window": 1}),
        histories_key(replace(histories, items=np.array([4, 3])), {"window": 1}),
        histories_key(replace(histories, offsets=np.array([0, 1, 2])), {"window": 1}),
        histories_key(histories, {"window": 2}),
    ]
    assert len({*keys}) == 4
    assert keys[0] == histories_key(histories, {"window": 1})


def test_a_schema_without_a_candidates_history_is_refused() -> None:
    data = SyntheticDelays(examples=40, domains=4, items=5).draw(0)
    alone = schema((Categorical("item"), Sequence("tags")))
    with pytest.raises(DataError, match="no history shares the candidate's table"):
        training_histories(replace(data, fitted=alone))
