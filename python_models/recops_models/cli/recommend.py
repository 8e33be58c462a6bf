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
    new_items: Annotated[
        Path | None,
        typer.Option(
            help="Parquet or CSV of items that training did not have: `item_id`, and columns as "
            "the data set's items have them. UniRec alone.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Where the user is now, a value of the column that training was told by "
            "`--set task=…`; default: where the last event was. UniRec alone.",
            show_default=False,
        ),
    ] = None,
    timing: Annotated[
        bool, typer.Option("--timing", help="Tell how long a request takes, part by part.")
    ] = False,
) -> None:
    """Recommend items to one user, after everything the user met, with scores and titles.

    A click model scores the whole catalogue; its scores are probabilities. With `--new-items`,
    UniRec also decodes items that came after its training, by codes of the tokenizer that training
    left; nothing is trained again. `--timing` asks a model that spells items (unirec, tiger) again
    and again, and tells the median milliseconds of reading the history, of the model's steps and of
    the beam search.

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
    titles = item_titles(dataset)
    ids = [str(key) for key in dataset.item_keys]
    if new_items is not None or task is not None:
        from recops_models.generative.unirec import UniRec
        from recops_models.recipes.new_items import insert_new_items

        if not isinstance(model, UniRec):
            raise ValueError(f"{job.model} takes neither --new-items nor --task; unirec does")
        if new_items is not None:
            new = insert_new_items(job, dataset, model, folder, new_items)
            model, ids, titles = new.live.model, ids + new.keys, titles + new.titles
    problem = problem_of(job, dataset, model)
    if task is not None:
        from recops_models.training.path_problem import PathProblem

        assert isinstance(problem, PathProblem)
        problem = problem.asked_in(task)
    items, scores = problem.recommend(model, row, k)
    table = Table("", "score", "item", "title", box=None, pad_edge=False)
    for place, (item, score) in enumerate(zip(items[0].tolist(), scores[0].tolist(), strict=True)):
        if item >= 0:
            table.add_row(str(place + 1), f"{score:.3f}", ids[item], printable(titles[item]))
    Console(markup=False).print(table)
    if timing:
        from recops_models.cli.request_timing import request_timing

        typer.echo(request_timing(model, dataset, problem, row, k))
