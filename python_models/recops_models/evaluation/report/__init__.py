"""HTML report of a run."""

from recops_models.evaluation.report.content import (
    CatalogueFigures,
    DatasetFigures,
    Difference,
    Level,
    ModelResult,
    Report,
    UserSample,
)
from recops_models.evaluation.report.page import render

__all__ = [
    "CatalogueFigures",
    "DatasetFigures",
    "Difference",
    "Level",
    "ModelResult",
    "Report",
    "UserSample",
    "render",
]
