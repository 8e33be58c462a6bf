"""Interruption of a training that has finished an epoch."""

from __future__ import annotations


class TrainingInterrupted(KeyboardInterrupt):
    """The training was stopped; the model has the weights of its best epoch so far."""
