"""``recops uic``: the User Interest Center."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import app, load_data, make_folder
from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.data import Dataset
    from recops_models.serving.center import Center
    from recops_models.serving.ingester import Told
    from recops_models.serving.intake import IngestReport
    from recops_models.serving.stores.store import Store

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

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="The data set whose users and items are known, by name or folder; default: the "
        "training's.",
        show_default=False,
    ),
]
Expected = Annotated[
    Path | None,
    typer.Option("--model", help="Refuse a store with another model's states.", show_default=False),
]
Snapshots = Annotated[
    Path | None,
    typer.Option(
        "--snapshots", help="The folder of snapshots; default: `PATH/snapshots` of `lmdb:PATH`."
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
    data: Data = None,
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
    from recops_models.serving.center import Center
    from recops_models.serving.intake import IngestReport

    if follow and not _is_stream(events):
        raise typer.BadParameter("--follow is for a stream: --events redis-stream://…")
    total = IngestReport()
    with _stopped_by_signals() as stop, _progress(total) as told:
        with Center.open(model, store, allow_loss=allow_loss, data=_data(data)) as center:
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
    data: Data = None,
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
    with Center.open(model, store, allow_loss=allow_loss, data=_data(data)) as center:
        found = center.score(user, items, given)
    answer: dict[str, object] = {
        "user_id": user,
        "candidates": items,
        "scores": found.scores.tolist(),
        "model_version": found.model_version,
        "events": found.events,
        "known": found.known,
    }
    typer.echo(json.dumps(answer))


@uic.command()
def serve(
    model: Model,
    store: StoreUrl,
    host: Annotated[
        str, typer.Option(help="An address of this machine; one that others reach takes a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="Holds the token that requests must bear: `Authorization: Bearer TOKEN`.",
            show_default=False,
        ),
    ] = None,
    max_body: Annotated[
        int, typer.Option(min=1, help="Bytes of a request; a larger one is answered 413.")
    ] = 1 << 20,
    allow_loss: AllowLoss = False,
) -> None:
    """Take events and give scores over HTTP, until Ctrl-C or SIGTERM, which finish what came.

    POST /v1/events, /v1/score and /v1/forget; GET /healthz, /metrics (Prometheus) and /, a page
    that shows what goes on.

    Example: `recops uic serve --model runs/mimn --store lmdb:states`
    """
    from recops_models.serving.center import Center
    from recops_models.serving.http.access import read_token
    from recops_models.serving.http.server import serve as serve_center

    token = None if token_file is None else read_token(token_file)
    with Center.open(model, store, allow_loss=allow_loss) as center:
        serve_center(
            center,
            host=host,
            port=port,
            token=token,
            most_body_bytes=max_body,
            told=lambda url: typer.echo(printable(f"serving {center.store.url} at {url}")),
        )


@uic.command()
def stats(store: StoreUrl, model: Expected = None, allow_loss: AllowLoss = False) -> None:
    """Count users, events and bytes, and name the model that is served; prints JSON.

    Example: `recops uic stats --store lmdb:states`
    """
    from recops_models.serving.stats import center_stats

    with _opened(store, model, allow_loss) as opened:
        found = vars(center_stats(opened))
    typer.echo(json.dumps(found, indent=2))


@uic.command()
def snapshot(
    store: StoreUrl,
    snapshots: Snapshots = None,
    model: Expected = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Write the states of one moment to a file, and keep the seven newest; once a day, say.

    Redis has no transactions for readers: events wait meanwhile.

    Example: `recops uic snapshot --store lmdb:states`
    """
    from recops_models.serving.snapshots import take_snapshot

    folder = _snapshots(store, snapshots)
    with _opened(store, model, allow_loss) as opened:
        typer.echo(printable(str(take_snapshot(opened, folder))))


@uic.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A snapshot.", show_default=False)],
    store: StoreUrl,
    model: Expected = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Serve what a snapshot holds, in place of what is served; users who were forgotten stay so.

    Events that came after the snapshot are to be sent again: those it has are duplicates.

    Example: `recops uic restore states/snapshots/20260101T000000.000000Z.snapshot.parquet --store
    lmdb:states`
    """
    from recops_models.serving.snapshots import restore_snapshot

    with _opened(store, model, allow_loss) as opened:
        users = restore_snapshot(opened, path)
    typer.echo(printable(f"{users:,} users of {path.name}; send the events since once more"))


@uic.command()
def rollback(
    store: StoreUrl,
    to: Annotated[
        str | None,
        typer.Option(
            help="The newest snapshot whose name begins so, such as 20260131; default: the newest.",
            show_default=False,
        ),
    ] = None,
    snapshots: Snapshots = None,
    model: Expected = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Restore the newest snapshot, or that of a day.

    Example: `recops uic rollback --store lmdb:states --to 20260131`
    """
    from recops_models.serving.snapshots import snapshots_in

    folder = _snapshots(store, snapshots)
    found = [path for path in snapshots_in(folder) if path.name.startswith(to or "")]
    if not found:
        raise ValueError(f"{folder}: no snapshot{f' of {to}' if to else ''}")
    restore(found[-1], store, model, allow_loss)


