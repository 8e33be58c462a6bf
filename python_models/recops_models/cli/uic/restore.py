"""``recops uic restore``: serve the states of a snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.uic.shared import (
    AllowLoss,
    SnapshotModel,
    StoreUrl,
    open_checked_store,
    print_warning,
    uic,
)
from recops_models.printable import printable


@uic.command()
def restore(
    path: Annotated[Path, typer.Argument(help="Snapshot file.", show_default=False)],
    store: StoreUrl,
    model: SnapshotModel = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Replace the served states by those of a snapshot. Forgotten users stay forgotten.

    Send the events after the snapshot again. Events that it contains count as duplicates.

    Example: `recops uic restore states/snapshots/20260101T000000.000000Z.snapshot.parquet --store
    lmdb:states`
    """
    from recops_models.serving.snapshots import restore_snapshot

    with open_checked_store(store, None, allow_loss, create=True) as opened:
        users = restore_snapshot(opened, path, model=model, on_warning=print_warning)
    typer.echo(printable(f"{users:,} users of {path.name}; send the later events again"))
