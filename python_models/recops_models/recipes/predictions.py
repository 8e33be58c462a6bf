"""Predictions of a trained model on test, ``predictions.parquet``."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from recops_models.data.dataset import Dataset
from recops_models.data.storage import write_table

PREDICTIONS = "predictions.parquet"


def write_predictions(folder: Path, predictions: pa.Table, dataset: Dataset | None) -> None:
    """Write one row per test example; if users are numbers of text ids, with ``user_key``.

    Args:
        folder: folder of the training.
        predictions: table of :meth:`RecommenderTask.measure`.
        dataset: users and items of the task; None: there are only examples.
    """
    is_numbered = pa.types.is_integer(predictions["user"].type)
    if dataset is not None and is_numbered and (keys := dataset.text_keys("user")) is not None:
        rows = dataset.user_vocabulary.index(predictions["user"].to_numpy(), missing="mark")
        user_keys = keys.take(pa.array(rows, mask=rows < 0))
        predictions = predictions.append_column("user_key", user_keys)
    write_table(folder / PREDICTIONS, predictions)
