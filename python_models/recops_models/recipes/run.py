"""From a job to a folder from which to evaluate and recommend."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from torch import nn

from recops.files import read_json, write_json
from recops_models.callbacks import Callbacks
from recops_models.click.model import ClickModel
from recops_models.data.dataset import Dataset
from recops_models.data.sets import load
from recops_models.data.storage import write_table
from recops_models.examples.open_click import open_events
from recops_models.out_folder import TRAINING_KIND
from recops_models.recipes.catalogue import (
    CATALOGUE,
    catalogue,
    check_catalogue,
    check_unchanged,
    save_catalogue,
    with_recorded_categories,
)
from recops_models.recipes.files import load_model, save_model
from recops_models.recipes.job import CONFIG, Job, load_job, save_job
from recops_models.recipes.recipe import Recipe
from recops_models.recipes.registry import recipe_of
from recops_models.recipes.stage import CURVES, Data, StageContext, TrainResult
from recops_models.training.curve import finite
from recops_models.training.task import AnyTask
from recops_models.training.tensorboard import figure_events
from recops_models.versions import versions

MODEL, METRICS, PREDICTIONS = "model.safetensors", "metrics.json", "predictions.parquet"

Figures: TypeAlias = dict[str, float | None]


def train_job(
    job: Job, data: Data, folder: Path, *, resume: bool = False, callbacks: Callbacks | None = None
) -> TrainResult:
    """Run a job's trainings, each with its best epoch kept, and leave the model in ``folder``.

    Args:
        job: what.
        data: what ``job.data`` names; or, for a click model, examples made by hand.
        folder: exists. Trainings before the last one have folders of their own in it.
        resume: go on from the folder's checkpoints, if it has a training.
        callbacks: receive stages, progress and metrics.

    Raises:
        ValueError: ``resume`` with another job than the folder's, or with other items or events;
            data that cannot be split.
        KeyboardInterrupt: handed on; the folder keeps the last checkpoint.
    """
    resume = resume and (folder / CONFIG).exists()
    if resume:
        _refuse_another(job, folder)
        data = with_recorded_categories(folder, data)
        check_catalogue(folder, job, data)
        check_unchanged(folder, data)

    *before, last = (stage for stage in job.recipe.stages() if stage.is_enabled(job.parts))

    folders = [folder, *(folder / stage.name for stage in before)]
    names = () if resume else _stale_files(job.recipe, folder)
    stale = [each / name for each in folders for name in names]

    @functools.cache
    def start_output() -> None:
        numbered = catalogue(job, data)  # Refuses what is unfit, so nothing is lost.
        for path in stale:  # What is there would be taken for this job's, were it stopped.
            path.unlink(missing_ok=True)
        save_job(folder, job)
        save_catalogue(folder, numbered)

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
    )
    for stage in (*before, last):
        stage.check(context)
    for stage in before:
        place = folder / stage.name
        place.mkdir(exist_ok=True)
        earlier[stage.name] = stage.run(dataclasses.replace(context, folder=place)).model
    result = last.run(context)
    save_model(folder / MODEL, *job.recipe.kept(result.model, job.parts))
    return result


def _stale_files(recipe: Recipe, folder: Path) -> tuple[str, ...]:
    """Return the files to remove before a new training: its own and those of the folder's last."""
    recipes = [recipe, *_last_recipe(folder)]
    names = {name for each in recipes for stage in each.stages() for name in stage.files}
    return (CATALOGUE, MODEL, METRICS, *names)


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
) -> TrainResult:
    """:func:`train_job`, and measure once on test.

    Leaves ``config.json``, ``catalogue.json`` of a data set, ``model.safetensors``,
    ``metrics.json``, ``curves.json``, TensorBoard events, ``predictions.parquet``, and whatever
    else the recipe tells of. A model without epochs has a curve without rows, and its figures as
    events.

    Args:
        job: see :func:`train_job`, as for ``data``, ``folder``, ``resume`` and ``callbacks``.
        test: False leaves the test part alone, as tuning must; ``metrics.json`` then has an empty
            ``"test"``.

    Returns:
        The model that ``model.safetensors`` holds, with the content of ``metrics.json``.
    """
    result = train_job(job, data, folder, resume=resume, callbacks=callbacks)
    task, model = result.task, result.model
    figures: dict[str, Figures] = {
        "test": _measure_test(task, model, data, folder) if test else {},
        "validation": finite(task.measure(model, "validation")[0]),
    }
    metrics = {
        "data": task.name,
        "model": job.model,
        "seed": job.seed,
        "split": task.split,
        **figures,
        "train_seconds": round(result.seconds, 3),
        "versions": versions(),
    }
    write_json(folder / METRICS, metrics, kind="metrics")
    if not result.curve:  # No epochs, so the stage has written no curve.
        write_json(folder / CURVES, {"rows": []}, kind="curves")
        figure_events(folder, figures)
    _, kept = job.recipe.kept(model, job.parts)
    return dataclasses.replace(result, model=kept, metrics=metrics)


