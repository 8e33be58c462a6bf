"""``recops recommend``: what a trained model shows a user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.application import app, load_job_data
from recops_models.printable import printable


@app.command()
def recommend(
    folder: Annotated[Path, typer.Argument(help="What `recops train` left.", show_default=False)],
    user: Annotated[
        str, typer.Option(help="The user's id, as the data set has it.", show_default=False)
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 10,
) -> None:
    """Recommend items to one user, after everything the user met, with scores and titles.

    A click model scores the whole catalogue; its scores are probabilities.

    Example: `recops recommend runs/unirec --user 196 -k 10`
    """
    from rich.console import Console
    from rich.table import Table

    from recops_models.data import Dataset
    from recops_models.data.attributes import item_titles
    from recops_models.recipes.run import load_trained, problem_of

    job, model = load_trained(folder)
    dataset = load_job_data(job, model)
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{job.data} holds examples, but no catalogue to recommend from")
    row = int(dataset.user_vocabulary.index(dataset.user_id(user)))
    items, scores = problem_of(job, dataset, model).recommend(model, row, k)
    titles, ids = item_titles(dataset), dataset.item_vocabulary.ids
    table = Table("", "score", "item", "title", box=None, pad_edge=False)
    for place, (item, score) in enumerate(zip(items[0].tolist(), scores[0].tolist(), strict=True)):
        if item >= 0:
            table.add_row(str(place + 1), f"{score:.3f}", str(ids[item]), printable(titles[item]))
    Console(markup=False).print(table)
