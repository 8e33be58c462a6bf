"""``recops uic serve``: HTTP service of the User Interest Center."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.application import DeviceOption
from recops_models.cli.uic.shared import (
    AllowLoss,
    DataOption,
    ModelOption,
    StoreUrl,
    dataset_loader,
    print_warning,
    uic,
)
from recops_models.printable import printable


@uic.command()
def serve(
    model: ModelOption,
    store: StoreUrl,
    host: Annotated[
        str,
        typer.Option(
            help="Address of this machine. One that others can reach requires --token-file."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 selects a free one.")] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token that requests must send: `Authorization: Bearer TOKEN`.",
            show_default=False,
        ),
    ] = None,
    max_body: Annotated[
        int, typer.Option(min=1, help="Largest request body in bytes; larger ones get 413.")
    ] = 1 << 20,
    data: DataOption = None,
    allow_loss: AllowLoss = False,
    device: DeviceOption = "auto",
) -> None:
    """Accept events and return scores over HTTP. Ctrl-C or SIGTERM finishes open requests.

    POST /v1/events, /v1/score and /v1/forget; GET /healthz, /metrics (Prometheus) and /, a page
    with live metrics. When `recops uic refresh` replaces the model, the data set is loaded again.

    Example: `recops uic serve --model runs/mimn --store lmdb:states`
    """
    from recops_models.serving.center import Center
    from recops_models.serving.http.access import read_token
    from recops_models.serving.http.server import serve as serve_center

    token = None if token_file is None else read_token(token_file)
    with Center.open(
        model, store, allow_loss=allow_loss, data=dataset_loader(data), device=device
    ) as center:
        has_states = center.has_states

        def ready(url: str) -> None:
            typer.echo(printable(f"serving {center.store.url} at {url}"))
            if not has_states:
                print_warning(
                    f"{center.store.url} has no states: load the history before the service "
                    "receives events (`recops uic ingest`); earlier events of a user are late "
                    "afterwards"
                )

        serve_center(
            center,
            host=host,
            port=port,
            token=token,
            max_body_bytes=max_body,
            on_ready=ready,
        )
