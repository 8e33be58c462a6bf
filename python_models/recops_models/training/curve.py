"""Training curve: one row per epoch, and the best epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from recops_models.training.config import TrainingConfig

LAST = "last"
"""Value of ``select`` that keeps the last epoch, for training on a stream."""

LOWER_IS_BETTER = ("logloss", "ece", "objective", "nmse")
"""Metrics of which lower values are better, when epochs or settings are chosen."""


@dataclass(frozen=True)
class Epoch:
    """One row of the training curve: mean training loss, validation metrics, seconds."""

    epoch: int
    train_loss: float
    validation: dict[str, float]
    seconds: float

    @property
    def metrics(self) -> dict[str, float]:
        """Training loss, validation metrics and seconds, by name."""
        return {"train_loss": self.train_loss, **self.validation, "seconds": self.seconds}

    def row(self) -> dict[str, float]:
        """Return the epoch as a flat row of ``curves.json``."""
        return {"epoch": self.epoch, **self.metrics}


def best_epoch(curve: list[Epoch], config: TrainingConfig) -> int:
    """Return the index of the best epoch by ``config.select``; the earliest among equals."""
    if config.select == LAST:
        return len(curve) - 1
    values = [epoch.validation[config.select] for epoch in curve]
    return values.index(min(values) if config.select in LOWER_IS_BETTER else max(values))


def is_finished(curve: list[Epoch], config: TrainingConfig) -> bool:
    """Return whether all epochs are done, or patience has run out."""
    if not curve:
        return False
    waited = len(curve) - 1 - best_epoch(curve, config)
    return len(curve) >= config.epochs or waited >= config.patience


def finite(row: Mapping[str, float | None]) -> dict[str, float | None]:
    """Replace NaN and infinity by None, because JSON has neither."""
    return {
        name: None if value is None or not math.isfinite(value) else value
        for name, value in row.items()
    }
