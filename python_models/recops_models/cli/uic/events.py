"""Events that commands of ``recops uic`` read, and what they tell of them meanwhile."""

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
    """Whether `--events` names a stream, and no file or data set."""
    return events.startswith("redis-stream:")


def batches_of(events: str, batch: int) -> Iterator[list[object]]:
    """Of a file, or of a data set by its name or folder."""
    from recops_models.serving.sources import file_events

    if _is_data(events):
        return _of_data(events, batch)
    return file_events(Path(events), batch=batch)


def growing_batches_of(events: str, batch: int) -> Callable[[], Iterator[list[object]]]:
    """:func:`batches_of`, where each call goes on behind the last one: a file may grow."""
    from recops_models.serving.sources import growing_events

    if _is_data(events):
        once = _of_data(events, batch)
        return lambda: once
    return growing_events(Path(events), batch=batch)


def _is_data(events: str) -> bool:
    from recops_models.data import NAMED_SETS

    return events in NAMED_SETS or Path(events).is_dir()


def _of_data(name: str, batch: int) -> Iterator[list[object]]:
    from recops_models.data import load
    from recops_models.serving.sources import dataset_events

    return dataset_events(load(name), batch=batch)


@contextmanager
def progress(total: IngestReport) -> Iterator[ReportCallback]:
    """What takes the report of a batch, adds it to the total, and names the first refused ones."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("no events yet") as status:

        def told(report: IngestReport) -> None:
            named = len(total.refused)
            total.join(report)
            for refusal in total.refused[named:]:
                line = f"refused: event {refusal.index + 1}: {refusal.field} {refusal.error}"
                console.print(printable(line), markup=False, soft_wrap=True)
            status.update(", ".join(f"{count:,} {name}" for name, count in total.counts().items()))

        yield told
