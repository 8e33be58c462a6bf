"""``recops uic score``: candidates for a user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.uic.shared import AllowLoss, Data, Model, StoreUrl, data_named, uic

_FILES = (".txt", ".csv", ".tsv", ".json", ".jsonl")


@uic.command()
def score(
    model: Model,
    store: StoreUrl,
    user: Annotated[str, typer.Option(help="The user's id.", show_default=False)],
    candidates: Annotated[
        str,
        typer.Option(help="Items' ids: `1,2,3`, or a file with one a line.", show_default=False),
    ],
    features: Annotated[
        str, typer.Option(help="Values of the model's other features, as a JSON object.")
    ] = "{}",
    data: Data = None,
    allow_loss: AllowLoss = False,
) -> None:
    """Score candidates for a user, upon the user's state; prints JSON.

    Example: `recops uic score --model runs/mimn --store lmdb:states --user 1 --candidates 5,6,7`
    """
    from recops_models.serving.center import Center

    try:
        given = json.loads(features)
    except ValueError as error:
        raise typer.BadParameter(f"--features must be a JSON object ({error})") from error
    if not isinstance(given, dict):
        raise typer.BadParameter("--features must be a JSON object")
    items = _candidates(candidates)
    with Center.open(model, store, allow_loss=allow_loss, data=data_named(data)) as center:
        found = center.score(user, items, given)
    answer: dict[str, object] = {
        "user_id": user,
        "candidates": items,
        "scores": found.scores.tolist(),
        "model_version": found.model_version,
        "events": found.events,
        "known": found.known,
    }
    typer.echo(json.dumps(answer))


def _candidates(text: str) -> list[str]:
    path = Path(text)
    if path.is_file():
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    if "," not in text and path.suffix in _FILES:  # A mistyped file must not be scored as an item.
        raise FileNotFoundError(f"{text}: no such file of candidates")
    return [item.strip() for item in text.split(",") if item.strip()]
