"""``recops uic refresh``: a new model in the place of the one that is served."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Annotated

import typer

from recops_models.cli.uic.events import growing_batches_of, is_stream, progress
from recops_models.cli.uic.shared import (
    AllowLoss,
    DataOption,
    ModelOption,
    StoreUrl,
    data_named,
    opened_store,
    uic,
    warned,
)


@uic.command()
def refresh(
    model: ModelOption,
    store: StoreUrl,
    events: Annotated[
        list[str],
        typer.Option(
            help="Where all events so far are, as of `ingest`, and once for each source, the "
            "oldest first. Of a stream, all that it holds is read; to a JSONL file lines may be "
            "appended meanwhile.",
            show_default=False,
        ),
    ],
    allow_behind: Annotated[
        bool,
        typer.Option(
            "--allow-behind", help="Switch even though users are behind, or events were skipped."
        ),
    ] = False,
    data: DataOption = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Warm a new model up on all events, beside the one that is served, then switch at once.

    It switches when no user has seen less than in the old model's states; what is open goes over at
    its next request. Stopped, or refused because users are behind, it goes on where it was when it
    is called again. Where events were skipped that the old states have, it begins again.

    Example: `recops uic refresh --model runs/new --store lmdb:states --events log.jsonl`
    """
    from recops_models.serving.ingestion import IngestReport
    from recops_models.serving.refresh import refresh_model
    from recops_models.serving.served_model import ServedModel

    total = IngestReport()
    with (
        opened_store(store, None, allow_loss, create=True) as opened,
        progress(total) as on_report,
        ExitStack() as streams,
    ):
        served = ServedModel.load(model, data=data_named(data))
        sources = [_more(one, streams) for one in events]
        refresh_model(
            opened,
            served,
            sources,
            allow_behind=allow_behind,
            on_report=on_report,
            on_warning=warned,
        )
    typer.echo(json.dumps({**total.counts(), "model_version": served.version_text}))


def _more(events: str, streams: ExitStack) -> Callable[[], Iterator[list[object]]]:
    """A source for `refresh`: what a call has not given yet. ``streams`` closes it."""
    from recops_models.serving.ingestion import BATCH
    from recops_models.serving.redis_stream import RedisStream

    if is_stream(events):
        stream = streams.enter_context(closing(RedisStream(events)))
        return partial(stream.replay, count=BATCH)
    return growing_batches_of(events, BATCH)
