"""Batches of click examples: parts, devices and copies of them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch

from click_inputs import one_request, prefix_batches, schema
from recops_models.examples.batch import Batch
from recops_models.layers.feature_embedding import FeatureEmbedding


def clone(request: Batch) -> Batch:
    """Return a batch of cloned tensors, as a copy to pinned memory makes them."""
    features = {name: value.clone() for name, value in request.features.items()}
    return request._replace(features=features)


COPIES = {
    "to": lambda request: request.to("cpu"),
    "to another device": lambda request: request.to("meta"),
    "clone": clone,
    "deepcopy": copy.deepcopy,
    "pickle": lambda request: pickle.loads(pickle.dumps(request)),
    "split": lambda request: next(request.split(3)),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_request_is_a_request(name: str) -> None:
    copied: Callable[[Batch], Batch] = COPIES[name]
    request = one_request(rows=6, length=5)
    assert copied(request).is_one_request
    assert not copied(request._replace(is_one_request=False)).is_one_request


@pytest.mark.parametrize("name", sorted(COPIES.keys() - {"to another device"}))
def test_the_history_of_a_copied_request_is_read_once(name: str) -> None:
    embedding = FeatureEmbedding(schema(), 4)
    request = COPIES[name](one_request(rows=6, length=5))
    events, lengths = embedding.histories(request)
    assert events.shape == (1, 5, 8)
    assert lengths.tolist() == [5]
    every_row, _ = embedding.histories(request._replace(is_one_request=False))
    assert torch.equal(every_row, events.expand(len(request.label), -1, -1))


def test_equal_rows_are_no_request_unless_the_batch_says_so() -> None:
    request = one_request(rows=6, length=5)._replace(is_one_request=False)
    expanded = {name: value[:1].expand_as(value) for name, value in request.features.items()}
    events, _ = FeatureEmbedding(schema(), 4).histories(request._replace(features=expanded))
    assert len(events) == 6


def test_split_refuses_histories_that_other_rows_contain() -> None:
    _, shared = prefix_batches([3, 5])
    with pytest.raises(ValueError, match=r"Batch.split: prefix_of must be None"):
        next(shared.split(1))
