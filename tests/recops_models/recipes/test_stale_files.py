"""A new training removes the files of the earlier training in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import job_of
from recops_models.data import Dataset
from recops_models.generative.popularity import Popularity
from recops_models.recipes import registry
from recops_models.recipes.job import CONFIG, save_job
from recops_models.recipes.popularity import PopularityRecipe
from recops_models.recipes.ranking import CountingStage, training_counts
from recops_models.recipes.run import train_job


class WritingStage(CountingStage):
    """A stage that declares a file."""

    files = ("counts.txt",)


class WritingRecipe(PopularityRecipe):
    """A recipe outside the package whose stage declares a file."""

    name = "writing"

    def stages(self) -> tuple[CountingStage]:
        return (WritingStage(self.name, lambda task, _: Popularity(training_counts(task))),)


recipe = WritingRecipe()


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RECIPES", dict(registry._RECIPES))
    registry.register("writing", f"{__name__}:recipe")


@pytest.mark.parametrize(
    ("model", "files"),
    [
        ("unirec", ["sids.parquet", "trie.safetensors", "checkpoint.safetensors"]),
        ("res-embedding", ["graph.safetensors"]),
        ("writing", ["counts.txt"]),
    ],
)
def test_files_of_the_last_recipe_are_removed(
    model: str, files: list[str], small: Dataset, tmp_path: Path
) -> None:
    save_job(tmp_path, job_of(model, "small", {}, seed=0, quick=True))
    for name in [*files, "notes.txt"]:
        (tmp_path / name).write_text("old")
    train_job(job_of("popularity", "small", {}, seed=0, quick=True), small, tmp_path)
    assert not [name for name in files if (tmp_path / name).exists()]
    assert (tmp_path / "notes.txt").exists()


def test_own_files_are_removed_although_the_last_recipe_is_unknown(
    small: Dataset, tmp_path: Path
) -> None:
    (tmp_path / CONFIG).write_text("{}")
    (tmp_path / "counts.txt").write_text("old")
    train_job(job_of("writing", "small", {}, seed=0, quick=True), small, tmp_path)
    assert not (tmp_path / "counts.txt").exists()
