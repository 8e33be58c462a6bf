"""``recops uic stats``: statistics of a store."""

from __future__ import annotations

import json

import typer

from recops_models.cli.uic.shared import AllowLoss, Expected, StoreUrl, open_checked_store, uic


@uic.command()
def stats(store: StoreUrl, model: Expected = None, allow_loss: AllowLoss = False) -> None:
    """Print users, events, size and the served model as JSON.

    Example: `recops uic stats --store lmdb:states`
    """
    from recops_models.serving.stats import center_stats

    with open_checked_store(store, model, allow_loss) as opened:
        stats = vars(center_stats(opened))
    typer.echo(json.dumps(stats, indent=2))
