"""``recops uic rollback``: serve the newest snapshot, or the newest one of a day."""

from __future__ import annotations

from typing import Annotated

import typer

from recops_models.cli.uic.restore import restore
from recops_models.cli.uic.shared import (
    AllowLoss,
    SnapshotModel,
    Snapshots,
    StoreUrl,
    snapshots_folder,
    uic,
)


@uic.command()
def rollback(
    store: StoreUrl,
    to: Annotated[
        str | None,
        typer.Option(
            help="Restore the newest snapshot whose name starts with this, such as 20260131. "
            "Default: the newest of all.",
            show_default=False,
        ),
    ] = None,
    snapshots: Snapshots = None,
    model: SnapshotModel = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Restore the newest snapshot, or the newest one of a day.

    Example: `recops uic rollback --store lmdb:states --to 20260131`
    """
    from recops_models.serving.snapshot_files import snapshots_in

    folder = snapshots_folder(store, snapshots)
    paths = [path for path in snapshots_in(folder) if path.name.startswith(to or "")]
    if not paths:
        raise ValueError(f"{folder}: no snapshot{f' of {to}' if to else ''}")
    restore(paths[-1], store, model, allow_loss)
