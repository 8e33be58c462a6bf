"""TensorBoard events of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recops_models.training.curve import Epoch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@contextmanager
def epoch_events(folder: Path) -> Iterator[Callable[[Epoch], None]]:
    """A function that adds an epoch to the folder's TensorBoard events, which begin anew."""
    with _new_events(folder) as writer:

        def write(epoch: Epoch) -> None:
            for name, value in epoch.row().items():
                if name != "epoch":
                    writer.add_scalar(name, value, epoch.epoch + 1)
            writer.flush()

        yield write


def figure_events(folder: Path, figures: Mapping[str, Mapping[str, float | None]]) -> None:
    """Leave the figures of each part in TensorBoard events, which begin anew, as ``part/figure``.

    Args:
        folder: exists.
        figures: by part; None: not defined, left out.
    """
    with _new_events(folder) as writer:
        for part, told in figures.items():
            for name, value in told.items():
                if value is not None:
                    writer.add_scalar(f"{part}/{name}", value)


def _new_events(folder: Path) -> SummaryWriter:
    """Takes the place of the events that are there."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    return SummaryWriter(str(folder))
