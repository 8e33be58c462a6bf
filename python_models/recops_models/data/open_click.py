"""One way to click data, whatever form it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recops_models.data.click import ClickData, click_data
from recops_models.data.sets import load


def open_click_data(name_or_folder: str | Path, **settings: Any) -> ClickData:
    """The click data of a named set, or in a folder.

    Args:
        name_or_folder: a named data set, or a folder with interactions; see
            :func:`recops_models.data.load`.
        settings: of :func:`~recops_models.data.click.click_data`.

    Raises:
        UnknownDataError: neither.
        DataError: the data is missing, damaged or unfit.
    """
    return click_data(load(name_or_folder), **settings)
