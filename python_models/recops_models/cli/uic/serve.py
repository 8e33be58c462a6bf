"""``recops uic serve``: the center over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.uic.shared import (
    AllowLoss,
    DataOption,
    ModelOption,
    StoreUrl,
    data_named,
    uic,
)
from recops_models.printable import printable


@uic.command()
def serve(
    model: ModelOption,
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
    data: DataOption = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Take events and give scores over HTTP, until Ctrl-C or SIGTERM, which finish what came.

    POST /v1/events, /v1/score and /v1/forget; GET /healthz, /metrics (Prometheus) and /, a page
    that shows what goes on. Once `recops uic refresh` has switched, the data set is read anew, too.

    Example: `recops uic serve --model runs/mimn --store lmdb:states`
    """
    from recops_models.serving.center import Center
    from recops_models.serving.http.access import read_token
    from recops_models.serving.http.server import serve as serve_center

    token = None if token_file is None else read_token(token_file)
    with Center.open(model, store, allow_loss=allow_loss, data=data_named(data)) as center:
        serve_center(
            center,
            host=host,
            port=port,
            token=token,
            max_body_bytes=max_body,
            on_ready=lambda url: typer.echo(printable(f"serving {center.store.url} at {url}")),
        )
