"""``recops uic forget``: a user's state, for good."""

from __future__ import annotations

from typing import Annotated

import typer

from recops_models.cli.uic.shared import AllowLoss, Expected, StoreUrl, opened_store, uic
from recops_models.printable import printable


@uic.command()
def forget(
    user: Annotated[str, typer.Argument(help="The user's id.", show_default=False)],
    store: StoreUrl,
    through: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**63 - 1,
            help="Also leave out events up to this `seq` that have not arrived yet.",
        ),
    ] = 0,
    model: Expected = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Remove a user's state for good: no replay and no snapshot brings it back.

    Later events of the user begin a new state. Files of snapshots hold the old one until they are
    rotated out. Of a user whom the store does not know, only --through tells what to leave out.

    Example: `recops uic forget 196 --store lmdb:states`
    """
    from recops_models.serving.event import id_text
    from recops_models.serving.forgetting import forget_users

    with opened_store(store, model, allow_loss) as opened:
        known = forget_users(opened, [id_text("user", user)], through=through)
    told = "forgotten" if known else "was not known"
    if not (known or through):
        told += "; to leave out what an older snapshot or a replay may hold, give --through SEQ"
    typer.echo(printable(f"user {user}: {told}"))
