"""``recops uic ingest``: apply events to user states."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import DeviceOption, make_folder
from recops_models.cli.uic.events import is_stream, progress, read_batches
from recops_models.cli.uic.shared import (
    AllowLoss,
    DataOption,
    ModelOption,
    StoreUrl,
    dataset_loader,
    print_warning,
    uic,
)

if TYPE_CHECKING:
    from recops_models.serving.center import Center
    from recops_models.serving.ingester import ReportCallback

EventsOption = Annotated[
    str,
    typer.Option(
        help="JSONL or Parquet file, `redis-stream://HOST:PORT/DB/KEY?group=NAME`, or name or "
        "folder of a data set.",
        show_default=False,
    ),
]


@uic.command()
def ingest(
    model: ModelOption,
    store: StoreUrl,
    events: EventsOption,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for new entries of a stream, until Ctrl-C.")
    ] = False,
    data: DataOption = None,
    allow_loss: AllowLoss = False,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder for counts.json.", show_default=False)
    ] = None,
) -> None:
    """Apply events to user states exactly once, and print counts as JSON.

    accepted: applied. duplicates: applied before. late: rejected, because later events of the user
    are applied. refused: invalid, or of users with damaged states. gaps: skipped sequence numbers.
    Ctrl-C finishes the current batch.

    Example: `recops uic ingest --model runs/mimn --store lmdb:states --events events.jsonl`
    """
    from recops.files import write_json
    from recops_models.data import DataError
    from recops_models.serving.center import Center
    from recops_models.serving.ingestion import IngestReport

    if follow and not is_stream(events):
        raise typer.BadParameter("--follow requires a stream: --events redis-stream://…")
    folder = None if out is None else make_folder(out)
    total = IngestReport()
    with _stopped_by_signals() as stop, progress(total) as on_report:
        with Center.open(
            model, store, allow_loss=allow_loss, data=dataset_loader(data), device=device
        ) as center:
            at_end = _ingest(center, events, follow=follow, stop=stop, on_report=on_report)
        typer.echo(json.dumps(total.counts()))
        if total.late:
            print_warning(
                f"{total.late:,} events are not in the states, because later events of their users "
                "had been applied before them: `recops uic refresh --rebuild` with all sources, "
                "oldest first, computes the states again"
            )
        if folder is not None:
            write_json(folder / "counts.json", total.counts(), kind="uic-counts")
        if follow:
            return
        if not at_end:
            raise KeyboardInterrupt
        if total.num_events == total.num_refused > 0:
            raise DataError(f"{events}: all {total.num_events:,} events were refused")


def _ingest(
    center: Center, events: str, *, follow: bool, stop: threading.Event, on_report: ReportCallback
) -> bool:
    """Return whether all events were read; False after a signal."""
    from recops_models.serving.ingester import ingest_batches, ingest_stream
    from recops_models.serving.ingestion import BATCH
    from recops_models.serving.redis_stream import RedisStream

    if is_stream(events):
        with closing(RedisStream(events)) as stream:
            return ingest_stream(center, stream, follow=follow, stop=stop, on_report=on_report)
    return ingest_batches(center, read_batches(events, BATCH), stop=stop, on_report=on_report)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set instead of ending the process."""
    stop = threading.Event()
    handled = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, lambda *_: stop.set()) for number in handled]
    try:
        yield stop
    finally:
        for number, handler in zip(handled, previous, strict=True):
            signal.signal(number, handler)
