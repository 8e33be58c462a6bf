"""KEEP on streamed examples: both stages, knowledge of last examples, workers, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

import recops_models as rm
from callback_doubles import Interrupt
from recops_models.data import DataError
from recops_models.examples.click_stream import open_click_folder
from recops_models.examples.last_rows import LastRows
from recops_models.examples.lookup import UNKNOWN
from recops_models.graphs.knowledge import Knowledge
from recops_models.recipes.streamed_keep_tasks import StreamedKnowledgeTask
from recops_models.training.example_config import ExampleConfig

pytestmark = pytest.mark.usefixtures("one_thread")

FEATURES = {
    "features": [
        {"name": "user", "type": "categorical", "min_count": 2},
        {"name": "item", "type": "categorical"},
        {"name": "history", "type": "sequence", "max_len": 3, "share_embedding": "item"},
    ],
    "group": None,
}
SETTINGS = {
    "epochs": 1,
    "extracting.epochs": 1,
    "batch": 64,
    "extracting.batch": 64,
    "base.hidden": (8,),
    "extractor.width": 4,
    "extractor.hidden": (6,),
}
KNOWLEDGE = Path("knowledge") / "knowledge.safetensors"


def write_part(path: Path, rows: int, *, users: int, seed: int) -> None:
    """Write examples of users who like every second item."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, users, rows), rng.integers(0, 12, rows)
    history = [[int(each) * 2 + row % 2 for each in rng.integers(0, 6, 4)] for row in user.tolist()]
    table = {
        "user": [f"u{number}" for number in user],
        "item": item,
        "history": history,
        "label": (user % 2 == item % 2).astype(np.int8),
    }
    pa.parquet.write_table(pa.table(table), path, row_group_size=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small domain of 40 users, of whom the super-domain knows 30."""
    small = tmp_path_factory.mktemp("keep") / "shop"
    for seed, (path, rows, users) in enumerate([(small / "super", 900, 30), (small, 300, 40)]):
        path.mkdir(parents=True, exist_ok=True)
        (path / "features.json").write_text(json.dumps(FEATURES))
        for part, name in enumerate(("train", "validation", "test")):
            number = rows if part == 0 else rows // 3
            write_part(path / f"{name}.parquet", number, users=users, seed=10 * seed + part)
    return small


def test_both_stages_train_from_files(folder: Path, tmp_path: Path) -> None:
    model = rm.train("keep", folder, SETTINGS, out=tmp_path / "run")
    metrics = model.metrics["test"]
    assert 0 < metrics["unknown_user"] < 0.5
    assert metrics["unknown_item"] == 0
    knowledge = Knowledge.load(tmp_path / "run" / KNOWLEDGE)
    assert knowledge.source == "shop/super"
    assert knowledge.tasks == ("click",)
    assert set(knowledge.lookups["user"].keys.to_pylist()) == {f"u{user}" for user in range(30)}
    assert rm.load(tmp_path / "run").evaluate()["test"]["auc"] == metrics["auc"]
    with_file = {**SETTINGS, "knowledge": str(tmp_path / "run" / KNOWLEDGE)}
    other = rm.train("keep", folder, with_file, out=tmp_path / "given")
    weights = model.module.state_dict()
    for name, value in other.module.state_dict().items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.slow
def test_an_interrupted_training_resumes_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "epochs": 3, "patience": 3}
    expected = rm.train("keep", folder, settings, out=tmp_path / "whole").module.state_dict()
    with pytest.raises(KeyboardInterrupt):
        rm.train(
            "keep", folder, settings, out=tmp_path / "parts", callbacks=Interrupt(after=1.4 / 3)
        )
    resumed = rm.train("keep", folder, settings, out=tmp_path / "parts", resume=True)
    for name, value in resumed.module.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_knowledge_is_that_of_the_last_examples(folder: Path) -> None:
    task = StreamedKnowledgeTask(open_click_folder(folder), ExampleConfig())
    fitted = task.data.fitted
    paths = [folder / "super" / f"{part}.parquet" for part in ("train", "validation", "test")]
    tables = [pa.parquet.read_table(path).to_pylist() for path in paths]
    last: dict[str, dict[str, Any]] = {}
    for row in (row for table in tables for row in table):
        last[row["user"]] = row
    last_rows = LastRows.of(paths, fitted, ("user", "item"))
    names = last_rows.lookups["user"].keys.to_pylist()
    items = {}
    for index, block in last_rows.blocks("user"):
        values = block.columns["item"].values
        items |= {names[row - UNKNOWN - 1]: value for row, value in zip(index, values, strict=True)}
    expected = {user: fitted.rows("item", np.array([row["item"]]))[0] for user, row in last.items()}
    assert items == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"until": 0.5}}, "keep: settings of domains must be left out"),
        ({"split": "by-user"}, "is already split: leave out the split by-user"),
    ],
)
def test_unfit_trainings_are_refused(change: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=message):
        rm.train("keep", folder, **change)


def test_a_missing_super_domain_is_named(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="super must hold examples of the super-domain"):
        rm.train("keep", tmp_path, SETTINGS)
