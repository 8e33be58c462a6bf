"""What users met in training, in order: what an item graph may be made of, and no more."""

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
    """The histories of the training part; items are rows of the candidate's table, −1 unknown.

    Of examples made of a data set these are all events of the users who are trained on, up to the
    end of the training part. Of other examples (streamed, made up) they are what the examples look
    back on: of each user the longest history, the first among equals, for each feature that shares
    the candidate's table; every example's, where the schema names no ``group``. Validation and test
    are never read.

    Raises:
        DataError: no candidate shares its table with a history.
    """
    schema = data.fitted.schema
    if schema.candidate is None:
        raise DataError(f"{data.name}: no history shares the candidate's table")
    if data.histories is not None:
        return _known(data.histories())
    table = schema.table(schema.candidate)
    names = [each.name for each in schema.of_type(Sequence) if schema.table(each.name) == table]
    found = [_longest(data.train, schema, name) for name in names]
    items = np.concatenate([each.items for each in found])
    lengths = np.concatenate([each.lengths for each in found])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return _known(Histories(offsets, items, np.arange(len(items))))


def histories_key(histories: Histories, settings: Mapping[str, object]) -> str:
    """A hash of all ids, in order, and of what else a graph depends on."""
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for array in (histories.offsets, histories.items):
        digest.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
    return digest.hexdigest()


def _known(histories: Histories) -> Histories:
    items = np.where(histories.items > UNKNOWN, histories.items, -1)
    return Histories(histories.offsets, items, histories.rows)


def _longest(train: Source, schema: FeatureSchema, name: str) -> Histories:
    """Two passes: which examples to take, then their events."""
    counted = [(batch.group.numpy(), batch.lengths[name].numpy()) for batch in _batches(train)]
    group, length = (np.concatenate(column) for column in zip(*counted, strict=True))
    taken = length > 0
    if schema.group is not None:
        order = np.lexsort((-length, group))
        first = order[np.flatnonzero(np.diff(group[order], prepend=group[order[0]] - 1))]
        longest = np.zeros(len(taken), dtype=np.bool_)
        longest[first] = True
        taken &= longest
    items: list[Int64Array] = []
    begin = 0
    for batch in _batches(train):
        rows = np.flatnonzero(taken[begin : begin + len(batch.label)])
        inside = np.arange(batch.features[name].shape[1]) < batch.lengths[name].numpy()[rows, None]
        items.append(batch.features[name].numpy()[rows][inside])
        begin += len(batch.label)
    offsets = np.concatenate([[0], np.cumsum(length[taken])])
    return Histories(offsets, np.concatenate(items), np.arange(offsets[-1]))


def _batches(train: Source) -> Iterator[Batch]:
    return train.batches(_BATCH, seed=None)
