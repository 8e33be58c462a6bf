"""Data sets: the in-memory format, named data sets, importers, splits and histories.

Names are imported on first use, so that loading a trained model imports no importer.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recops_models.data.dataset import Dataset
    from recops_models.data.errors import DataError, UnknownDataError
    from recops_models.data.from_frames import dataset_from_frames
    from recops_models.data.histories import Histories
    from recops_models.data.report import BadRows, ImportReport
    from recops_models.data.sets import IMPORTERS, NAMED_SETS, load
    from recops_models.data.splits import (
        Examples,
        Split,
        by_user,
        global_time,
        leave_one_out,
        named_split,
    )
    from recops_models.data.storage import load_dataset, save_dataset
    from recops_models.data.vocabulary import Vocabulary

_EXPORTS = {
    "dataset": ("Dataset",),
    "errors": ("DataError", "UnknownDataError"),
    "histories": ("Histories",),
    "from_frames": ("dataset_from_frames",),
    "report": ("BadRows", "ImportReport"),
    "sets": ("IMPORTERS", "NAMED_SETS", "load"),
    "splits": ("Examples", "Split", "by_user", "global_time", "leave_one_out", "named_split"),
    "storage": ("load_dataset", "save_dataset"),
    "vocabulary": ("Vocabulary",),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "IMPORTERS",
    "NAMED_SETS",
    "BadRows",
    "DataError",
    "Dataset",
    "Examples",
    "Histories",
    "ImportReport",
    "Split",
    "UnknownDataError",
    "Vocabulary",
    "by_user",
    "dataset_from_frames",
    "global_time",
    "leave_one_out",
    "load",
    "load_dataset",
    "named_split",
    "save_dataset",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
