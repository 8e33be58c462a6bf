"""One training, from a data set to a folder from which to evaluate and recommend."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from recops.files import read_json, write_json
from recops_models.data import Dataset
from recops_models.data.splits import SplitName
from recops_models.examples.click import ClickData
from recops_models.models import MODELS, SidConfig, parts_of
from recops_models.saved import load_model, save_model
from recops_models.settings import changed, from_json
from recops_models.training.click_problem import ExampleConfig
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import Epoch, Fit
from recops_models.training.events import epoch_events
from recops_models.training.problem import Problem
from recops_models.training.trainer import fit
from recops_models.versions import versions

_CONFIG = "training-config"


@dataclass(frozen=True)
class Job:
    """What to train; the outcome depends on nothing else.

    Attributes:
        model: one of :data:`recops_models.models.MODELS`.
        data: a named data set, or a folder.
        seed: of every random draw.
        sizes: of the model; None for popularity.
        training: how to train; None for popularity.
        sids: UniRec's semantic IDs; None for the others.
        examples: of click models; None for the others.
        split: how the data is cut; None: see :func:`recops_models.data.named_split`.
        light: the sizes of a rocket's light net; None for the others.
        booster: those of its booster; None where it has none.
    """

    model: str
    data: str
    seed: int = 0
    sizes: Any = None
    training: TrainingConfig | None = None
    sids: SidConfig | None = None
    examples: ExampleConfig | None = None
    split: SplitName | None = None
    light: Any = None
    booster: Any = None

    @classmethod
    def of(
        cls,
        model: str,
        data: str,
        settings: Mapping[str, str],
        *,
        seed: int,
        quick: bool,
        split: SplitName | None = None,
    ) -> Job:
        """A job with the defaults of its model, changed by ``settings``; ``quick``: two epochs.

        Raises:
            ValueError: an unknown model or setting, or a value that is none.
        """
        if model not in MODELS:
            raise ValueError(f"no model {model!r}; there are {', '.join(MODELS)}")
        parts = parts_of(model, settings)
        if quick and "training" in parts:
            parts["training"] = dataclasses.replace(parts["training"], epochs=2)
        known = _setting_names(parts)
        for name, text in settings.items():
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise ValueError(f"{model} has no setting {name!r}; there are: {there}")
            part = known[name]
            parts[part] = changed(parts[part], name.removeprefix(f"{part}."), text)
        return cls(model, data, seed, split=split, **parts)

    def config(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    def problem(self, data: Dataset | ClickData, model: Any = None) -> Problem:
        """``data`` as this job's model is asked about it; a trained ``model`` brings its
        vocabularies.

        Raises:
            ValueError: the data cannot be split.
        """
        return MODELS[self.model].problem(data, self, model)


def _setting_names(parts: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a job, each with the part it is of; those of a rocket's nets are dotted."""
    known = {
        f"{key}.{f.name}" if key in ("light", "booster") else f.name: key
        for key, part in parts.items()
        for f in dataclasses.fields(part)
    }
    known.pop("attributes", None)  # The data says how many there are.
    return known


@dataclass(frozen=True)
class Trained:
    """A trained model, what it reached, and what to tell of the data it was trained on."""

    model: Any
    metrics: dict[str, Any]
    notes: tuple[str, ...] = ()
    curve: list[Epoch] = field(default_factory=list)


