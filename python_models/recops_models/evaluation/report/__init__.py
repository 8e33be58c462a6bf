"""The report page of a run."""

from recops_models.evaluation.report.content import (
    Catalogue,
    Dataset,
    Difference,
    Level,
    ModelResult,
    Report,
    UserSample,
)
from recops_models.evaluation.report.page import render

__all__ = [
    "Catalogue",
    "Dataset",
    "Difference",
    "Level",
    "ModelResult",
    "Report",
    "UserSample",
    "render",
]
