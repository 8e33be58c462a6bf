"""``recops uic score``: candidates for a user."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from recops_models.cli.uic.shared import (
    AllowLoss,
    DataOption,
    ModelOption,
    StoreUrl,
    data_named,
    uic,
)


@uic.command()
def score(
    model: ModelOption,
    store: StoreUrl,
    user: Annotated[str, typer.Option(help="The user's id.", show_default=False)],
    candidates: Annotated[
        str,
        typer.Option(
            help="Items' ids: `1,2,3`, or a file: `.csv`, `.tsv` or `.parquet` with a column "
            "`item_id`, `.json` with a list, any other with an id a line.",
            show_default=False,
        ),
    ],
    features: Annotated[
        str, typer.Option(help="Values of the model's other features, as a JSON object.")
    ] = "{}",
    data: DataOption = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Score candidates for a user, upon the user's state; prints JSON.

    `unknown_candidates` lists the positions, from 0, of candidates that training did not know.

    Example: `recops uic score --model runs/mimn --store lmdb:states --user 1 --candidates 5,6,7`
    """
    from recops_models.cli.uic.candidates import candidates_of
    from recops_models.serving.center import Center

    try:
        given = json.loads(features)
    except ValueError as error:
        raise typer.BadParameter(f"--features must be a JSON object ({error})") from error
    if not isinstance(given, dict):
        raise typer.BadParameter("--features must be a JSON object")
    items = candidates_of(candidates)
    with Center.open(
        model, store, allow_loss=allow_loss, data=data_named(data), create=False
    ) as center:
        found = center.score(user, items, given)
    answer: dict[str, object] = {
        "user_id": user,
        "candidates": items,
        "scores": found.scores.tolist(),
        "model_version": found.model_version,
        "events": found.events,
        "known": found.known,
        "unknown_candidates": found.unknown_candidates,
    }
    typer.echo(json.dumps(answer))
