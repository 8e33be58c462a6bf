"""Train a job into a folder; :mod:`~recops_models.recipes.trained` opens the folder."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn

from recops.files import read_json, write_json
from recops_models import workers
from recops_models.callbacks import Callbacks
from recops_models.data.dataset import Dataset
from recops_models.out_folder import TRAINING_KIND
from recops_models.recipes.catalogue import (
    CATALOGUE,
    open_catalogue,
    repeats_of,
    save_catalogue,
)
from recops_models.recipes.files import MODEL, save_model
from recops_models.recipes.job import CONFIG, Job, save_job
from recops_models.recipes.known_ids import KNOWN_ITEMS, KNOWN_USERS, KnownIds
from recops_models.recipes.predictions import write_predictions
from recops_models.recipes.recipe import Recipe
from recops_models.recipes.registry import recipe_of
from recops_models.recipes.resuming import check_resumable
from recops_models.recipes.stage import CURVES, Data, StageContext, TrainResult
from recops_models.recipes.start import load_earlier
from recops_models.recipes.trained import (
    load_trained,
    open_data,
    own_data,
    task_of,
)
from recops_models.settings import JsonObject
from recops_models.training.curve import finite
from recops_models.training.device import AUTO, resolve_device
from recops_models.training.tensorboard import figure_events
from recops_models.versions import versions

__all__ = [
    "METRICS",
    "Figures",
    "load_trained",
    "open_data",
    "own_data",
    "run_job",
    "task_of",
    "train_job",
]

METRICS = "metrics.json"

Figures: TypeAlias = dict[str, float | None]


def train_job(
    job: Job,
    data: Data,
    folder: Path,
    *,
    resume: bool = False,
    callbacks: Callbacks | None = None,
    device: str | torch.device = AUTO,
    keep_interrupted: bool = False,
) -> TrainResult:
    """Run the stages of a job, and save the model of the last one in ``folder``.

    With several workers (:mod:`recops_models.workers`), all call this function with equal
    arguments, and the first one writes the files.

    Args:
        job: the job.
        data: the data that ``job.data`` names; for a click model also examples.
        folder: an existing folder. Stages before the last one have folders of their names in it.
        resume: continue from the checkpoints in ``folder``, if it has a training.
        callbacks: receive stages, progress and metrics.
        device: where all stages run; see :func:`~recops_models.training.device.resolve_device`. The
            result's model is left there.
        keep_interrupted: save the model of the best epoch also if the training is interrupted.

    Raises:
        ValueError: ``resume`` with another job than that of ``folder``, or with changed data; data
            that cannot be split; settings that contradict each other; missing device.
        KeyboardInterrupt: the training was stopped; the folder has the last checkpoint.
    """
    device = resolve_device(device)
    job = dataclasses.replace(job, repeats=job.repeats or repeats_of(data))
    resume = workers.on_first(lambda: resume and _is_resumable(folder, job))
    start = None
    if job.start is not None:
        _check_other_folder(Path(job.start), folder)
        start = load_earlier(Path(job.start), device=device)
    data, record = open_catalogue(folder, job, data, resume=resume, start=start)
    *before, last = (
        stage
        for stage in job.recipe.stages()
        if stage.is_enabled(job.parts) and (start is None or stage.continues)
    )

    folders = [folder, *(folder / stage.name for stage in before)]
    names = () if resume else workers.on_first(lambda: _stale_files(job.recipe, folder))
    stale = [each / name for each in folders for name in names]

    @functools.cache
    def start_output() -> None:
        if not workers.is_first():
            return
        for path in stale:
            path.unlink(missing_ok=True)
        save_job(folder, job)
        save_catalogue(folder, record)
        if isinstance(data, Dataset):
            # Vocabularies of click models keep ids that the data lacks; rankers drop their rows.
            keeps = start is not None and job.data_kind == "click"
            KnownIds.of(data, start.known if start is not None and keeps else None).save(folder)

    earlier: dict[str, nn.Module] = {}
    context = StageContext(
        data,
        job.split,
        job.parts,
        job.seed,
        folder,
        resume,
        callbacks or Callbacks(),
        earlier,
        start_output,
        device,
        start=start,
    )
    for stage in (*before, last):
        stage.check(context)
    for stage in before:
        path = folder / stage.name
        if workers.is_first():
            path.mkdir(exist_ok=True)
        earlier[stage.name] = stage.run(dataclasses.replace(context, folder=path)).model

    def save(model: nn.Module) -> None:
        if workers.is_first():
            save_model(folder / MODEL, *job.recipe.for_saving(model, job.parts))

    if keep_interrupted:
        context = dataclasses.replace(context, save_interrupted=save)
    result = last.run(context)
    save(result.model)
    return result


def _check_other_folder(earlier: Path, folder: Path) -> None:
    if earlier.resolve() == folder.resolve():
        raise ValueError(f"train: --out must be another folder than --from, got {folder} for both")


def _is_resumable(folder: Path, job: Job) -> bool:
    """Return whether the folder has a training, after a check that ``job`` may continue it."""
    if not (folder / CONFIG).exists():
        return False
    check_resumable(folder, job)
    return True


def _stale_files(recipe: Recipe, folder: Path) -> tuple[str, ...]:
    """Return the files to remove before a new training: its own and those of the folder's last."""
    recipes = [recipe, *_last_recipe(folder)]
    names = {name for each in recipes for stage in each.stages() for name in stage.files}
    return (CATALOGUE, KNOWN_ITEMS, KNOWN_USERS, MODEL, METRICS, *names)


