"""Quickstart: from interactions to trained recommenders, recommendations and a report."""

from recops_models.quickstart.outcome import Outcome
from recops_models.quickstart.pipeline import quickstart
from recops_models.quickstart.settings import Settings

__all__ = ["Outcome", "Settings", "quickstart"]
