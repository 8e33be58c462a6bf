"""Scores of rows with the features of a click model's schema."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from recops_models.click.label_scores import label_scores
from recops_models.click.model import ClickScorer
from recops_models.data.checks import plain_text
from recops_models.data.errors import DataError
from recops_models.data.frames import Frame, to_arrow
from recops_models.examples.encode import encode
from recops_models.examples.parquet_rows import check_types
from recops_models.examples.row_faults import RowFaults
from recops_models.training.device import array, device_of, to_device

_BATCH = 4096


def has_features(model: ClickScorer, frame: Frame) -> bool:
    """Return whether a frame has a column for each feature of the model's schema."""
    names = to_arrow(frame, "score: frame").column_names
    return {feature.name for feature in model.schema.schema.features} <= set(names)


@torch.no_grad()
def score_rows(
    model: ClickScorer, frame: Frame, weights: Mapping[str, float] | None = None
) -> NDArray[np.float32]:
    """Return the score ``[n]`` of each row.

    Args:
        model: the click model.
        frame: a column per feature; a label is ignored.
        weights: label → weight; None: the click probability.

    Raises:
        DataError: a column has a wrong type, or a row has a value that no model can read.
    """
    schema = model.schema.schema
    table = to_arrow(frame, "score: frame")
    count = table.num_rows
    columns = {name: plain_text(table[name]) for name in table.column_names}
    columns[schema.label] = pa.chunked_array([np.zeros(count, dtype=np.float32)])
    if schema.group is not None and schema.group not in columns:
        columns[schema.group] = pa.chunked_array([np.zeros(count, dtype=np.int64)])
    table = pa.table(columns)
    check_types("score: frame", table.schema, schema)
    scores = [np.empty(0, dtype=np.float32)]
    faults = RowFaults("score: frame", schema)
    for piece in table.combine_chunks().to_batches(max_chunksize=_BATCH):
        good = faults.valid_rows(piece)
        if faults.bad_rows:
            raise DataError(str(faults.bad_rows[0]))
        block = encode(good, model.schema)
        batch = to_device(block.batch(np.arange(len(block))), device_of(model))
        scores.append(array(label_scores(model, batch, weights)))
    return np.concatenate(scores)
