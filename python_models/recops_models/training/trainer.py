"""Trainer of all models: keeps the best epoch and resumes bit-identically."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch
from torch import Tensor
from torch.optim import Optimizer

import recops
from recops_models import workers
from recops_models.callbacks import Callbacks
from recops_models.process import keep_freed_memory
from recops_models.training.checkpoint import State, load_checkpoint, save_checkpoint
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import LAST, Epoch, best_epoch, is_finished
from recops_models.training.device import (
    all_finite,
    autocast,
    device_of,
    fork_generators,
    generator_states,
    resolve_device,
    set_generator_states,
)
from recops_models.training.device_batches import device_batches
from recops_models.training.distributed import (
    StopRequest,
    check_equal,
    seed_step,
    start_equal,
    summed_loss,
)
from recops_models.training.diverged import DivergedError
from recops_models.training.interrupted import TrainingInterrupted
from recops_models.training.losses import EpochLosses
from recops_models.training.optimizers import (
    make_optimizers,
    set_learning_rate,
    update_weights,
)
from recops_models.training.step import Step
from recops_models.training.task import BatchT, ModelT, Task

CHECKPOINT = "checkpoint.safetensors"

_logger = logging.getLogger(__name__)


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
    device: str | torch.device | None = None,
) -> list[Epoch]:
    """Train ``model``, and leave it on the device, with the weights of its best epoch.

    The training state is saved to ``folder/checkpoint.safetensors`` after every epoch, and every
    ``config.checkpoint_minutes`` within an epoch. Each epoch draws its batches and its dropout from
    its own seed, so a resumed training is bit-identical to an uninterrupted one on the same device.
    A checkpoint from another device is continued with other random numbers, after a warning.
    Subnormal numbers are flushed to zero during training (:func:`recops.flush_subnormals`).

    With several workers (:mod:`recops_models.workers`), each computes its share of every batch, and
    all have the same weights after every step. Gradients, losses and metrics are those of one
    worker up to rounding, except for the models' own random draws. The first worker writes the
    checkpoints, from which any number of workers can continue.

    On a CPU the loss is read after every step. On other devices it is read every fifty steps, and
    steps do not wait for the device in between. A loss that diverges is then reported up to
    forty-nine steps later.

    Args:
        model: the model to train.
        task: batches, loss and validation.
        config: the training settings.
        seed: seed of every random draw. Seed, data and settings determine the result.
        folder: an existing folder; None: no checkpoints.
        resume: continue from the checkpoint in ``folder``, if there is one; otherwise it is
            removed.
        callbacks: receive the share of all epochs that is done, with the ``loss`` of the last step,
            after each read of the loss, and the metrics of each finished epoch. A resumed training
            reports its earlier epochs again.
        device: where to train, see :func:`~recops_models.training.device.resolve_device`; None:
            where the model is.

    Returns:
        The training curve; :func:`~recops_models.training.curve.best_epoch` gives the epoch whose
        weights the model has.

    Raises:
        DivergedError: the loss became NaN or infinite in the step that the message names, or a
            weight did.
        ValueError: unknown ``config.select``; empty training part; checkpoint of another model;
            missing device.
        CorruptFileError: the checkpoint is damaged.
        TrainingInterrupted: the training was stopped after an epoch; the model has the weights of
            the best one, and the folder the last checkpoint.
        KeyboardInterrupt: the training was stopped before.
    """
    check_select(task.metrics, config)
    keep_freed_memory()
    callbacks = callbacks or Callbacks()
    path = None if folder is None else folder / CHECKPOINT
    device = device_of(model) if device is None else resolve_device(device)
    model.to(device)
    start_equal(model)
    optimizers = make_optimizers(model, config)
    step = Step(model, task)
    if config.compile:
        step.compile(dynamic=True)
    state = State()
    if path is not None and _has_checkpoint(path, resume=resume):
        state = load_checkpoint(path, model, optimizers)
        for epoch in state.curve:
            callbacks.log_metrics(epoch.epoch + 1, epoch.metrics)

    stop = StopRequest()
    training = _Training(step, task, optimizers, config, seed, path, callbacks, device, state, stop)
    try:
        with stop:
            training.run()
    except KeyboardInterrupt as interrupt:
        if not state.curve:
            raise
        model.load_state_dict(state.best)
        model.eval()
        raise TrainingInterrupted from interrupt
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


@dataclass
class _Training(Generic[ModelT, BatchT]):
    """Training in progress; see :func:`fit` for the attributes."""

    step: Step[ModelT, BatchT]
    task: Task[ModelT, BatchT]
    optimizers: Sequence[Optimizer]
    config: TrainingConfig
    seed: int
    path: Path | None
    callbacks: Callbacks
    device: torch.device
    state: State
    stop: StopRequest

    def run(self) -> None:
        """Run the remaining epochs.

        Raises:
            KeyboardInterrupt: a stop was requested.
        """
        model, config, state = self.step.model, self.config, self.state
        while not is_finished(state.curve, config):
            started = time.perf_counter() - state.seconds
            self._run_epoch()
            if not all_finite(model.parameters()):
                raise DivergedError(
                    f"training: a weight is not finite after epoch {len(state.curve) + 1}; "
                    "lower learning_rate"
                )
            check_equal(model)
            metrics = self.task.evaluate(model.eval())
            if config.select != LAST and math.isnan(metrics[config.select]):
                raise ValueError(
                    f"training: {config.select} of the validation part is undefined, so it cannot "
                    "choose the best epoch; name another metric with select"
                )
            seconds = round(time.perf_counter() - started, 3)
            epoch = Epoch(len(state.curve), state.total / state.targets, metrics, seconds)
            state.finish_epoch(epoch)
            if best_epoch(state.curve, config) == epoch.epoch:
                weights = model.state_dict()
                state.best = {key: value.detach().clone() for key, value in weights.items()}
            self._save()
            with self.stop.collected():
                self.callbacks.log_metrics(epoch.epoch + 1, epoch.metrics)
            self.stop.check()

    def _run_epoch(self) -> None:
        """Run the remaining steps of the current epoch and accumulate totals in ``state``."""
        step, config, state, device = self.step, self.config, self.state, self.device
        epoch, first = len(state.curve), state.step
        torch_seed, batches = self.task.start_epoch(
            step.model, config.batch, seed=self.seed, epoch=epoch, skip=first
        )
        losses = EpochLosses(state, device)
        before, saved = state.seconds, time.perf_counter()
        started = saved
        step.train()
        clipped = self.task.clipped(step.model) if config.clip else ()
        precision = autocast(device, config.precision)
        with fork_generators(device, torch_seed):
            if state.rng and not workers.several():
                _restore_generators(device, state.rng)
            for number, (share, batch) in enumerate(device_batches(batches, device), first):
                set_learning_rate(self.optimizers, config, epoch + share)
                seed_step(torch_seed, number)
                with precision:
                    loss, count = step(batch)
                was_read = losses.add(*summed_loss(loss, count))
                update_weights(loss, self.optimizers, clipped, config)
                now = time.perf_counter()
                is_save_due = now - saved >= 60 * config.checkpoint_minutes
                is_save_due, is_stopping = workers.any_of(is_save_due, self.stop.is_requested)
                if is_save_due:
                    was_read = losses.read() or was_read
                if was_read:
                    with self.stop.collected():
                        self.callbacks.advance((epoch + share) / config.epochs, loss=losses.last)
                if is_save_due:
                    state.seconds, state.rng = before + now - started, _rng(device)
                    self._save()
                    saved = time.perf_counter()
                if is_stopping:
                    raise KeyboardInterrupt
            losses.read()
        if not state.targets:
            raise ValueError("training: the training part has no targets")

    def _save(self) -> None:
        """Write the checkpoint, on the first worker."""
        if self.path is not None and workers.is_first():
            save_checkpoint(self.path, self.step.model, self.optimizers, self.state)


def _has_checkpoint(path: Path, *, resume: bool) -> bool:
    """Return whether there is a checkpoint to continue; without ``resume``, remove it."""

    def exists() -> bool:
        if not resume:  # A later resumption must not find an older training.
            path.unlink(missing_ok=True)
        return path.exists()

    return workers.on_first(exists)


def _rng(device: torch.device) -> dict[str, Tensor]:
    """Return the states of generators; none if each step has its own seed."""
    return {} if workers.several() else generator_states(device)


def _restore_generators(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Restore the generators of a checkpoint; warn if it is of another device."""
    if states.keys() != generator_states(device).keys():
        _logger.warning(
            "the checkpoint was written on %s: on %s the remaining steps of the epoch draw other "
            "random numbers than an uninterrupted training",
            " and ".join(states),
            device.type,
        )
    set_generator_states(device, states)
