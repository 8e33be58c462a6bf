"""Training of the Python interface."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from recops_models import workers
from recops_models.api.model import Model
from recops_models.api.temporary_folder import output_folder
from recops_models.callbacks import CallbackList, Callbacks
from recops_models.data.dataset import Dataset, Repeats
from recops_models.data.sets import locate
from recops_models.data.splits import SplitName
from recops_models.data.storage import save_dataset
from recops_models.examples.open_click import open_events
from recops_models.examples.sequence_folder import open_histories
from recops_models.out_folder import TRAINING_KIND, out_folder
from recops_models.recipes.catalogue import repeats_of
from recops_models.recipes.job import OWN_DATA, Job, load_job
from recops_models.recipes.resuming import check_replaceable
from recops_models.recipes.run import run_job
from recops_models.recipes.stage import Data
from recops_models.recipes.start import continued_job
from recops_models.recipes.trained import own_data
from recops_models.training.device import AUTO
from recops_models.training.distributed import join_workers


def train(
    model: str,
    data: Dataset | str | Path,
    settings: Mapping[str, object] | None = None,
    *,
    out: str | Path | None = None,
    device: str = AUTO,
    seed: int = 0,
    split: SplitName | None = None,
    quick: bool = False,
    callbacks: Callbacks | Sequence[Callbacks] = (),
    preset: str | None = None,
    resume: bool = False,
    force: bool = False,
    repeats: Repeats | None = None,
    start: Model | str | Path | None = None,
) -> Model:
    """Train a model, and measure it on validation and test.

    In a program that torchrun has started, all workers call this function with equal arguments, and
    train one model together: the model that one process would train. The first worker writes the
    files and calls the callbacks.

    Args:
        model: name of a model, such as ``"unirec"`` or ``"din"``.
        data: a data set, or the argument of :func:`~recops_models.load_data`; for a click model
            also a folder of examples, and for a ranker a folder of sequences
            (:mod:`recops_models.examples.sequence_folder`), both of which are streamed.
        settings: values by the names of ``recops train --set``, such as ``{"dropout": 0.2}``.
        out: folder for the model's files, created if missing; None: a temporary one that lives as
            long as the model.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"xpu"``.
        seed: of every random draw. Seed, data and settings determine the result.
        split: how the data is split; None: the model's default.
        quick: train for two epochs, to check the pipeline.
        callbacks: receive stages, progress and metrics.
        preset: named settings, such as ``"paper"`` of unirec; ``settings`` override them.
        resume: continue from the last checkpoint in ``out``, also with more ``epochs``.
        force: replace a finished model with other settings in ``out``.
        repeats: ``"keep"`` if lists may contain items of the history, and sampled negatives any
            item but the one of their event; ``"drop"`` if not; None: as the data says.
        start: a trained model, or its folder, to continue on newer ``data`` with its settings;
            ``settings`` may only change those of the training, such as ``epochs``. Known items,
            users and values keep their rows, new ones start from the row of the unknown value.
            Models that count are fitted again.

    Raises:
        ValueError: an unknown model, setting or device; settings that contradict each other; data
            that cannot be split; ``out`` holds another finished model.
        DataError: the data is missing, damaged or unfit.
        KeyboardInterrupt: the training was stopped; ``out`` has the last checkpoint, and from the
            first epoch on the model of the best one.

    Example:
        >>> import recops_models as rm
        >>> log = {"user_id": [], "item_id": [], "timestamp": []}
        >>> for user in range(20):
        ...     for step in range(5):
        ...         log["user_id"].append(f"u-{user}")
        ...         log["item_id"].append((user + step) % 8)
        ...         log["timestamp"].append(step)
        >>> model = rm.train("popularity", rm.Dataset.from_frames(log))
        >>> list(model.recommend(["u-3"], k=2))
        ['user_id', 'rank', 'item_id', 'score']
    """
    name = OWN_DATA if isinstance(data, Dataset) else locate(data)
    if start is not None:
        if preset is not None:
            raise ValueError("train: preset must be None with start, whose settings are used")
        folder = start.folder if isinstance(start, Model) else Path(start)
        job = continued_job(
            folder,
            load_job(folder),
            model,
            name,
            settings or {},
            seed=seed,
            quick=quick,
            split=split,
            repeats=repeats,
        )
    else:
        job = Job.of(
            model,
            name,
            settings or {},
            seed=seed,
            quick=quick,
            split=split,
            preset=preset,
            repeats=repeats,
        )
    if isinstance(callbacks, Sequence):
        callbacks = CallbackList(*callbacks)
    with join_workers(device) as chosen, ExitStack() as lock:
        if out is None and workers.several():
            raise ValueError("train: out must be given with several workers, got None")
        opened = (
            data if isinstance(data, Dataset) else workers.others_after_first(lambda: _open(job))
        )
        job = dataclasses.replace(job, repeats=job.repeats or repeats_of(opened))
        folder, owner = output_folder(out)
        workers.on_first(lambda: lock.enter_context(out_folder(folder, kind=TRAINING_KIND)))
        if not (force or resume):
            workers.on_first(lambda: check_replaceable(folder, job))
        run_job(
            job,
            opened,
            folder,
            resume=resume,
            callbacks=callbacks if workers.is_first() else None,
            device=chosen,
            keep_interrupted=True,
        )
        if isinstance(data, Dataset) and workers.is_first():
            save_dataset(data, own_data(folder))
        workers.any_of(False)  # All files are written when a worker returns.
    return Model(folder, owner, device=chosen)


def _open(job: Job) -> Data:
    return open_events(job.data) if job.data_kind == "click" else open_histories(job.data)
