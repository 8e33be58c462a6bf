"""Stages of a recipe: the task, the model and its training."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch import nn

from recops.files import write_json
from recops_models import workers
from recops_models.callbacks import CallbackList, Callbacks
from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.examples.click import ClickData
from recops_models.recipes.earlier import EarlierTraining
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.summary import training_summary
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import Epoch, best_epoch, finite
from recops_models.training.device import fork_generators, resolve_device
from recops_models.training.interrupted import TrainingInterrupted
from recops_models.training.task import AnyTask, ModelT
from recops_models.training.tensorboard import TensorBoard
from recops_models.training.time_estimate import TimeEstimate
from recops_models.training.trainer import CHECKPOINT, check_select, fit

CURVES = "curves.json"

Data: TypeAlias = "Dataset | ClickData"

TaskT = TypeVar("TaskT", bound=AnyTask)


@dataclass(frozen=True)
class StageContext:
    """Inputs of a stage; its result depends on nothing else.

    Attributes:
        data: a data set, or examples.
        split: how a data set is split; None: the task's default.
        settings: settings by part of the job.
        seed: seed of every random draw.
        folder: existing folder for the stage's files. Only the first worker writes to it, see
            :mod:`recops_models.workers`.
        resume: continue from the files in the folder.
        callbacks: receive stages, progress and metrics.
        earlier: models of the earlier stages, by stage name.
        start_output: a stage calls it after its checks and before it writes its first file. The
            first call removes the files of an earlier training; later calls do nothing.
        save_interrupted: receives the model of the best epoch if the training of the last stage is
            interrupted.
        start: the earlier training that this one continues; None: weights are drawn.
        device: where the stage trains; the job chooses it once for all stages.
    """

    data: Data
    split: SplitName | None
    settings: Parts
    seed: int
    folder: Path
    resume: bool = False
    callbacks: Callbacks = field(default_factory=Callbacks)
    earlier: Mapping[str, nn.Module] = field(default_factory=dict)
    start_output: Callable[[], None] = lambda: None
    device: torch.device = field(default_factory=resolve_device)
    save_interrupted: Callable[[nn.Module], None] = lambda model: None
    start: EarlierTraining | None = None

    def with_sizes(self, name: str) -> StageContext:
        """Return the context of a net whose sizes are the part ``name`` of the settings."""
        settings = {**self.settings, "sizes": self.settings[name]}
        return dataclasses.replace(self, settings=settings)


@dataclass(frozen=True)
class TrainResult:
    """Trained model with its task, training curve and metrics.

    Attributes:
        model: with the weights of its best epoch.
        task: the data, and the evaluation of the model.
        curve: the epochs; empty if the model is not trained by gradient.
        best: the epoch whose weights the model has; None if the curve is empty.
        metrics: the content of ``metrics.json``; empty before the model is measured.
    """

    model: nn.Module
    task: AnyTask
    curve: Sequence[Epoch] = ()
    best: Epoch | None = None
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Training time in seconds of all epochs, also of those before a resumption."""
        return sum((epoch.seconds for epoch in self.curve), 0.0)


class Stage(ABC, Generic[TaskT]):
    """Step of a recipe that builds one model from data.

    Attributes:
        name: display name; also the stage's folder and its key in ``StageContext.earlier``.
        continues: whether the stage also runs when an earlier training is continued.
        files: names of the files in the stage's folder that a new training removes first. An
            interrupted training would otherwise resume from another model's files. Files that a
            later training may read as its input are left out.
    """

    name: str
    continues: bool = True
    files: tuple[str, ...] = ()

    @abstractmethod
    def task(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> TaskT:
        """Return the task of the stage's model.

        Args:
            data: a data set, or examples.
            parts: the settings.
            split: how a data set is split; None: the task's default.
            model: a trained model, whose vocabularies are used; None: new vocabularies.

        Raises:
            ValueError: ``data`` has the wrong kind, or cannot be split.
        """

    def check(self, context: StageContext) -> None:
        """Refuse inputs that :meth:`run` cannot use.

        All stages are checked before the first one runs, so that a refusal costs no training and
        no files.

        Raises:
            ValueError: data or settings that do not fit.
        """
        return

    def is_enabled(self, parts: Parts) -> bool:
        """Return whether the settings ask for this stage."""
        return True

    @abstractmethod
    def run(self, context: StageContext) -> TrainResult:
        """Build and train the model.

        Raises:
            ValueError: the data cannot be split, or settings contradict each other.
            KeyboardInterrupt: the training was stopped; the folder has the last checkpoint.
        """


class TrainingStage(Stage[TaskT], Generic[TaskT, ModelT]):
    """Stage that trains a model by gradient.

    Attributes:
        part: name of the part of the settings with the training configuration.
    """

    part: str = "training"
    files: tuple[str, ...] = (CHECKPOINT,)

    @abstractmethod
    def build(self, task: TaskT, context: StageContext) -> ModelT:
        """Return a new model, with weights from torch's generator; may write files."""

    def trained(self, model: ModelT, context: StageContext) -> nn.Module:
        """Return the stage's result for a trained model; the model itself by default."""
        return model

    def config(self, parts: Parts) -> TrainingConfig:
        """Return the training configuration of this stage."""
        return part(parts, self.part, TrainingConfig)

    def begin(self, context: StageContext) -> tuple[TaskT, ModelT]:
        """Return the task and the untrained model, which the seed determines."""
        task = self.task(context.data, context.settings, context.split)
        with fork_generators(context.device, context.seed):
            return task, self.build(task, context)

    def run(self, context: StageContext) -> TrainResult:
        """See :meth:`Stage.run`; write a checkpoint, TensorBoard events and ``curves.json``."""
        task, model = self.begin(context)
        config = self.config(context.settings)
        check_select(task.metrics, config)
        context.start_output()
        context.callbacks.start(self.name)
        context.callbacks.log_message(training_summary(self.name, task, model))
        estimate = TimeEstimate(context.callbacks.log_message)
        with _metrics_writer(context.folder) as events:
            try:
                curve = fit(
                    model,
                    task,
                    config,
                    seed=context.seed,
                    folder=context.folder,
                    resume=context.resume,
                    callbacks=CallbackList(events, estimate, context.callbacks),
                    device=context.device,
                )
            except TrainingInterrupted:
                context.save_interrupted(self.trained(model, context))
                raise
        rows = [finite(epoch.row()) for epoch in curve]
        if workers.is_first():
            write_json(context.folder / CURVES, {"rows": rows}, kind="curves")
        best = curve[best_epoch(curve, config)]
        return TrainResult(self.trained(model, context), task, curve, best)


def _metrics_writer(folder: Path) -> AbstractContextManager[Callbacks]:
    """Return callbacks that write TensorBoard events on the first worker, in a context."""
    return TensorBoard(folder) if workers.is_first() else nullcontext(Callbacks())


AnyStage: TypeAlias = Stage[Any]
