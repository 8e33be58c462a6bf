"""Stages of the quickstart, and the files that they write."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from recops.files import load_tensors, save_tensors
from recops_models.callbacks import Callbacks
from recops_models.data.dataset import Dataset
from recops_models.generative.ranker import Recommender
from recops_models.quickstart.run_folder import RunFolder
from recops_models.quickstart.settings import Settings
from recops_models.recipes.files import MODEL
from recops_models.recipes.run import train_job
from recops_models.recipes.semantic_ids import SID_FILES
from recops_models.recipes.stage import TrainResult
from recops_models.training.ranking_task import RankingTask
from recops_models.training.trainer import CHECKPOINT

TRAINED = ("unirec", "sasrec", "item-knn", "popularity")

OUTPUTS = (
    *(f"unirec/{file}" for file in SID_FILES),
    *(f"{model}/{file}" for model in ("unirec", "sasrec") for file in (CHECKPOINT, "curves.json")),
    *(f"{model}/{file}" for model in TRAINED for file in ("config.json", MODEL)),
    "test.safetensors",
    "metrics.json",
    "recommendations.json",
    "report.html",
)
"""Files of a run, except config.json, journal.json and TensorBoard events."""


class Stages:
    """Stages of one run; the results of finished ones are loaded.

    Args:
        settings: the configuration of the run.
        folder: the folder of the run.
        callbacks: receive the stages and their progress.
        resume: continue trainings from their checkpoints.
        device: where the models run.
    """

    def __init__(
        self,
        settings: Settings,
        folder: RunFolder,
        callbacks: Callbacks,
        *,
        resume: bool,
        device: torch.device,
    ) -> None:
        self.settings, self.folder, self.device = settings, folder, device
        self.callbacks, self.resume = callbacks, resume

    def train(self, name: str, dataset: Dataset) -> TrainResult:
        """Train a model in a folder of its name, with the files of ``recops train``."""
        job = self.settings.job(name)
        path = self.folder / name
        path.mkdir(exist_ok=True)
        timed = _TimedStages(self.callbacks, name)

        def train() -> TrainResult:
            result = train_job(
                job, dataset, path, resume=self.resume, callbacks=timed, device=self.device
            )
            self.folder.seconds |= timed.seconds
            return result

        # A finished training resumes from its last checkpoint and runs no epoch.
        return self.folder.stage(name, make=train, save=lambda _: None, load=train)

    def recommend(self, results: Mapping[str, TrainResult]) -> dict[str, Tensor]:
        """Return each model's recommendations to the test users, best first: ``[U, k]`` items."""
        path: Path = self.folder / "test.safetensors"

        def recommend() -> dict[str, Tensor]:
            lists = {}
            for number, (name, result) in enumerate(results.items()):
                self.callbacks.advance(number / len(results), name)
                assert isinstance(result.model, Recommender)
                assert isinstance(result.task, RankingTask)
                lists[name] = result.task.evaluated(result.model, result.task.test).items
            return lists

        self.callbacks.start("test")
        return self.folder.stage(
            "test",
            make=recommend,
            save=lambda lists: save_tensors(path, lists, kind="test-lists"),
            load=lambda: load_tensors(path, kind="test-lists")[0],
        )


class _TimedStages(Callbacks):
    """Callbacks that forward the stages of one training, and time those before the last.

    Args:
        outer: receive the stages.
        model: name of the recipe and of its last stage.
    """

    def __init__(self, outer: Callbacks, model: str) -> None:
        self._outer, self._model, self._latest = outer, model, ""
        self._stage, self._started = model, 0.0
        self.seconds: dict[str, float] = {}

    def start(self, stage: str, **details: object) -> None:
        now = time.perf_counter()
        if self._stage != self._model:
            self.seconds[self._stage] = round(now - self._started, 3)
        self._stage, self._started, self._latest = stage, now, ""
        self._outer.start(stage, **details)

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        if self._latest:
            self._outer.advance(share, self._latest)
        else:
            self._outer.advance(share, note, **metrics)

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        self._latest = f"epoch {step}, validation HR@10 {metrics['hr@10']:.1%}"
