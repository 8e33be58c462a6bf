"""``recops uic rollback``: the newest snapshot, or a day's, into service."""

from __future__ import annotations

from typing import Annotated

import typer

from recops_models.cli.uic.restore import restore
from recops_models.cli.uic.shared import (
    AllowLoss,
    Moved,
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
            help="The newest snapshot whose name begins so, such as 20260131; default: the newest.",
            show_default=False,
        ),
    ] = None,
    snapshots: Snapshots = None,
    model: Moved = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Restore the newest snapshot, or that of a day.

    Example: `recops uic rollback --store lmdb:states --to 20260131`
    """
    from recops_models.serving.snapshot_files import snapshots_in

    folder = snapshots_folder(store, snapshots)
    found = [path for path in snapshots_in(folder) if path.name.startswith(to or "")]
    if not found:
        raise ValueError(f"{folder}: no snapshot{f' of {to}' if to else ''}")
    restore(found[-1], store, model, allow_loss)
