"""Progress bar of a training, with one printed line per epoch."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from rich.progress import Progress

from recops_models.callbacks import Callbacks, progress_text

_logger = logging.getLogger(__name__)


class TrainingBar(Callbacks):
    """Progress bar of the current stage.

    Args:
        bars: display of the bar.
        model: name of the recipe.
    """

    def __init__(self, bars: Progress, model: str) -> None:
        self._bars, self._model = bars, model
        self._task = bars.add_task(model, total=1.0)

    def start(self, stage: str, **details: object) -> None:
        _logger.info("stage %s", stage)
        text = self._model if stage == self._model else f"{self._model}, {stage}"
        self._bars.update(self._task, completed=0.0, description=text)

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        text = f"{self._model}, {progress_text(note, metrics)}"
        self._bars.update(self._task, completed=share, description=text)

    def log_message(self, text: str) -> None:
        self._bars.console.print(text, soft_wrap=True, highlight=False, markup=False)

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Print the epoch's metrics."""
        figures = ", ".join(
            f"{name} {value:.4f}"
            for name, value in metrics.items()
            if name not in ("train_loss", "seconds")
        )
        self._bars.console.print(
            f"epoch {step}: loss {metrics['train_loss']:.3f}, validation {figures}",
            soft_wrap=True,
        )
