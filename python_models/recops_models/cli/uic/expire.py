"""``recops uic expire``: forget inactive users."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from recops_models.cli.uic.shared import (
    AllowLoss,
    Expected,
    StoreUrl,
    open_checked_store,
    print_warning,
    uic,
)


@uic.command()
def expire(
    store: StoreUrl,
    days: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Forget users without events for this number of days. Timestamps must be Unix "
            "seconds.",
        ),
    ] = None,
    before: Annotated[
        float | None,
        typer.Option(
            help="Forget users whose last event is before this timestamp.", show_default=False
        ),
    ] = None,
    model: Expected = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Forget users by the age of their last event, as `recops uic forget` does.

    Example: `recops uic expire --store lmdb:states --days 365`
    """
    from recops_models.serving.forgetting import expire_users

    if (days is None) == (before is None):
        raise typer.BadParameter("give either --days or --before")
    limit = before if days is None else time.time() - 86_400 * days
    assert limit is not None
    with open_checked_store(store, model, allow_loss) as opened:
        typer.echo(f"{expire_users(opened, limit, on_warning=print_warning):,} users forgotten")
