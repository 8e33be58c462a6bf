"""A training's progress bar, and a line an epoch."""

from __future__ import annotations

from rich.progress import Progress

from recops_models.recipes.watch import Watch
from recops_models.training.curve import Epoch


class TrainingBar(Watch):
    """One bar over all epochs.

    Args:
        bars: where it is shown.
        model: what is trained.
        epochs: of the whole training.
    """

    def __init__(self, bars: Progress, model: str, epochs: int) -> None:
        self._bars, self._model = bars, model
        self._task = bars.add_task(model, total=epochs)

    def advance(self, share: float, note: str = "") -> None:
        """What comes before a training: its note beside the bar."""
        self._bars.update(self._task, description=f"{self._model}, {note}")

    def step(self, epoch: int, share: float, loss: float) -> None:
        """Move the bar."""
        description = f"{self._model}, loss {loss:.2f}"
        self._bars.update(self._task, completed=epoch + share, description=description)

    def epoch(self, epoch: Epoch) -> None:
        """Print the epoch's figures."""
        figures = ", ".join(f"{name} {value:.4f}" for name, value in epoch.validation.items())
        self._bars.console.print(
            f"epoch {epoch.epoch + 1}: loss {epoch.train_loss:.3f}, validation {figures}",
            soft_wrap=True,
        )
