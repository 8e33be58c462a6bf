"""``recops uic ingest``: events into users' states."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import make_folder
from recops_models.cli.uic.events import batches_of, is_stream, progress
from recops_models.cli.uic.shared import (
    AllowLoss,
    DataOption,
    ModelOption,
    StoreUrl,
    data_named,
    uic,
)

if TYPE_CHECKING:
    from recops_models.serving.center import Center
    from recops_models.serving.ingester import ReportCallback

EventsOption = Annotated[
    str,
    typer.Option(
        help="A JSONL or Parquet file, `redis-stream://HOST:PORT/DB/KEY?group=NAME`, or a data "
        "set by name or folder.",
        show_default=False,
    ),
]


@uic.command()
def ingest(
    model: ModelOption,
    store: StoreUrl,
    events: EventsOption,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more entries of a stream, until Ctrl-C.")
    ] = False,
    data: DataOption = None,
    allow_loss: AllowLoss = False,
    out: Annotated[
        Path | None, typer.Option(help="A folder to leave counts.json in.", show_default=False)
    ] = None,
) -> None:
    """Apply events to users' states, each once however often it is sent; prints counts as JSON.

    accepted: applied. duplicates: applied before. late: skipped before, and refused since. refused:
    no events, or of users whose states are damaged. gaps: sequence numbers that were skipped.
    Ctrl-C finishes the batch.

    Example: `recops uic ingest --model runs/mimn --store lmdb:states --events events.jsonl`
    """
    from recops.files import write_json
    from recops_models.data import DataError
    from recops_models.serving.center import Center
    from recops_models.serving.ingestion import IngestReport

    if follow and not is_stream(events):
        raise typer.BadParameter("--follow is for a stream: --events redis-stream://…")
    folder = None if out is None else make_folder(out)
    total = IngestReport()
    with _stopped_by_signals() as stop, progress(total) as on_report:
        with Center.open(model, store, allow_loss=allow_loss, data=data_named(data)) as center:
            is_all = _ingest(center, events, follow=follow, stop=stop, on_report=on_report)
        typer.echo(json.dumps(total.counts()))
        if folder is not None:
            write_json(folder / "counts.json", total.counts(), kind="uic-counts")
        if follow:
            return
        if not is_all:
            raise KeyboardInterrupt
        if total.num_events == total.num_refused > 0:
            raise DataError(f"{events}: each of {total.num_events:,} events was refused")


def _ingest(
    center: Center, events: str, *, follow: bool, stop: threading.Event, on_report: ReportCallback
) -> bool:
    """Whether all were read; False: a signal came before."""
    from recops_models.serving.ingester import ingest_batches, ingest_stream
    from recops_models.serving.ingestion import BATCH
    from recops_models.serving.redis_stream import RedisStream

    if is_stream(events):
        with closing(RedisStream(events)) as stream:
            return ingest_stream(center, stream, follow=follow, stop=stop, on_report=on_report)
    return ingest_batches(center, batches_of(events, BATCH), stop=stop, on_report=on_report)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, instead of ending the process at once."""
    stop = threading.Event()
    handled = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in handled]
    try:
        yield stop
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)
