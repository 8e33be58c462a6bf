"""What each stage makes, and the file in which it is kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from recops.files import load_tensors, save_tensors
from recops_models.callbacks import Callbacks
from recops_models.data.dataset import Dataset
from recops_models.data.splits import Examples
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.ranker import Recommender
from recops_models.quickstart.run_folder import RunFolder
from recops_models.quickstart.settings import Settings
from recops_models.recipes.run import MODEL, train_job
from recops_models.recipes.semantic_ids import SIDS, TOKENIZER, TRIE, VECTORS
from recops_models.recipes.stage import TrainResult
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


class Stages:
    """The stages of one run; a finished one is loaded rather than made."""

    def __init__(
        self, settings: Settings, folder: RunFolder, callbacks: Callbacks, *, resume: bool
    ) -> None:
        self.settings, self.folder = settings, folder
        self.callbacks, self.resume = callbacks, resume

    def trained(self, name: str, dataset: Dataset) -> TrainResult:
        """A model by its recipe, in a folder of its own, as ``recops train`` leaves it.

        The trainer's own checkpoint keeps every finished epoch.
        """
        job = self.settings.job(name)
        place = self.folder / name
        place.mkdir(exist_ok=True)
        timed = _TimedStages(self.callbacks, name)

        def train() -> TrainResult:
            result = train_job(job, dataset, place, resume=self.resume, callbacks=timed)
            self.folder.seconds |= timed.seconds
            return result

        return self.folder.stage(name, make=train, save=lambda _: None, load=train)

    def test_lists(
        self, results: Mapping[str, TrainResult], test: Examples, num_items: int
    ) -> dict[str, Tensor]:
        """Each model's recommendations to the test users: ``[U, k]`` item indices, best first."""
        path: Path = self.folder / "test.safetensors"

        def make() -> dict[str, Tensor]:
            lists = {}
            for number, (name, result) in enumerate(results.items()):
                self.callbacks.advance(number / len(results), name)
                assert isinstance(result.model, Recommender)
                lists[name] = evaluate(result.model, test, num_items).items
            return lists

        self.callbacks.start("test")
        return self.folder.stage(
            "test",
            make=make,
            save=lambda lists: save_tensors(path, lists, kind="test-lists"),
            load=lambda: load_tensors(path, kind="test-lists")[0],
        )


class _TimedStages(Callbacks):
    """Callbacks that pass the stages of one training on, and time those before the last.

    Args:
        outer: receive the stages.
        model: the recipe's name, which its last stage has too.
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
