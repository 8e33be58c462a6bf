"""``recops uic forget``: delete a user's state permanently."""

from __future__ import annotations

from typing import Annotated

import typer

from recops_models.cli.uic.shared import AllowLoss, Expected, StoreUrl, open_checked_store, uic
from recops_models.printable import printable


@uic.command()
def forget(
    user: Annotated[str, typer.Argument(help="User id.", show_default=False)],
    store: StoreUrl,
    through: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**63 - 1,
            help="Also exclude events up to this `seq` that have not arrived yet.",
        ),
    ] = 0,
    model: Expected = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Delete a user's state permanently: replays and restored snapshots do not bring it back.

    Later events of the user start a new state. Snapshot files hold the old state until they are
    deleted. For a user without a state, --through is required to exclude events.

    Example: `recops uic forget 196 --store lmdb:states`
    """
    from recops_models.serving.event import id_text
    from recops_models.serving.forgetting import forget_users

    with open_checked_store(store, model, allow_loss) as opened:
        known = forget_users(opened, [id_text("user", user)], through=through)
    result = "forgotten" if known else "has no state"
    if not (known or through):
        result += "; to exclude the user from older snapshots and replays, give --through SEQ"
    typer.echo(printable(f"user {user}: {result}"))
