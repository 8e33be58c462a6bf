"""Data sets: one in-memory form, named sets, importers, splits, histories, item vectors."""

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError, UnknownDataError
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
    "global_time",
    "leave_one_out",
    "load",
    "load_dataset",
    "named_split",
    "save_dataset",
]
