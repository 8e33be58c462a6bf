"""``recops uic snapshot``: write a consistent copy of all states to a file."""

from __future__ import annotations

import typer

from recops_models.cli.uic.shared import (
    AllowLoss,
    Expected,
    Snapshots,
    StoreUrl,
    open_checked_store,
    print_warning,
    snapshots_folder,
    uic,
)
from recops_models.printable import printable


@uic.command()
def snapshot(
    store: StoreUrl,
    snapshots: Snapshots = None,
    model: Expected = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Write a consistent copy of all states to a file, and keep the seven newest files.

    With Redis, which has no read transactions, events wait meanwhile.

    Example: `recops uic snapshot --store lmdb:states`
    """
    from recops_models.serving.snapshots import take_snapshot

    folder = snapshots_folder(store, snapshots)
    with open_checked_store(store, model, allow_loss) as opened:
        typer.echo(printable(str(take_snapshot(opened, folder, on_warning=print_warning))))
