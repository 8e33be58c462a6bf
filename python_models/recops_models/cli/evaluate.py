"""``recops evaluate``: measure a trained model."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.application import app, load_job_data


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="What `recops train` left.", show_default=False)],
) -> None:
    """Measure a trained model again, on validation and test.

    Rankers: HR@10, HR@50, NDCG@10 and coverage; every item of the catalogue competes, those that a
    user has already met are left out, for every model alike. Click models: AUC, gAUC, logloss and
    how far the probabilities can be trusted (PCOC, ECE).

    Example: `recops evaluate runs/unirec`
    """
    from rich.console import Console
    from rich.table import Table

    from recops_models.recipes.run import load_trained, task_of

    job, model = load_trained(folder)
    task = task_of(job, load_job_data(job, model, folder), model)
    found = {part: task.measure(model, part)[0] for part in ("validation", "test")}
    table = Table("", *found["test"], box=None, pad_edge=False)
    for part, metrics in found.items():
        told = ("undefined" if isnan(value) else f"{value:.4f}" for value in metrics.values())
        table.add_row(part, *told)
    Console().print(table)
