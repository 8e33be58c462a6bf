"""``recops uic stats``: what a store holds."""

from __future__ import annotations

import json

import typer

from recops_models.cli.uic.shared import AllowLoss, Expected, StoreUrl, opened_store, uic


@uic.command()
def stats(store: StoreUrl, model: Expected = None, allow_loss: AllowLoss = False) -> None:
    """Count users, events and bytes, and name the model that is served; prints JSON.

    Example: `recops uic stats --store lmdb:states`
    """
    from recops_models.serving.stats import center_stats

    with opened_store(store, model, allow_loss) as opened:
        found = vars(center_stats(opened))
    typer.echo(json.dumps(found, indent=2))
