"""TensorBoard events of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recops_models.training.curve import Epoch


@contextmanager
def epoch_events(folder: Path) -> Iterator[Callable[[Epoch], None]]:
    """A function that adds an epoch to the folder's TensorBoard events, which begin anew."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:

        def write(epoch: Epoch) -> None:
            for name, value in epoch.row().items():
                if name != "epoch":
                    writer.add_scalar(name, value, epoch.epoch + 1)
            writer.flush()

        yield write