def run_job(
    job: Job,
    data: Dataset | ClickData,
    folder: Path,
    *,
    resume: bool = False,
    test: bool = True,
    on_step: Callable[[int, float, float], None] = lambda *_: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Trained:
    """Train, choose the epoch on validation, measure once on test, leave everything in ``folder``.

    Leaves ``config.json``, ``model.safetensors``, ``metrics.json``, ``curves.json``, TensorBoard
    events and ``predictions.parquet``, and for UniRec ``tokenizer.safetensors``, ``sids.parquet``
    and ``trie.safetensors``.

    Args:
        job: what.
        data: what ``job.data`` names; or, for a click model, examples made by hand.
        folder: exists.
        resume: go on from the folder's checkpoint.
        test: False leaves the test part alone, as tuning must; ``metrics.json`` then has an empty
            ``"test"``.
        on_step: progress: the epoch, the share of it that is done, the loss.
        on_epoch: told of each finished epoch.

    Raises:
        ValueError: ``resume`` with another job than the folder's; data that cannot be split.
        KeyboardInterrupt: handed on; the folder keeps the last checkpoint.
    """
    problem = job.problem(data)
    if resume and (folder / "config.json").exists():
        _refuse_another(job, folder)
    _write_job(folder, job)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        model = MODELS[job.model].build(problem, job, folder)
    done: Fit | None = None
    if job.training is not None:
        with epoch_events(folder) as write:

            def tell(epoch: Epoch) -> None:
                write(epoch)
                on_epoch(epoch)

            done = fit(
                model,
                problem.task(job.training.batch, model),
                job.training,
                seed=job.seed,
                folder=folder,
                resume=resume,
                on_step=on_step,
                on_epoch=tell,
            )
        rows = [_finite(epoch.row()) for epoch in done.curve]
        write_json(folder / "curves.json", {"rows": rows}, kind="curves")
    kept = MODELS[job.model].export(model)
    save_trained(folder, job, kept)
    metrics = {
        "data": problem.name,
        "model": job.model,
        "seed": job.seed,
        "split": problem.split,
        "test": _measure_test(problem, model, folder) if test else {},
        "validation": _finite(problem.measure(model, "validation").metrics),
        "train_seconds": 0.0 if done is None else round(done.seconds, 3),
        "versions": versions(),
    }
    write_json(folder / "metrics.json", metrics, kind="metrics")
    return Trained(kept, metrics, problem.notes, [] if done is None else done.curve)


def _measure_test(problem: Problem, model: Any, folder: Path) -> dict[str, float | None]:
    from recops_models.data.storage import write_table

    metrics, predictions = problem.measure(model, "test")
    write_table(folder / "predictions.parquet", predictions)
    return _finite(metrics)


def _finite(row: Mapping[str, float]) -> dict[str, float | None]:
    """JSON knows no NaN: what is not defined is null."""
    return {name: None if math.isnan(value) else value for name, value in row.items()}


def save_trained(folder: Path, job: Job, model: Any) -> None:
    """Leave in ``folder`` what :func:`load_trained` reads."""
    _write_job(folder, job)
    save_model(folder / "model.safetensors", model)


def _write_job(folder: Path, job: Job) -> None:
    write_json(folder / "config.json", job.config(), kind=_CONFIG)


def load_trained(folder: Path) -> tuple[Job, Any]:
    """The job whose files are in ``folder``, and its model.

    Raises:
        FileNotFoundError: there are none, or it is not finished.
        CorruptFileError: a file is damaged, or not a training's.
    """
    return load_job(folder), load_model(folder / "model.safetensors")


def load_job(folder: Path) -> Job:
    """The job whose files are in ``folder``.

    Raises:
        FileNotFoundError: there are none.
        CorruptFileError: ``config.json`` is damaged, or not a training's.
    """
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"{folder} holds no training: `recops train … --out {folder}`")
    found = read_json(folder / "config.json", kind=_CONFIG)
    for key, default in parts_of(found["model"], found.get("sizes") or {}).items():
        found[key] = from_json(type(default), found[key])
    return Job(**found)


def _refuse_another(job: Job, folder: Path) -> None:
    found = load_job(folder)
    for entry in dataclasses.fields(Job):
        ours, theirs = getattr(job, entry.name), getattr(found, entry.name)
        if ours != theirs:
            raise ValueError(
                f"{folder} holds a training with {entry.name} {theirs}, not {ours}: "
                "leave out --resume to start anew, or name another folder with --out"
            )
