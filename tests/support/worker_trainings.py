"""Trainings and sums that one worker or several compute, with results as JSON."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from callback_doubles import Interrupt, LoggedSteps
from jobs import job_of
from recops_models import workers
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.sequence_folder import open_histories
from recops_models.recipes.stage import StageContext, TrainingStage
from recops_models.training.distributed import join_workers
from recops_models.training.gradients import sum_gradients
from recops_models.training.interrupted import TrainingInterrupted
from recops_models.training.task import Task
from recops_models.training.trainer import fit
from synthetic_histories import ring_dataset

EXAMPLES = 1003


def train(
    name: str, settings: Mapping[str, str], interrupt: bool = False, folder: str | None = None
) -> dict[str, Any]:
    """Train the last stage of a model.

    Args:
        name: name of the model.
        settings: texts of its settings.
        interrupt: callbacks stop the first worker in its second epoch.
        folder: folder of sequences; None: the ring.

    Returns:
        "gradients" of the first step, the final "weights", and the "curve".
    """
    torch.set_num_threads(1)
    job = job_of(name, "", settings, seed=0, quick=False)
    stage = job.recipe.stages()[-1]
    assert isinstance(stage, TrainingStage)
    with join_workers("cpu") as device:
        data = ring_dataset(users=30) if folder is None else open_histories(folder)
        context = StageContext(data, None, job.parts, 0, Path(), device=device)
        task, model = stage.begin(context)
        config = stage.config(job.parts)
        gradients = _first_gradients(task, model, config.batch)
        callbacks = Interrupt(after=0.6) if interrupt and workers.is_first() else None
        try:
            curve = fit(model, task, config, seed=3, folder=None, callbacks=callbacks)
        except TrainingInterrupted:
            curve = []
    return {
        "gradients": gradients,
        "weights": {key: value.tolist() for key, value in model.state_dict().items()},
        "curve": [{**epoch.row(), "seconds": 0.0} for epoch in curve],
    }


def _first_gradients(task: Task[Any, Any], model: nn.Module, size: int) -> dict[str, Any]:
    """Return the gradients of the first batch, summed over workers, and clear them."""
    buffers = copy.deepcopy(dict(model.named_buffers()))
    _, batches = task.start_epoch(model, size, seed=3, epoch=0, skip=0)
    _, batch = next(batches)
    loss, _ = task.loss(model.train(), batch)
    loss.backward()
    sum_gradients(list(model.parameters()))
    gradients = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            gradients[name] = parameter.grad.to_dense().tolist()
    model.zero_grad()
    model.load_state_dict(buffers, strict=False)
    return gradients


def click_metrics(examples: int) -> dict[str, float]:
    """Return the metrics of random scores with ties, of which each worker has a share."""
    rng = np.random.default_rng(5)
    score = rng.normal(size=examples).round(1).astype(np.float32)
    label, group = rng.random(examples) < 0.3, rng.integers(40, size=examples)
    known = rng.random(examples) < 0.8
    with join_workers("cpu"):
        part = workers.share().of(np.arange(examples))
        metrics = ClickMetrics()
        columns = (score[part], label[part].astype(np.float32), group[part], known[part])
        metrics.update(*map(torch.from_numpy, columns))
        return metrics.compute()


def gradients() -> list[Any]:
    """Return summed gradients: dense ones, sparse ones, both, absent ones, and a large one."""
    with join_workers("cpu"):
        rank = workers.share().rank
        parameters = [nn.Parameter(torch.zeros(4, 2)) for _ in range(5)]
        parameters.append(nn.Parameter(torch.zeros(1 << 20, 2)))
        dense = torch.arange(8.0).view(4, 2) + rank
        rows = torch.tensor([[rank, 3, 3]])
        sparse = torch.sparse_coo_tensor(rows, torch.ones(3, 2), (4, 2), check_invariants=True)
        parameters[0].grad = dense
        parameters[1].grad = sparse
        parameters[2].grad = sparse if rank else dense.clone()
        parameters[3].grad = dense.clone() if rank else None
        parameters[5].grad = torch.ones(1 << 20, 2)
        sum_gradients(parameters)
        results: list[Any] = []
        for parameter in parameters[:5]:
            gradient = parameter.grad
            if gradient is None:
                results.append(None)
            elif gradient.is_sparse:
                results.append([gradient.indices()[0].tolist(), gradient.values().tolist()])
            else:
                results.append(gradient.tolist())
        assert parameters[5].grad is not None
        return [*results, parameters[5].grad.unique().tolist()]


def errors() -> list[Any]:
    """Return what each worker gets from work of the first worker that succeeds, and fails."""
    calls: list[int] = []

    def call() -> list[int]:
        calls.append(workers.share().size)
        return calls

    def fail() -> None:
        raise FileNotFoundError("no such file")

    with join_workers("cpu"):
        result = workers.on_first(call)
        own_calls = len(calls)
        try:
            workers.on_first(fail)
        except FileNotFoundError as error:
            return [result, own_calls, str(error), workers.is_copy(error)]
    return []


def train_in_python(out: str) -> dict[str, Any]:
    """Train by the Python interface; return the metrics on test, and who got the callbacks."""
    import recops_models as rm

    torch.set_num_threads(1)
    logged = LoggedSteps()
    settings = {"dropout": 0, "epochs": 2, "batch": 37, "width": 4, "hidden": (8,)}
    model = rm.train("sum-pool", ring_dataset(users=30), settings, out=out, callbacks=logged)
    return {"test": model.metrics["test"], "steps": logged.steps, "users": len(model.data.users)}
