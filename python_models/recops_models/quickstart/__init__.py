"""The main job: a catalogue and its interactions in, recommendations and a report out."""

from recops_models.quickstart.outcome import Outcome
from recops_models.quickstart.pipeline import quickstart
from recops_models.quickstart.settings import Settings

__all__ = ["Outcome", "Settings", "quickstart"]
