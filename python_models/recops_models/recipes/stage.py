"""One training of a recipe: a problem, a new model, its task, its fit."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch import nn

from recops.files import write_json
from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.examples.click import ClickData
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.watch import Watch
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import Epoch, Fit, finite
from recops_models.training.problem import Problem
from recops_models.training.task import Task
from recops_models.training.tensorboard import epoch_events
from recops_models.training.trainer import CHECKPOINT, check_select, fit

CURVES = "curves.json"

Data: TypeAlias = "Dataset | ClickData"

AnyProblem: TypeAlias = Problem[Any]

ProblemT = TypeVar("ProblemT", bound=AnyProblem)
ModelT = TypeVar("ModelT", bound=nn.Module)


@dataclass(frozen=True)
class Order:
    """What a stage is asked for; what it makes depends on nothing else.

    Attributes:
        data: a data set, or examples.
        split: how a data set is cut; None: as is usual for the problem.
        parts: the settings.
        seed: of every random draw.
        folder: exists; takes what the stage leaves.
        resume: go on from what is in the folder.
        watch: is told of everything.
        earlier: the models of the stages before, by their names.
        begun: called once data and settings have been found fit, before the first file is written;
            every later call does nothing.
    """

    data: Data
    split: SplitName | None
    parts: Parts
    seed: int
    folder: Path
    resume: bool = False
    watch: Watch = field(default_factory=Watch)
    earlier: Mapping[str, nn.Module] = field(default_factory=dict)
    begun: Callable[[], None] = lambda: None

    def with_sizes(self, name: str) -> Order:
        """The same for a net whose sizes are the part ``name``."""
        return dataclasses.replace(self, parts={**self.parts, "sizes": self.parts[name]})


@dataclass(frozen=True)
class Staged:
    """What a stage made: the model, by what it is measured, and how its training went."""

    model: nn.Module
    problem: AnyProblem
    fit: Fit | None


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

    def check(self, order: Order) -> None:
        """Refuse what no training could be made of, before the first stage begins: what
        :meth:`run` would find out too late, with files written or an earlier stage trained.

        Raises:
            ValueError: data or settings that do not fit.
        """
        return

    def wanted(self, parts: Parts) -> bool:
        """Whether the settings ask for this stage; a recipe may have stages that they leave out."""
        return True

    def epochs(self, parts: Parts) -> int:
        """How many there are at most; 0 where nothing learns by gradient."""
        return 0

    @abstractmethod
    def run(self, order: Order) -> Staged:
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
    files = (CHECKPOINT,)

    @abstractmethod
    def build(self, problem: ProblemT, order: Order) -> ModelT:
        """A new model, whose weights are drawn from torch's generator; it may leave files."""

    @abstractmethod
    def task(self, problem: ProblemT, model: ModelT, batch: int) -> Task[ModelT, Any]:
        """What is learnt, ``batch`` examples a step."""

    def config(self, parts: Parts) -> TrainingConfig:
        """How this stage trains."""
        return part(parts, self.part, TrainingConfig)

    def epochs(self, parts: Parts) -> int:
        """See :meth:`Stage.epochs`."""
        return self.config(parts).epochs

    def begin(self, order: Order) -> tuple[ProblemT, ModelT]:
        """The problem, and the model before its first step, which the seed determines."""
        problem = self.problem(order.data, order.parts, order.split)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(order.seed)
            return problem, self.build(problem, order)

    def run(self, order: Order) -> Staged:
        """Train; leaves a checkpoint, TensorBoard events and ``curves.json``."""
        problem, model = self.begin(order)
        config = self.config(order.parts)
        task = self.task(problem, model, config.batch)
        check_select(task.metrics, config)
        order.begun()
        order.watch.start(self.name)
        with epoch_events(order.folder) as write:

            def on_epoch(epoch: Epoch) -> None:
                write(epoch)
                order.watch.epoch(epoch)

            done = fit(
                model,
                task,
                config,
                seed=order.seed,
                folder=order.folder,
                resume=order.resume,
                on_step=order.watch.step,
                on_epoch=on_epoch,
            )
        rows = [finite(epoch.row()) for epoch in done.curve]
        write_json(order.folder / CURVES, {"rows": rows}, kind="curves")
        return Staged(model, problem, done)


AnyStage: TypeAlias = Stage[Any]
