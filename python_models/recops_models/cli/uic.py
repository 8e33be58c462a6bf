"""``recops uic``: the User Interest Center."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recops_models.cli.application import app, make_folder
from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.serving.center import Center, IngestReport

uic = typer.Typer(
    no_args_is_help=True,
    help="The User Interest Center: users' states in a store, moved by events, read by requests.",
)
app.add_typer(uic, name="uic")

Model = Annotated[
    Path, typer.Option("--model", help="What `recops train mimn|hpmn` left.", show_default=False)
]
StoreUrl = Annotated[
    str,
    typer.Option("--store", help="`lmdb:PATH` or `redis://HOST:PORT/DB`.", show_default=False),
]
AllowLoss = Annotated[
    bool, typer.Option("--allow-loss", help="Take a Redis that may lose acknowledged events.")
]
Events = Annotated[
    str,
    typer.Option(
        help="A JSONL or Parquet file, `redis-stream://HOST:PORT/DB/KEY?group=NAME`, or a data "
        "set by name or folder.",
        show_default=False,
    ),
]

_SHOWN = 10
"""Refused events that are named one by one."""


@uic.command()
def ingest(
    model: Model,
    store: StoreUrl,
    events: Events,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more entries of a stream, until Ctrl-C.")
    ] = False,
    allow_loss: AllowLoss = False,
    out: Annotated[
        Path | None, typer.Option(help="A folder to leave counts.json in.", show_default=False)
    ] = None,
) -> None:
    """Apply events to users' states, each once however often it is sent; prints counts as JSON.

    accepted: applied. duplicates: applied before. late: skipped before, and refused since. refused:
    no events. gaps: sequence numbers that were skipped. Ctrl-C finishes the batch.

    Example: `recops uic ingest --model runs/mimn --store lmdb:states --events events.jsonl`
    """
    from recops.files import write_json
    from recops_models.serving.center import Center, IngestReport

    if follow and not _is_stream(events):
        raise typer.BadParameter("--follow is for a stream: --events redis-stream://…")
    total, seen = IngestReport(), 0

    def told(report: IngestReport) -> None:
        nonlocal seen
        for refusal in report.refused[: max(0, _SHOWN - len(total.refused))]:
            place = seen + refusal.index + 1
            line = f"refused: event {place}: {refusal.field} {refusal.error}"
            typer.echo(printable(line), err=True)
        seen += report.num_events
        total.join(report)

    with _stopped_by_signals() as stop:
        with Center.open(model, store, allow_loss=allow_loss) as center:
            _ingest(center, events, follow=follow, stop=stop, told=told)
        typer.echo(json.dumps(total.counts()))
        if out is not None:
            write_json(make_folder(out) / "counts.json", total.counts(), kind="uic-counts")
        if stop.is_set() and not follow:
            raise KeyboardInterrupt


@uic.command()
def score(
    model: Model,
    store: StoreUrl,
    user: Annotated[str, typer.Option(help="The user's id.", show_default=False)],
    candidates: Annotated[
        str,
        typer.Option(help="Items' ids: `1,2,3`, or a file with one a line.", show_default=False),
    ],
    features: Annotated[
        str, typer.Option(help="Values of the model's other features, as a JSON object.")
    ] = "{}",
    allow_loss: AllowLoss = False,
) -> None:
    """Score candidates for a user, upon the user's state; prints JSON.

    Example: `recops uic score --model runs/mimn --store lmdb:states --user 1 --candidates 5,6,7`
    """
    from recops_models.serving.center import Center

    try:
        given = json.loads(features)
    except ValueError as error:
        raise typer.BadParameter(f"--features must be a JSON object ({error})") from error
    if not isinstance(given, dict):
        raise typer.BadParameter("--features must be a JSON object")
    items = _candidates(candidates)
    with Center.open(model, store, allow_loss=allow_loss) as center:
        found = center.score(user, items, given)
    answer: dict[str, Any] = {
        "user_id": user,
        "candidates": items,
        "scores": [round(score, 6) for score in found.scores.tolist()],
        "model_version": found.model_version,
        "events": found.events,
        "known": found.known,
    }
    typer.echo(json.dumps(answer))


def _is_stream(events: str) -> bool:
    return events.startswith("redis-stream:")


def _ingest(center: Center, events: str, *, follow: bool, stop: threading.Event, told: Any) -> None:
    from recops_models.serving.ingester import BATCH, ingest_batches, ingest_stream
    from recops_models.serving.redis_stream import RedisStream

    if _is_stream(events):
        stream = RedisStream(events)
        try:
            ingest_stream(center, stream, follow=follow, stop=stop, told=told)
        finally:
            stream.close()
        return
    ingest_batches(center, _batches(events, BATCH), stop=stop, told=told)


def _batches(events: str, batch: int) -> Iterator[list[object]]:
    """Of a file, or of a data set by its name or folder."""
    from recops_models.data import NAMED_SETS, load
    from recops_models.serving.sources import dataset_events, file_events

    if events in NAMED_SETS or Path(events).is_dir():
        return dataset_events(load(events), batch=batch)
    return file_events(Path(events), batch=batch)


def _candidates(text: str) -> list[str]:
    path = Path(text)
    if path.is_file():
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [item.strip() for item in text.split(",") if item.strip()]


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
