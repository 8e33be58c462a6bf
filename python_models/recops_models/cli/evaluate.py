"""``recops evaluate``: measure a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.application import app, load_data


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="What `recops train` left.", show_default=False)],
) -> None:
    """Measure HR@10, HR@50, NDCG@10 and coverage of a trained model, on validation and test.

    Every item of the catalogue competes; those that a user has already met are left out, for every
    model alike.

    Example: `recops evaluate runs/unirec`
    """
    from rich.console import Console
    from rich.table import Table

    from recops_models.data import leave_one_out
    from recops_models.evaluation.metrics import evaluate as measure
    from recops_models.generative.saved import load_model
    from recops_models.training.job import load_job

    job = load_job(folder)
    model = load_model(folder / "model.safetensors")
    dataset = load_data(job.data)
    split = leave_one_out(dataset)
    found = {
        part: measure(model, split.examples(part), dataset.items.num_rows).metrics
        for part in ("validation", "test")
    }
    table = Table("", *found["test"], box=None, pad_edge=False)
    for part, metrics in found.items():
        table.add_row(part, *(f"{value:.4f}" for value in metrics.values()))
    Console().print(table)
