"""TensorBoard events of a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import Self

from recops_models.callbacks import Callbacks

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(Callbacks):
    """Callbacks that write metrics as TensorBoard events, for use in a ``with`` statement.

    Args:
        folder: an existing folder; its earlier events are removed.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = _new_events(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


def figure_events(folder: Path, figures: Mapping[str, Mapping[str, float | None]]) -> None:
    """Write metrics of each part as TensorBoard events ``part/metric``; remove earlier events.

    Args:
        folder: an existing folder.
        figures: metrics by part; None: undefined, left out.
    """
    with _new_events(folder) as writer:
        for part, metrics in figures.items():
            for name, value in metrics.items():
                if value is not None:
                    writer.add_scalar(f"{part}/{name}", value)


def _new_events(folder: Path) -> SummaryWriter:
    """Return a writer for new events, after removing earlier ones."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    return SummaryWriter(str(folder))
