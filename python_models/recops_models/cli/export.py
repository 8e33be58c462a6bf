"""``recops export``: a trained ranker as one compiled package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import app, load_job_data

if TYPE_CHECKING:
    from recops_models.data import Dataset
    from recops_models.recipes.job import Job


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="What `recops train` left.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="The file to write; it ends in .pt2.", show_default=False)
    ],
) -> None:
    """Compile a trained ranker (sasrec, tiger, unirec) into a package that runs without its code.

    AOTInductor compiles the model's functions: reading a history, and a step of decoding for each
    token (SASRec: the scores of all items). They take and give item ids and tensors, batches and
    beams of any size; `recops.constrained_beam_search` decodes with them, and with the trie that is
    left beside: `model.trie.safetensors` for `model.pt2`. A UniRec that knows scenes (`task`) or
    fields of users takes those of each request too. A process that serves them needs torch and
    recops, no model's Python code and no training data. It takes minutes and a C++ compiler.

    Example: `recops export runs/unirec --out unirec.pt2`
    """
    import torch

    from recops_models.data import Dataset
    from recops_models.export.package import check_exportable, export_model
    from recops_models.recipes.run import load_trained

    job, model = load_trained(folder)
    check_exportable(model, out, name=job.model)
    dataset = load_job_data(job, model, folder)
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{job.data} holds examples, but no catalogue to recommend from")
    items, users = dataset.item_vocabulary.ids, dataset.user_vocabulary.ids
    written = export_model(
        model,
        torch.from_numpy(items),
        out,
        name=job.model,
        user_ids=torch.from_numpy(users),
        tasks=_tasks(job, dataset),
    )
    typer.echo(f"{job.model} in {' and '.join(map(str, written))}")


def _tasks(job: Job, dataset: Dataset) -> tuple[str, ...]:
    """Names of the scenes that a training was told of; none of a model that is not told of any."""
    from recops_models.examples.scenes import SceneConfig, Scenes
    from recops_models.recipes.parts import part

    if "scenes" not in job.parts:
        return ()
    return Scenes.of(dataset, part(job.parts, "scenes", SceneConfig)).names
