"""What each stage makes, and the file in which it is kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from recops.files import load_tensors, save_tensors
from recops_models.data.dataset import Dataset
from recops_models.data.splits import Examples
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.ranker import Recommender
from recops_models.quickstart.progress import Progress
from recops_models.quickstart.run_folder import RunFolder
from recops_models.quickstart.settings import Settings
from recops_models.recipes.run import MODEL, train_job
from recops_models.recipes.semantic_ids import SIDS, TOKENIZER, TRIE, VECTORS
from recops_models.recipes.stage import AnyProblem
from recops_models.recipes.watch import Watch
from recops_models.training.curve import Epoch, Fit
from recops_models.training.trainer import CHECKPOINT

TRAINED = ("unirec", "sasrec", "popularity")

OUTPUTS = (
    *(f"unirec/{file}" for file in (VECTORS, TOKENIZER, SIDS, TRIE)),
    *(f"{model}/{file}" for model in ("unirec", "sasrec") for file in (CHECKPOINT, "curves.json")),
    *(f"{model}/{file}" for model in TRAINED for file in ("config.json", MODEL)),
    "test.safetensors",
    "metrics.json",
    "recommendations.json",
    "report.html",
)
"""What a run leaves in its folder, beside config.json, journal.json and TensorBoard events."""


@dataclass(frozen=True)
class Made:
    """A recommender, by what it is measured, and how its training went."""

    model: Recommender
    problem: AnyProblem
    fit: Fit | None


class Stages:
    """The stages of one run; a finished one is loaded rather than made."""

    def __init__(
        self, settings: Settings, folder: RunFolder, progress: Progress, *, resume: bool
    ) -> None:
        self.settings, self.folder = settings, folder
        self.progress, self.resume = progress, resume

    def trained(self, name: str, dataset: Dataset) -> Made:
        """A model by its recipe, in a folder of its own, as ``recops train`` leaves it.

        The trainer's own checkpoint keeps every finished epoch.
        """
        job = self.settings.job(name)
        place = self.folder / name
        place.mkdir(exist_ok=True)
        watch = _StageWatch(self.progress, name, job.epochs)

        def train() -> Made:
            staged = train_job(job, dataset, place, resume=self.resume, watch=watch)
            self.folder.seconds |= watch.seconds
            assert isinstance(staged.model, Recommender)
            return Made(staged.model, staged.problem, staged.fit)

        return self.folder.stage(name, make=train, save=lambda _: None, load=train)

    def test_lists(
        self, models: Mapping[str, Recommender], test: Examples, num_items: int
    ) -> dict[str, Tensor]:
        """Each model's recommendations to the test users: ``[U, k]`` item indices, best first."""
        path: Path = self.folder / "test.safetensors"

        def make() -> dict[str, Tensor]:
            lists = {}
            for number, (name, model) in enumerate(models.items()):
                self.progress.advance(number / len(models), name)
                lists[name] = evaluate(model, test, num_items).items
            return lists

        self.progress.start("test")
        return self.folder.stage(
            "test",
            make=make,
            save=lambda lists: save_tensors(path, lists, kind="test-lists"),
            load=lambda: load_tensors(path, kind="test-lists")[0],
        )


class _StageWatch(Watch):
    """Tells a run's progress of a training, and times what comes before it."""

    def __init__(self, progress: Progress, model: str, epochs: int) -> None:
        self._progress, self._model, self._epochs, self._latest = progress, model, epochs, ""
        self._part, self._started = model, 0.0
        self.seconds: dict[str, float] = {}

    def start(self, part: str) -> None:
        now = time.perf_counter()
        if self._part != self._model:
            self.seconds[self._part] = round(now - self._started, 3)
        self._part, self._started = part, now
        self._progress.start(part)

    def advance(self, share: float, note: str = "") -> None:
        self._progress.advance(share, note)

    def step(self, epoch: int, share: float, loss: float) -> None:
        note = self._latest or f"loss {loss:.2f}"
        self._progress.advance((epoch + share) / self._epochs, note)

    def epoch(self, epoch: Epoch) -> None:
        hit_rate = epoch.validation["hr@10"]
        self._latest = f"epoch {epoch.epoch + 1}, validation HR@10 {hit_rate:.1%}"
