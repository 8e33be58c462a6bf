"""Recommenders on top of recops: data, training, recommendations and semantic IDs.

Each name is imported on first use, so that this package costs almost nothing to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recops_models.api.diagnosing import Diagnosis, diagnose
    from recops_models.api.loading import load, load_data
    from recops_models.api.model import Model
    from recops_models.api.reproducing import reproduce
    from recops_models.api.tokenizing import SemanticIds, tokenize
    from recops_models.api.training import train
    from recops_models.data.dataset import Dataset
    from recops_models.data.impressions import read_impressions

_EXPORTS = {
    "api.diagnosing": ("Diagnosis", "diagnose"),
    "api.loading": ("load", "load_data"),
    "api.model": ("Model",),
    "api.reproducing": ("reproduce",),
    "api.tokenizing": ("SemanticIds", "tokenize"),
    "api.training": ("train",),
    "data.dataset": ("Dataset",),
    "data.impressions": ("read_impressions",),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "Dataset",
    "Diagnosis",
    "Model",
    "SemanticIds",
    "diagnose",
    "load",
    "load_data",
    "read_impressions",
    "reproduce",
    "tokenize",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
