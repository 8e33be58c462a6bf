"""Events that commands of ``recops uic`` read, and what they tell of them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.serving.ingester import Told
    from recops_models.serving.intake import IngestReport

_SHOWN = 10
"""Refused events that are named one by one."""


def is_stream(events: str) -> bool:
    """Whether `--events` names a stream, and no file or data set."""
    return events.startswith("redis-stream:")


def batches_of(events: str, batch: int) -> Iterator[list[object]]:
    """Of a file, or of a data set by its name or folder."""
    from recops_models.data import NAMED_SETS, load
    from recops_models.serving.sources import dataset_events, file_events

    if events in NAMED_SETS or Path(events).is_dir():
        return dataset_events(load(events), batch=batch)
    return file_events(Path(events), batch=batch)


@contextmanager
def progress(total: IngestReport) -> Iterator[Told]:
    """What takes the report of a batch, adds it to the total, and names what was refused."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("no events yet") as status:

        def told(report: IngestReport) -> None:
            seen, left = total.num_events, _SHOWN - len(total.refused)
            for refusal in report.refused[: max(0, left)]:
                place = seen + refusal.index + 1
                line = f"refused: event {place}: {refusal.field} {refusal.error}"
                console.print(printable(line), markup=False, soft_wrap=True)
            total.join(report)
            status.update(", ".join(f"{count:,} {name}" for name, count in total.counts().items()))

        yield told
