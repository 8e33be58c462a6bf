"""Histories of the training part, the input of item graphs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

import numpy as np

from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData
from recops_models.examples.features import FeatureSchema, Sequence
from recops_models.examples.loader import Source
from recops_models.examples.lookup import UNKNOWN

_BATCH = 1024


def training_histories(data: ClickData) -> Histories:
    """Return the histories of the training part, as rows of the candidate's table.

    Unknown items are −1. Examples from a data set have all events of the training users, up to the
    end of the training part. Other examples (streamed or synthetic) have only their own histories:
    the longest one per user, the first among equals, for each feature that shares the candidate's
    table. If the schema has no ``group``, every example's history counts. Validation and test are
    never read.

    Raises:
        DataError: no history shares the candidate's table.
    """
    schema = data.fitted.schema
    if schema.candidate is None:
        raise DataError(f"{data.name}: no history shares the candidate's table")
    if data.histories is not None:
        return _mark_unknown(data.histories())
    table = schema.table(schema.candidate)
    names = [
        feature.name for feature in schema.of_type(Sequence) if schema.table(feature.name) == table
    ]
    parts = [_longest(data.train, schema, name) for name in names]
    items = np.concatenate([feature.items for feature in parts])
    lengths = np.concatenate([feature.lengths for feature in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return _mark_unknown(Histories(offsets, items, np.arange(len(items))))


def histories_key(histories: Histories, settings: Mapping[str, object]) -> str:
    """Return a hash of all ids, in order, and of the settings of a graph."""
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for array in (histories.offsets, histories.items):
        digest.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
    return digest.hexdigest()


def _mark_unknown(histories: Histories) -> Histories:
    items = np.where(histories.items > UNKNOWN, histories.items, -1)
    return Histories(histories.offsets, items, histories.rows)


def _longest(train: Source, schema: FeatureSchema, name: str) -> Histories:
    """Return the longest history per user: choose the examples, then read their events."""
    counted = [(batch.group.numpy(), batch.lengths[name].numpy()) for batch in _batches(train)]
    group, length = (np.concatenate(column) for column in zip(*counted, strict=True))
    is_chosen = length > 0
    if schema.group is not None:
        order = np.lexsort((-length, group))
        first = order[np.flatnonzero(np.diff(group[order], prepend=group[order[0]] - 1))]
        longest = np.zeros(len(is_chosen), dtype=np.bool_)
        longest[first] = True
        is_chosen &= longest
    items: list[Int64Array] = []
    start = 0
    for batch in _batches(train):
        rows = np.flatnonzero(is_chosen[start : start + len(batch.label)])
        inside = np.arange(batch.features[name].shape[1]) < batch.lengths[name].numpy()[rows, None]
        items.append(batch.features[name].numpy()[rows][inside])
        start += len(batch.label)
    offsets = np.concatenate([[0], np.cumsum(length[is_chosen])])
    return Histories(offsets, np.concatenate(items), np.arange(offsets[-1]))


def _batches(train: Source) -> Iterator[Batch]:
    return train.batches(_BATCH, seed=None)