def load_trained(folder: Path) -> tuple[Job, nn.Module]:
    """The job whose files are in ``folder``, and its model.

    Raises:
        FileNotFoundError: there are none, or it is not finished.
        CorruptFileError: a file is damaged, not a training's, or of another version.
    """
    job = load_job(folder)
    if not (folder / MODEL).exists():
        raise FileNotFoundError(
            f"{folder}: {MODEL} is missing; train again with `recops train … --out {folder}`, or "
            "go on from the last checkpoint with --resume"
        )
    return job, load_model(folder / MODEL)


def open_data(job: Job, model: nn.Module | None = None, folder: Path | None = None) -> Data:
    """What ``job.data`` names, as it is now.

    Args:
        job: what is trained, or was.
        model: what it became; streamed examples are read with its vocabularies.
        folder: what its training left: data in which its items, or whatever else it knows by
            number, have other numbers by now are refused
            (:mod:`~recops_models.recipes.catalogue`). None: nothing is compared.

    Raises:
        UnknownDataError: ``job.data`` names nothing.
        DataError: the data is missing, damaged or unfit.
    """
    if job.data_kind == "click":
        fitted = model.schema if isinstance(model, ClickModel) else None
        data = open_events(job.data, fitted=fitted)
    else:
        data = load(job.data)
    if folder is not None:
        data = with_recorded_categories(folder, data)
        check_catalogue(folder, job, data)
    return data


def task_of(job: Job, data: Data, model: nn.Module | None = None) -> AnyTask:
    """Return the task of a job's model, to measure it and to recommend with it.

    Args:
        job: the job.
        data: the data set or the examples; split as in training.
        model: the trained model, whose vocabularies are used; None: new vocabularies.

    Raises:
        ValueError: the data cannot be split.
    """
    task: AnyTask = job.recipe.stages()[-1].task(data, job.parts, job.split, model)
    return task


def _measure_test(task: AnyTask, model: nn.Module, data: Data, folder: Path) -> Figures:
    metrics, predictions = task.measure(model, "test")
    if isinstance(data, Dataset) and (keys := data.text_keys("user")) is not None:
        import pyarrow as pa

        place = data.user_vocabulary.index(predictions["user"].to_numpy(), missing="mark")
        named = keys.take(pa.array(place, mask=place < 0))
        predictions = predictions.append_column("user_key", named)
    write_table(folder / PREDICTIONS, predictions)
    return finite(metrics)


def holds(folder: Path, job: Job) -> bool:
    """Whether the folder has a training of just this job, begun or finished."""
    return (folder / CONFIG).exists() and _parts(load_job(folder)) == _parts(job)


def _refuse_another(job: Job, folder: Path) -> None:
    ours, theirs = _parts(job), _parts(load_job(folder))
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            raise ValueError(
                f"{folder} holds a training with {name} {theirs.get(name)}, not {ours.get(name)}: "
                "leave out --resume to start anew, or name another folder with --out"
            )


def _parts(job: Job) -> Mapping[str, object]:
    return {
        "model": job.model,
        "data": job.data,
        "seed": job.seed,
        "split": job.split,
        **job.parts,
    }
