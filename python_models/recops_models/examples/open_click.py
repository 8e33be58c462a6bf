"""One way to open what click models read, whatever form it has."""

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
    """A data set, of which examples are still to be made; or examples that are streamed.

    Args:
        name_or_folder: a named data set, a folder with interactions (see
            :func:`recops_models.data.sets.load`), or one with ``features.json`` beside Parquet
            files of examples (see :mod:`recops_models.examples.click_stream`).
        fitted: the schema of a trained model, for streamed examples.

    Raises:
        UnknownDataError: neither.
        DataError: the data is missing, damaged or unfit.
    """
    if is_click_folder(Path(name_or_folder)):
        return open_click_folder(Path(name_or_folder), fitted=fitted)
    return load(name_or_folder)


def open_click_data(
    name_or_folder: str | Path, *, fitted: FittedSchema | None = None, **settings: Any
) -> ClickData:
    """The click examples of what :func:`open_events` opens.

    Args:
        name_or_folder: see there.
        fitted: the schema of a trained model.
        settings: of :func:`~recops_models.examples.click.click_data`, for a data set.
    """
    found = open_events(name_or_folder, fitted=fitted)
    if isinstance(found, Dataset):
        return click_data(found, fitted=fitted, **settings)
    return found
