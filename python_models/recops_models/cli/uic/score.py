"""``recops uic score``: score candidates for a user."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from recops_models.cli.application import DeviceOption
from recops_models.cli.uic.shared import (
    AllowLoss,
    DataOption,
    ModelOption,
    StoreUrl,
    dataset_loader,
    uic,
)


@uic.command()
def score(
    model: ModelOption,
    store: StoreUrl,
    user: Annotated[str, typer.Option(help="User id.", show_default=False)],
    candidates: Annotated[
        str,
        typer.Option(
            help="Item ids such as `1,2,3`, or a file: `.csv`, `.tsv` or `.parquet` with a column "
            "`item_id`, `.json` with a list, or text with one id per line.",
            show_default=False,
        ),
    ],
    features: Annotated[
        str, typer.Option(help="Values of the model's other features, as a JSON object.")
    ] = "{}",
    data: DataOption = None,
    allow_loss: AllowLoss = False,
    device: DeviceOption = "auto",
) -> None:
    """Score candidates with a user's state, and print JSON.

    `unknown_candidates` lists the positions, from 0, of candidates that were not in training.

    Example: `recops uic score --model runs/mimn --store lmdb:states --user 1 --candidates 5,6,7`
    """
    from recops_models.cli.uic.candidates import read_candidates
    from recops_models.serving.center import Center

    try:
        feature_values = json.loads(features)
    except ValueError as error:
        raise typer.BadParameter(f"--features must be a JSON object ({error})") from error
    if not isinstance(feature_values, dict):
        raise typer.BadParameter("--features must be a JSON object")
    items = read_candidates(candidates)
    with Center.open(
        model, store, allow_loss=allow_loss, data=dataset_loader(data), device=device, create=False
    ) as center:
        result = center.score(user, items, feature_values)
    content: dict[str, object] = {
        "user_id": user,
        "candidates": items,
        "scores": result.scores.tolist(),
        "model_version": result.model_version,
        "events": result.events,
        "known": result.known,
        "unknown_candidates": result.unknown_candidates,
    }
    typer.echo(json.dumps(content))
