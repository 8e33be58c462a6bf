"""Event sources and progress of the ``recops uic`` commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.serving.ingester import ReportCallback
    from recops_models.serving.ingestion import IngestReport


def is_stream(events: str) -> bool:
    """Return whether `--events` names a stream."""
    return events.startswith("redis-stream:")


def read_batches(events: str, batch: int) -> Iterator[list[object]]:
    """Yield batches of events of a file, or of a data set by its name or folder."""
    from recops_models.serving.sources import file_events

    if _is_dataset(events):
        return _read_dataset(events, batch)
    return file_events(Path(events), batch=batch)


def growing_batches(events: str, batch: int) -> Callable[[], Iterator[list[object]]]:
    """Return a function whose calls yield the batches that were appended since the last call."""
    from recops_models.serving.sources import growing_events

    if _is_dataset(events):
        once = _read_dataset(events, batch)
        return lambda: once
    return growing_events(Path(events), batch=batch)


def _is_dataset(events: str) -> bool:
    from recops_models.data import NAMED_SETS

    return events in NAMED_SETS or Path(events).is_dir()


def _read_dataset(name: str, batch: int) -> Iterator[list[object]]:
    from recops_models.data import load
    from recops_models.serving.sources import dataset_events

    return dataset_events(load(name), batch=batch)


@contextmanager
def progress(total: IngestReport) -> Iterator[ReportCallback]:
    """Yield a callback that adds reports to ``total`` and prints the first refused events."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("no events yet") as status:

        def on_report(report: IngestReport) -> None:
            num_printed = len(total.refused)
            total.join(report)
            for refusal in total.refused[num_printed:]:
                line = f"refused: event {refusal.index + 1}: {refusal.field} {refusal.error}"
                console.print(printable(line), markup=False, soft_wrap=True)
            status.update(", ".join(f"{count:,} {name}" for name, count in total.counts().items()))

        yield on_report
