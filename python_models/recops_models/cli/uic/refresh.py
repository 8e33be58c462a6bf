"""``recops uic refresh``: replace the served model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Annotated

import typer

from recops_models.cli.application import DeviceOption
from recops_models.cli.uic.events import growing_batches, is_stream, progress
from recops_models.cli.uic.shared import (
    AllowLoss,
    DataOption,
    ModelOption,
    StoreUrl,
    dataset_loader,
    open_checked_store,
    print_warning,
    uic,
)


@uic.command()
def refresh(
    model: ModelOption,
    store: StoreUrl,
    events: Annotated[
        list[str] | None,
        typer.Option(
            help="Source of events, as for `ingest`. Repeat it for several sources, oldest first. "
            "Together they must contain all events. A stream is read completely, and a JSONL file "
            "may grow meanwhile.",
            show_default=False,
        ),
    ] = None,
    keep_states: Annotated[
        bool,
        typer.Option(
            "--keep-states",
            help="Keep the states of the served model instead of replaying events. The states must "
            "have the same sizes.",
        ),
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Replay events for the model that is already served, after events arrived before "
            "the history of their users.",
        ),
    ] = False,
    allow_behind: Annotated[
        bool,
        typer.Option(
            "--allow-behind",
            help="Activate the new model even if users are behind or events were skipped.",
        ),
    ] = False,
    data: DataOption = None,
    allow_loss: AllowLoss = False,
    device: DeviceOption = "auto",
) -> None:
    """Replay all events for a new model while the old one is served, then switch atomically.

    The switch requires that no user's new state has seen fewer events than the old one. Running
    servers load the new model at their next request. If the command is interrupted, or refused
    because users are behind, the next call continues. If the replay skipped events that the old
    states contain, it starts again.

    With `--keep-states`, the new parameters continue from the states that the old ones wrote. This
    takes seconds and needs no events, but scores differ from those of a replay.

    Example: `recops uic refresh --model runs/new --store lmdb:states --events log.jsonl`
    """
    from recops_models.serving.ingestion import IngestReport
    from recops_models.serving.kept_states import keep_states as keep
    from recops_models.serving.refresh import refresh_model
    from recops_models.serving.served_model import ServedModel

    if keep_states == bool(events):
        raise typer.BadParameter("name either --events to replay, or --keep-states")
    if keep_states:
        with open_checked_store(store, None, allow_loss) as opened:
            served = ServedModel.load(model, data=dataset_loader(data), device=device)
            users = keep(opened, served, on_warning=print_warning)
        typer.echo(json.dumps({"users": users, "model_version": served.version_text}))
        return
    total = IngestReport()
    with (
        open_checked_store(store, None, allow_loss, create=True) as opened,
        progress(total) as on_report,
        ExitStack() as streams,
    ):
        served = ServedModel.load(model, data=dataset_loader(data), device=device)
        sources = [_source(name, streams) for name in events or ()]
        refresh_model(
            opened,
            served,
            sources,
            allow_behind=allow_behind,
            rebuild=rebuild,
            on_report=on_report,
            on_warning=print_warning,
        )
    typer.echo(json.dumps({**total.counts(), "model_version": served.version_text}))


def _source(events: str, streams: ExitStack) -> Callable[[], Iterator[list[object]]]:
    """Return a function that yields new batches at each call. ``streams`` closes the source."""
    from recops_models.serving.ingestion import BATCH
    from recops_models.serving.redis_stream import RedisStream

    if is_stream(events):
        stream = streams.enter_context(closing(RedisStream(events)))
        return partial(stream.replay, count=BATCH)
    return growing_batches(events, BATCH)
