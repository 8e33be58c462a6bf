"""``recops uic snapshot``: the states of one moment in a file."""

from __future__ import annotations

import typer

from recops_models.cli.uic.shared import (
    AllowLoss,
    Expected,
    Snapshots,
    StoreUrl,
    opened_store,
    snapshots_folder,
    uic,
    warned,
)
from recops_models.printable import printable


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

    folder = snapshots_folder(store, snapshots)
    with opened_store(store, model, allow_loss) as opened:
        typer.echo(printable(str(take_snapshot(opened, folder, on_warning=warned))))