def _last_recipe(folder: Path) -> list[Recipe]:
    """Return the recipe that was last trained in ``folder``, or nothing if it is unknown."""
    try:
        return [recipe_of(read_json(folder / CONFIG, kind=TRAINING_KIND)["model"])]
    except (OSError, ImportError, KeyError, ValueError):
        return []


def run_job(
    job: Job,
    data: Data,
    folder: Path,
    *,
    resume: bool = False,
    test: bool = True,
    callbacks: Callbacks | None = None,
    device: str | torch.device = AUTO,
    keep_interrupted: bool = False,
) -> TrainResult:
    """Train a job by :func:`train_job`, and measure its model on validation and once on test.

    Writes ``config.json``, ``catalogue.json`` for a data set, ``model.safetensors``,
    ``metrics.json``, ``curves.json``, TensorBoard events, ``predictions.parquet`` and the files of
    the recipe. A model without epochs has an empty curve, and its metrics as events.

    Args:
        job: see :func:`train_job`, also for ``data``, ``folder``, ``resume``, ``callbacks`` and
            ``device``.
        test: False: do not read the test part, as for tuning; ``metrics.json`` has an empty
            ``"test"``.
        keep_interrupted: see :func:`train_job`.

    Returns:
        The model of ``model.safetensors``, with the content of ``metrics.json``.
    """
    result = train_job(
        job,
        data,
        folder,
        resume=resume,
        callbacks=callbacks,
        device=device,
        keep_interrupted=keep_interrupted,
    )
    metrics = dict(workers.on_first(lambda: _measure(result, job, folder, test=test)))
    _, saved = job.recipe.for_saving(result.model, job.parts)
    return dataclasses.replace(result, model=saved, metrics=metrics)


def _measure(result: TrainResult, job: Job, folder: Path, *, test: bool) -> JsonObject:
    """Measure a model, write its metrics and predictions, and return the metrics."""
    task, model = result.task, result.model
    figures: dict[str, Figures] = {"test": {}}
    if test:
        test_metrics, predictions = task.measure(model, "test")
        figures["test"] = finite(test_metrics)
        write_predictions(folder, predictions, task.dataset)
    figures["validation"] = finite(task.measure(model, "validation")[0])
    metrics = {
        "data": task.name,
        "model": job.model,
        "seed": job.seed,
        "split": task.split,
        **figures,
        "notes": list(task.notes),
        "train_seconds": round(result.seconds, 3),
        "versions": versions(),
    }
    write_json(folder / METRICS, metrics, kind="metrics")
    if not result.curve:  # A stage without epochs writes no curve.
        write_json(folder / CURVES, {"rows": []}, kind="curves")
        figure_events(folder, figures)
    return metrics
