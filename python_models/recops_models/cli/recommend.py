"""``recops recommend``: what a trained model shows a user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.application import app, load_data


@app.command()
def recommend(
    folder: Annotated[Path, typer.Argument(help="What `recops train` left.", show_default=False)],
    user: Annotated[
        str, typer.Option(help="The user's id, as the data set has it.", show_default=False)
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 10,
) -> None:
    """Recommend items to one user, after everything the user met, with scores and titles.

    Example: `recops recommend runs/unirec --user 196 -k 10`
    """
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from recops_models.data import Histories
    from recops_models.data.attributes import item_titles
    from recops_models.generative.saved import load_model
    from recops_models.training.job import load_job

    job = load_job(folder)
    model = load_model(folder / "model.safetensors")
    dataset = load_data(job.data)
    row = dataset.user_vocabulary.index(dataset.user_id(user))
    histories = Histories.of(
        dataset.interactions, dataset.user_vocabulary, dataset.item_vocabulary
    ).take(np.array([int(row)]))
    if not histories.lengths[0]:
        raise ValueError(f"user {user} has met nothing yet: there is nothing to go by")
    items, scores = model.recommend(histories, k)
    titles, ids = item_titles(dataset), dataset.item_vocabulary.ids
    table = Table("", "score", "item", "title", box=None, pad_edge=False)
    for place, (item, score) in enumerate(zip(items[0].tolist(), scores[0].tolist(), strict=True)):
        if item >= 0:
            table.add_row(str(place + 1), f"{score:.3f}", str(ids[item]), titles[item])
    Console().print(table)
