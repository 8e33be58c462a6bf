"""``recops uic restore``: a snapshot into service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.uic.shared import AllowLoss, Moved, StoreUrl, opened_store, uic, warned
from recops_models.printable import printable


@uic.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A snapshot.", show_default=False)],
    store: StoreUrl,
    model: Moved = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Serve what a snapshot holds, in place of what is served; users who were forgotten stay so.

    Events that came after the snapshot are to be sent again: those it has are duplicates.

    Example: `recops uic restore states/snapshots/20260101T000000.000000Z.snapshot.parquet --store
    lmdb:states`
    """
    from recops_models.serving.snapshots import restore_snapshot

    with opened_store(store, None, allow_loss, create=True) as opened:
        users = restore_snapshot(opened, path, model=model, on_warning=warned)
    typer.echo(printable(f"{users:,} users of {path.name}; send the events since once more"))
