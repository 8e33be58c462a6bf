"""One way to click data, whatever form it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recops_models.data.sets import load
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.click_stream import is_click_folder, open_click_folder


def open_click_data(name_or_folder: str | Path, **settings: Any) -> ClickData:
    """The click data of a named set, or in a folder.

    Args:
        name_or_folder: a named data set, a folder with interactions (see
            :func:`recops_models.data.load`), or one with ``features.json`` beside Parquet files of
            examples, which are streamed (see :mod:`recops_models.examples.click_stream`).
        settings: of :func:`~recops_models.examples.click.click_data`, or of
            :func:`~recops_models.examples.click_stream.open_click_folder`.

    Raises:
        UnknownDataError: neither.
        DataError: the data is missing, damaged or unfit.
    """
    if is_click_folder(Path(name_or_folder)):
        return open_click_folder(Path(name_or_folder), **settings)
    return click_data(load(name_or_folder), **settings)
