"""A training that went out of the numbers."""

from __future__ import annotations


class DivergedError(ValueError):
    """A loss, or a weight, is no longer finite: the settings are too bold, not wrong."""
