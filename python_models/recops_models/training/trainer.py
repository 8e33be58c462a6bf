"""Trainer of all models: keeps the best epoch and resumes bit-identically."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import recops
from recops_models.callbacks import Callbacks
from recops_models.process import keep_freed_memory
from recops_models.training.checkpoint import State, load_checkpoint, save_checkpoint
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import LAST, Epoch, best_epoch, is_finished
from recops_models.training.diverged import DivergedError
from recops_models.training.optimizers import (
    check_gradients,
    clip_gradients,
    make_optimizers,
    set_learning_rate,
)
from recops_models.training.step import Step
from recops_models.training.task import BatchT, ModelT, Task

CHECKPOINT = "checkpoint.safetensors"


@recops.flush_subnormals()  # Moments and gradients of rare rows become subnormal.
def fit(
    model: ModelT,
    task: Task[ModelT, BatchT],
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path | None,
    resume: bool = False,
    callbacks: Callbacks | None = None,
) -> list[Epoch]:
    """Train ``model``, and leave it with the weights of its best epoch.

    The training state is saved to ``folder/checkpoint.safetensors`` after every epoch, and every
    ``config.checkpoint_minutes`` within an epoch. Each epoch draws its batches and its dropout from
    its own seed, so a resumed training is bit-identical to an uninterrupted one. Subnormal numbers
    are flushed to zero during training (:func:`recops.flush_subnormals`).

    Args:
        model: the model to train.
        task: batches, loss and validation.
        config: the training settings.
        seed: seed of every random draw. Seed, data and settings determine the result.
        folder: an existing folder; None: no checkpoints.
        resume: continue from the checkpoint in ``folder``, if there is one; otherwise it is
            removed.
        callbacks: receive the share of all epochs that is done, with the ``loss`` of the last step,
            and the metrics of each finished epoch. A resumed training reports its earlier epochs
            again.

    Returns:
        The training curve; :func:`~recops_models.training.curve.best_epoch` gives the epoch whose
        weights the model has.

    Raises:
        ValueError: the loss became NaN or infinite; unknown ``config.select``; empty training part;
            checkpoint of another model.
        CorruptFileError: the checkpoint is damaged.
        KeyboardInterrupt: the training was stopped; the folder has the last checkpoint.
    """
    check_select(task.metrics, config)
    keep_freed_memory()
    callbacks = callbacks or Callbacks()
    path = None if folder is None else folder / CHECKPOINT
    optimizers = make_optimizers(model, config)
    step = Step(model, task)
    if config.compile:
        step.compile(dynamic=True)
    state = State()
    if path is not None and not resume:  # A later resumption must not find an older training.
        path.unlink(missing_ok=True)
    if path is not None and path.exists():
        state = load_checkpoint(path, model, optimizers)
        for epoch in state.curve:
            callbacks.log_metrics(epoch.epoch + 1, epoch.metrics)

    def save() -> None:
        if path is not None:
            save_checkpoint(path, model, optimizers, state)

    while not is_finished(state.curve, config):
        started = time.perf_counter() - state.seconds
        _run_epoch(step, optimizers, task, config, seed, state, save, callbacks)
        if not all(weights.isfinite().all() for weights in model.parameters()):
            raise DivergedError(
                f"training: a weight is not finite after epoch {len(state.curve) + 1}; "
                "lower learning_rate"
            )
        metrics = task.evaluate(model.eval())
        if config.select != LAST and math.isnan(metrics[config.select]):
            raise ValueError(
                f"training: {config.select} of the validation part is undefined, so it cannot "
                "choose the best epoch; name another metric with select"
            )
        seconds = round(time.perf_counter() - started, 3)
        epoch = Epoch(len(state.curve), state.total / state.targets, metrics, seconds)
        state.finish_epoch(epoch)
        if best_epoch(state.curve, config) == epoch.epoch:
            state.best = {key: value.detach().clone() for key, value in model.state_dict().items()}
        save()
        callbacks.log_metrics(epoch.epoch + 1, epoch.metrics)
    model.load_state_dict(state.best)
    model.eval()
    return state.curve


def check_select(metrics: Sequence[str], config: TrainingConfig) -> None:
    """Check that ``config.select`` names one of the validation ``metrics``.

    Raises:
        ValueError: ``config.select`` is unknown.
    """
    if config.select not in (*metrics, LAST):
        raise ValueError(
            f"training: no validation metric {config.select!r}; available: "
            f"{', '.join(metrics)}, and {LAST}"
        )


def _run_epoch(
    step: Step[ModelT, BatchT],
    optimizers: Sequence[Optimizer],
    task: Task[ModelT, BatchT],
    config: TrainingConfig,
    seed: int,
    state: State,
    save: Callable[[], None],
    callbacks: Callbacks,
) -> None:
    """Run the remaining steps of the current epoch and accumulate totals in ``state``."""
    epoch = len(state.curve)
    torch_seed, batches = task.start_epoch(
        step.model, config.batch, seed=seed, epoch=epoch, skip=state.step
    )
    bf16 = torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16")
    before, saved = state.seconds, time.perf_counter()
    started = saved
    step.train()
    clipped = task.clipped(step.model) if config.clip else ()
    with torch.random.fork_rng(devices=[]):
        if state.rng is None:
            torch.manual_seed(torch_seed)
        else:
            torch.set_rng_state(state.rng)
        for share, batch in batches:
            set_learning_rate(optimizers, config, epoch + share)
            with bf16:
                loss, count = step(batch)
            value = loss.item()
            if not math.isfinite(value):
                raise DivergedError(
                    f"training: the loss became {value} in epoch {epoch + 1}; lower learning_rate"
                )
            _learn(clipped, optimizers, loss, config)
            state.step += 1
            state.total += value * int(count)
            state.targets += int(count)
            callbacks.advance((epoch + share) / config.epochs, loss=value)
            now = time.perf_counter()
            if now - saved >= 60 * config.checkpoint_minutes:
                state.seconds, state.rng = before + now - started, torch.get_rng_state()
                save()
                saved = time.perf_counter()
    if not state.targets:
        raise ValueError("training: the training part has no targets")


def _learn(
    clipped: Sequence[nn.Module],
    optimizers: Sequence[Optimizer],
    loss: Tensor,
    config: TrainingConfig,
) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for net in clipped:
        clip_gradients(net.parameters(), config.clip)
    check_gradients(optimizers, config)
    for optimizer in optimizers:
        optimizer.step()
