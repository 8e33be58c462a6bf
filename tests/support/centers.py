"""Small memory models, their data set, and its events in the format of a center."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jobs import job_of
from recops_models.data import Dataset, save_dataset
from recops_models.examples.click import click_data
from recops_models.recipes.catalogue import open_catalogue, save_catalogue
from recops_models.recipes.click import ClickRecipe
from recops_models.recipes.files import MODEL, save_model
from recops_models.recipes.job import save_job

SETTINGS = {"width": "4", "hidden": "8", "dropout": "0"}


def untrained(
    name: str,
    dataset: Dataset,
    data: Path,
    folder: Path,
    *,
    seed: int = 0,
    small: bool = True,
    **settings: str,
) -> Path:
    """Write a folder like that of `recops train`, of a model with random weights.

    Args:
        name: name of a click model.
        dataset: data set that the schema is fitted to.
        data: folder of the data set, which is saved there if missing.
        folder: folder of the training.
        seed: seed of the weights.
        small: whether to use :data:`SETTINGS` or the default sizes.
        settings: further settings of the job.
    """
    if not data.exists():
        save_dataset(dataset, data)
    job = job_of(
        name, str(data), {**(SETTINGS if small else {}), **settings}, seed=seed, quick=False
    )
    recipe = job.recipe
    assert isinstance(recipe, ClickRecipe)
    fitted = click_data(dataset, **vars(job.parts["examples"])).fitted
    torch.manual_seed(seed)
    model = recipe.net(fitted, job.parts["sizes"])
    for table in model.embedding.tables.values():
        nn.init.normal_(table.weight[1:])
    folder.mkdir(parents=True, exist_ok=True)
    save_job(folder, job)
    save_catalogue(folder, open_catalogue(folder, job, dataset, resume=False)[1])
    save_model(folder / MODEL, name, model)
    return folder


def events_of(dataset: Dataset) -> list[dict[str, Any]]:
    """Return all events of a data set in order, each with its user's sequence number."""
    seqs: Counter[int] = Counter()
    events = []
    for row in dataset.interactions.to_pylist():
        seqs[row["user_id"]] += 1
        events.append({**row, "seq": seqs[row["user_id"]]})
    return events
