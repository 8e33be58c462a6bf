"""One training of a recipe: a problem, a new model, its task, its fit."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch import nn

from recops.files import write_json
from recops_models.callbacks import CallbackList, Callbacks
from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.examples.click import ClickData
from recops_models.recipes.parts import Parts, part
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import Epoch, best_epoch, finite
from recops_models.training.problem import Problem
from recops_models.training.task import Task
from recops_models.training.tensorboard import TensorBoard
from recops_models.training.trainer import CHECKPOINT, check_select, fit

CURVES = "curves.json"

Data: TypeAlias = "Dataset | ClickData"

AnyProblem: TypeAlias = Problem[Any]

ProblemT = TypeVar("ProblemT", bound=AnyProblem)
ModelT = TypeVar("ModelT", bound=nn.Module)


@dataclass(frozen=True)
class StageContext:
    """Inputs of a stage; its result depends on nothing else.

    Attributes:
        data: a data set, or examples.
        split: how a data set is cut; None: as is usual for the problem.
        settings: by part.
        seed: of every random draw.
        folder: exists; takes what the stage leaves.
        resume: continue from the files in the folder.
        callbacks: receive stages, progress and metrics.
        earlier: the models of the stages before, by their names.
        start_output: a stage calls it after its checks and before it writes its first file. The
            first call removes the files of an earlier training; later calls do nothing.
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

    def with_sizes(self, name: str) -> StageContext:
        """The same for a net whose sizes are the part ``name``."""
        settings = {**self.settings, "sizes": self.settings[name]}
        return dataclasses.replace(self, settings=settings)


@dataclass(frozen=True)
class TrainResult:
    """Trained model with its problem, training curve and metrics.

    Attributes:
        model: with the weights of its best epoch.
        problem: the data and how the model is measured on it.
        curve: the epochs; empty where nothing learns by gradient.
        best: the epoch whose weights the model has; None where the curve is empty.
        metrics: the content of ``metrics.json``; empty before the model is measured.
    """

    model: nn.Module
    problem: AnyProblem
    curve: Sequence[Epoch] = ()
    best: Epoch | None = None
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Training time in seconds of all epochs, also of those before a resumption."""
        return sum((epoch.seconds for epoch in self.curve), 0.0)


class Stage(ABC, Generic[ProblemT]):
    """What makes a model of data.

    Attributes:
        name: shown as it begins.
        files: names of the files in the stage's folder that a new training removes first. An
            interrupted training would otherwise resume from another model's files. Files that a
            later training may read as its input are left out.
    """

    name: str
    files: tuple[str, ...] = ()

    @abstractmethod
    def problem(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> ProblemT:
        """What the model is trained on and measured by; a trained ``model`` brings vocabularies.

        Raises:
            ValueError: the data cannot be split, or is of the wrong kind.
        """

    def check(self, context: StageContext) -> None:
        """Refuse what no training could be made of, before the first stage begins: what
        :meth:`run` would find out too late, with files written or an earlier stage trained.

        Raises:
            ValueError: data or settings that do not fit.
        """
        return

    def is_enabled(self, parts: Parts) -> bool:
        """Return whether the settings ask for this stage."""
        return True

    @abstractmethod
    def run(self, context: StageContext) -> TrainResult:
        """Make the model.

        Raises:
            ValueError: data that cannot be split, settings that do not fit each other.
            KeyboardInterrupt: handed on; the folder keeps what is finished.
        """


class TrainingStage(Stage[ProblemT], Generic[ProblemT, ModelT]):
    """A stage whose model learns by gradient.

    Attributes:
        part: which part of the settings says how to train.
    """

    part: str = "training"
    files: tuple[str, ...] = (CHECKPOINT,)

    @abstractmethod
    def build(self, problem: ProblemT, context: StageContext) -> ModelT:
        """A new model, whose weights are drawn from torch's generator; it may leave files."""

    @abstractmethod
    def task(self, problem: ProblemT, model: ModelT, batch: int) -> Task[ModelT, Any]:
        """What is learnt, ``batch`` examples a step."""

    def config(self, parts: Parts) -> TrainingConfig:
        """How this stage trains."""
        return part(parts, self.part, TrainingConfig)

    def begin(self, context: StageContext) -> tuple[ProblemT, ModelT]:
        """The problem, and the model before its first step, which the seed determines."""
        problem = self.problem(context.data, context.settings, context.split)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            return problem, self.build(problem, context)

    def run(self, context: StageContext) -> TrainResult:
        """Train; leaves a checkpoint, TensorBoard events and ``curves.json``."""
        problem, model = self.begin(context)
        config = self.config(context.settings)
        task = self.task(problem, model, config.batch)
        check_select(task.metrics, config)
        context.start_output()
        context.callbacks.start(self.name)
        with TensorBoard(context.folder) as events:
            curve = fit(
                model,
                task,
                config,
                seed=context.seed,
                folder=context.folder,
                resume=context.resume,
                callbacks=CallbackList(events, context.callbacks),
            )
        rows = [finite(epoch.row()) for epoch in curve]
        write_json(context.folder / CURVES, {"rows": rows}, kind="curves")
        return TrainResult(model, problem, curve, curve[best_epoch(curve, config)])


AnyStage: TypeAlias = Stage[Any]