@uic.command()
def refresh(
    model: Model,
    store: StoreUrl,
    events: Annotated[
        list[str],
        typer.Option(
            help="Where all events so far are, as of `ingest`, and once for each source. Of a "
            "stream, all that it holds is read.",
            show_default=False,
        ),
    ],
    allow_behind: Annotated[
        bool, typer.Option("--allow-behind", help="Switch even though users are behind.")
    ] = False,
    data: Data = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Warm a new model up on all events, beside the one that is served, then switch at once.

    It switches when no user has seen less than in the old model's states; what is open goes over at
    its next request. Stopped, it goes on where it was when it is called again.

    Example: `recops uic refresh --model runs/new --store lmdb:states --events log.jsonl`
    """
    from recops_models.serving.intake import IngestReport
    from recops_models.serving.refresh import refresh_model
    from recops_models.serving.served import ServedModel

    total = IngestReport()
    with _opened(store, None, allow_loss) as opened, _progress(total) as told:
        served = ServedModel.load(model, data=_data(data))
        sources = [_more(one) for one in events]
        refresh_model(opened, served, sources, allow_behind=allow_behind, told=told)
    typer.echo(json.dumps({**total.counts(), "model_version": served.version_text}))


@uic.command()
def forget(
    user: Annotated[str, typer.Argument(help="The user's id.", show_default=False)],
    store: StoreUrl,
    through: Annotated[
        int,
        typer.Option(min=0, help="Forget events up to this number, too, not seen here yet."),
    ] = 0,
    model: Expected = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Remove a user's state for good: no replay and no snapshot brings it back.

    Later events of the user begin a new state.

    Example: `recops uic forget 196 --store lmdb:states`
    """
    from recops_models.serving.event import id_text
    from recops_models.serving.forgetting import forget_users

    with _opened(store, model, allow_loss) as opened:
        known = forget_users(opened, [id_text("user", user)], through=through)
    typer.echo(printable(f"user {user}: {'forgotten' if known else 'was not known'}"))


@uic.command()
def expire(
    store: StoreUrl,
    days: Annotated[
        float | None,
        typer.Option(
            min=0, help="Forget who did nothing for so long; timestamps are Unix seconds."
        ),
    ] = None,
    before: Annotated[
        float | None,
        typer.Option(help="Forget who did nothing since this timestamp.", show_default=False),
    ] = None,
    model: Expected = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Forget users by the age of their last event, as `recops uic forget` does.

    Example: `recops uic expire --store lmdb:states --days 365`
    """
    from recops_models.serving.forgetting import expire_users

    if (days is None) == (before is None):
        raise typer.BadParameter("give --days or --before, one of the two")
    limit = before if days is None else time.time() - 86_400 * days
    assert limit is not None
    with _opened(store, model, allow_loss) as opened:
        typer.echo(f"{expire_users(opened, limit):,} users forgotten")


def _data(name: str | None) -> Dataset | None:
    return None if name is None else load_data(name)


@contextmanager
def _progress(total: IngestReport) -> Iterator[Told]:
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


def _is_stream(events: str) -> bool:
    return events.startswith("redis-stream:")


def _ingest(
    center: Center, events: str, *, follow: bool, stop: threading.Event, told: Told
) -> None:
    from recops_models.serving.ingester import ingest_batches, ingest_stream
    from recops_models.serving.intake import BATCH
    from recops_models.serving.redis_stream import RedisStream

    if _is_stream(events):
        stream = RedisStream(events)
        try:
            ingest_stream(center, stream, follow=follow, stop=stop, told=told)
        finally:
            stream.close()
        return
    ingest_batches(center, _batches(events, BATCH), stop=stop, told=told)


def _more(events: str) -> Callable[[], Iterator[list[object]]]:
    """A source for `refresh`: what a call has not given yet."""
    from recops_models.serving.intake import BATCH
    from recops_models.serving.redis_stream import RedisStream

    if _is_stream(events):
        return partial(RedisStream(events).replay, count=BATCH)
    once = _batches(events, BATCH)
    return lambda: once


@contextmanager
def _opened(url: str, model: Path | None, allow_loss: bool) -> Iterator[Store]:
    """The store, whose states are those of the model, if one is named."""
    from recops_models.serving.errors import ModelVersionError
    from recops_models.serving.generations import served_now
    from recops_models.serving.open_store import open_store
    from recops_models.serving.served import version_of

    with open_store(url, allow_loss=allow_loss) as store:
        active = served_now(store)
        if model is not None and (active is None or active.version != version_of(model)):
            raise ModelVersionError(f"{url}: its states are not those of {model}")
        yield store


def _snapshots(url: str, given: Path | None) -> Path:
    if given is not None:
        return given
    scheme, _, path = url.partition(":")
    if scheme != "lmdb":
        raise typer.BadParameter(f"--snapshots must name a folder for {url}")
    return Path(path.partition("?")[0]) / "snapshots"


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
