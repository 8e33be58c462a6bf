"""``recops evaluate``: evaluate a trained model."""

from __future__ import annotations

import dataclasses
import json
from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.application import (
    DeviceOption,
    JsonOption,
    NewerDataOption,
    app,
    load_job_data,
)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of `recops train`.", show_default=False)],
    data: NewerDataOption = None,
    as_json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Evaluate a trained model on validation and test.

    Rankers: HR@10, HR@50, NDCG@10 and coverage. All items of the catalogue are ranked, without
    those that the user has already interacted with. Click models: AUC, gAUC, logloss, and
    calibration of the probabilities (PCOC, ECE).

    Example: `recops evaluate runs/unirec`
    """
    from rich.console import Console
    from rich.table import Table

    from recops_models.recipes.run import load_trained, task_of
    from recops_models.training.curve import finite

    job, model = load_trained(folder, device=device)
    if data is not None:
        job = dataclasses.replace(job, data=data)
    task = task_of(job, load_job_data(job, model, folder), model)
    results = {part: task.measure(model, part)[0] for part in ("validation", "test")}
    if as_json:
        typer.echo(json.dumps({part: finite(metrics) for part, metrics in results.items()}))
        return
    table = Table("", *results["test"], box=None, pad_edge=False)
    for part, metrics in results.items():
        cells = ("undefined" if isnan(value) else f"{value:.4f}" for value in metrics.values())
        table.add_row(part, *cells)
    Console().print(table)
