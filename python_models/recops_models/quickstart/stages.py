"""What each stage makes, and the file in which it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

import recops
from recops.files import load_tensors, save_tensors
from recops_models.data import Dataset, Examples, Histories
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.recommender import Recommender
from recops_models.generative.sasrec import SASRec
from recops_models.generative.unirec import UniRec
from recops_models.item_vectors import (
    ItemVectors,
    build_item_vectors,
    load_item_vectors,
    read_item_vectors,
    write_item_vectors,
)
from recops_models.quickstart.progress import Progress
from recops_models.quickstart.run_folder import RunFolder
from recops_models.quickstart.settings import Settings
from recops_models.tokenizers import RQKMeans, Sids, load_sids, save_sids
from recops_models.training import Epoch, Fit, fit
from recops_models.training.job import save_trained
from recops_models.training.next_item import NextItem

OUTPUTS = (
    "item_vectors.safetensors",
    "tokenizer.safetensors",
    "sids.parquet",
    "trie.safetensors",
    *(
        f"{model}/{file}"
        for model in ("unirec", "sasrec")
        for file in ("config.json", "checkpoint.safetensors", "model.safetensors")
    ),
    "test.safetensors",
    "metrics.json",
    "recommendations.json",
    "report.html",
)
"""What a run leaves in its folder, beside config.json and journal.json."""


class Stages:
    """The stages of one run; a finished one is loaded rather than made."""

    def __init__(
        self, settings: Settings, folder: RunFolder, progress: Progress, *, resume: bool
    ) -> None:
        self.settings, self.folder = settings, folder
        self.progress, self.resume = progress, resume

    def item_vectors(self, dataset: Dataset, train: pa.Table) -> ItemVectors:
        """The user's own vectors, else from text, attributes and the training events."""
        path = self.folder / "item_vectors.safetensors"
        settings = self.settings

        def make() -> ItemVectors:
            if settings.vectors is not None:
                return load_item_vectors(Path(settings.vectors), dataset.item_vocabulary.ids)
            return build_item_vectors(
                dataset, train, text_encoder=settings.text_encoder, seed=settings.seed
            )

        self.progress.start("item vectors")
        return self.folder.stage(
            "item vectors",
            make=make,
            save=lambda made: write_item_vectors(path, made),
            load=lambda: read_item_vectors(path),
        )

    def semantic_ids(self, items: ItemVectors) -> tuple[RQKMeans, Sids]:
        """The tokenizer, and every item's codes."""
        tokenizer_path, sids_path = (
            self.folder / "tokenizer.safetensors",
            self.folder / "sids.parquet",
        )
        settings = self.settings

        def make() -> tuple[RQKMeans, Sids]:
            tokenizer = RQKMeans(settings.levels, min(settings.codes, len(items)))

            def show(stage: str, done: float, error: float) -> None:
                share = (tokenizer.stages.index(stage) + done) / len(tokenizer.stages)
                self.progress.advance(share, f"{stage}, error {error:.4f}")

            points = torch.from_numpy(items.vectors)
            ids = torch.from_numpy(items.item_ids)
            tokenizer.fit(points, ids, seed=settings.seed, progress=show)
            return tokenizer, Sids(items.item_ids, tokenizer.encode(points).numpy())

        def save(made: tuple[RQKMeans, Sids]) -> None:
            made[0].save(tokenizer_path)
            save_sids(sids_path, made[1])

        def load() -> tuple[RQKMeans, Sids]:
            return RQKMeans.load(tokenizer_path), load_sids(sids_path)

        self.progress.start("semantic IDs")
        return self.folder.stage("semantic IDs", make=make, save=save, load=load)

    def trie(self, paths: Tensor, item_ids: Tensor, vocab_sizes: Sequence[int]) -> recops.SidTrie:
        """The trie of all paths, whose leaves are the items."""
        path = self.folder / "trie.safetensors"
        self.progress.start("trie")
        return self.folder.stage(
            "trie",
            make=lambda: recops.SidTrie.from_sids(paths, item_ids, vocab_sizes=vocab_sizes),
            save=lambda made: made.save(path),
            load=lambda: recops.SidTrie.load(path),
        )

    def trained(
        self,
        name: str,
        model: SASRec | UniRec,
        train: Histories,
        validation: Examples,
    ) -> Fit:
        """Train ``model`` and leave it as ``recops train`` does, in a folder of its own.

        The trainer's own checkpoint keeps every finished epoch.
        """
        job = self.settings.job(name)
        config = job.training
        assert config is not None
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        latest = ""

        def on_epoch(epoch: Epoch) -> None:
            nonlocal latest
            hit_rate = epoch.validation["hr@10"]
            latest = f"epoch {epoch.epoch + 1}, validation HR@10 {hit_rate:.1%}"

        def on_step(epoch: int, done: float, loss: float) -> None:
            self.progress.advance((epoch + done) / config.epochs, latest or f"loss {loss:.2f}")

        task = NextItem(train, validation, model.num_items, model.window, config.batch)

        def train_on() -> Fit:
            return fit(
                model,
                task,
                config,
                seed=self.settings.seed,
                folder=folder,
                resume=self.resume,
                on_step=on_step,
                on_epoch=on_epoch,
            )

        self.progress.start(name)
        return self.folder.stage(
            name, make=train_on, save=lambda _: save_trained(folder, job, model), load=train_on
        )

    def test_lists(
        self, models: Mapping[str, Recommender], test: Examples, num_items: int
    ) -> dict[str, Tensor]:
        """Each model's recommendations to the test users: ``[U, k]`` item indices, best first."""
        path = self.folder / "test.safetensors"

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
