"""``recops export``: compile a trained ranker to one package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import DeviceOption, app, load_job_data

if TYPE_CHECKING:
    from recops_models.data import Dataset
    from recops_models.recipes.job import Job


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder of `recops train`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write, ending in .pt2.", show_default=False)],
    device: DeviceOption = "cpu",
) -> None:
    """Compile a trained ranker (sasrec, tiger, unirec) to a package that runs without its code.

    AOTInductor compiles two functions: encoding a history, and one decoding step per token
    (SASRec: the scores of all items). Batch and beam sizes are dynamic.
    `recops.constrained_beam_search` decodes with these functions and a trie, which is written to
    `model.trie.safetensors` for `model.pt2`. A UniRec with tasks or user fields also takes those
    of each request. Serving needs torch and recops, but neither the model's Python code nor
    training data. The export needs a C++ compiler and takes minutes.

    Example: `recops export runs/unirec --out unirec.pt2`
    """
    import torch

    from recops_models.data import Dataset
    from recops_models.export.package import check_exportable, export_model
    from recops_models.recipes.matching import match_model
    from recops_models.recipes.run import load_trained

    job, model = load_trained(folder, device=device)
    check_exportable(model, out, name=job.model)
    dataset = load_job_data(job, model, folder)
    model = match_model(folder, job, model, dataset).module
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{job.data} has examples, but no catalogue to recommend from")
    items, users = dataset.item_vocabulary.ids, dataset.user_vocabulary.ids
    paths = export_model(
        model,
        torch.from_numpy(items),
        out,
        name=job.model,
        user_ids=torch.from_numpy(users),
        tasks=_tasks(job, dataset),
    )
    typer.echo(f"{job.model} in {' and '.join(map(str, paths))}")


def _tasks(job: Job, dataset: Dataset) -> tuple[str, ...]:
    """Return the names of the training's tasks; empty for a model without tasks."""
    from recops_models.examples.scenes import SceneConfig, Scenes
    from recops_models.recipes.parts import part

    if "scenes" not in job.parts:
        return ()
    return Scenes.of(dataset, part(job.parts, "scenes", SceneConfig)).names
