"""Opening the data of click models: data sets, or Parquet files of examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recops_models.data.dataset import Dataset
from recops_models.data.sets import load
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.click_stream import is_click_folder, open_click_folder
from recops_models.examples.features import FittedSchema


def open_events(
    name_or_folder: str | Path, *, fitted: FittedSchema | None = None
) -> Dataset | ClickData:
    """Open a data set, or examples that are streamed from Parquet files.

    Args:
        name_or_folder: a named data set, a folder with interactions (see
            :func:`recops_models.data.sets.load`), or a folder with ``features.json`` and Parquet
            files of examples (see :mod:`recops_models.examples.click_stream`).
        fitted: fitted schema of a trained model, for streamed examples.

    Raises:
        UnknownDataError: no data set of this name and no such folder.
        DataError: the data is missing, damaged or unsuitable.
    """
    if is_click_folder(Path(name_or_folder)):
        return open_click_folder(Path(name_or_folder), fitted=fitted)
    return load(name_or_folder)


def open_click_data(
    name_or_folder: str | Path, *, fitted: FittedSchema | None = None, **settings: Any
) -> ClickData:
    """Open the data with :func:`open_events`, and convert a data set to click examples.

    Args:
        name_or_folder: as in :func:`open_events`.
        fitted: fitted schema of a trained model.
        settings: arguments of :func:`~recops_models.examples.click.click_data`, for a data set.
    """
    data = open_events(name_or_folder, fitted=fitted)
    if isinstance(data, Dataset):
        return click_data(data, fitted=fitted, **settings)
    return data
