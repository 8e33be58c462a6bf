"""Training of Res-embedding: saved files, resumption to the same bits, and the graph file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from callback_doubles import Interrupt
from jobs import job_of
from recops.files import load_tensors, read_json
from recops_models.cli import run
from recops_models.click.din import Din
from recops_models.data import Dataset
from recops_models.graphs.item_graph import ItemGraph
from recops_models.layers.residual_table import ResidualTable
from recops_models.recipes.res_embedding_stage import GRAPH, TABLE
from recops_models.recipes.run import load_trained, run_job
from recops_models.recipes.stage import TrainResult
from synthetic_histories import write_ring

MODEL = "model.safetensors"


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


def train(data: Dataset, folder: Path, *, resume: bool = False, **settings: Any) -> TrainResult:
    folder.mkdir(exist_ok=True)
    callbacks = settings.pop("callbacks", None)
    net = {"base.hidden": "6", "base.width": "4"}
    job = job_of(
        "res-embedding",
        "small",
        {"batch": "32", "max_len": "6", **net, **settings},
        seed=3,
        quick=True,
    )
    return run_job(job, data, folder, resume=resume, callbacks=callbacks)


def test_training_saves_a_plain_base_and_the_files_of_a_refresh(
    small: Dataset, tmp_path: Path
) -> None:
    trained = train(small, tmp_path)
    job, model = load_trained(tmp_path)
    assert job.model == "res-embedding"
    assert isinstance(model, Din)
    rows = model.embedding.tables["item"]
    assert isinstance(rows, nn.Embedding)
    table = ResidualTable.load(tmp_path / TABLE)
    assert torch.equal(table.fold().weight, rows.weight)
    assert trained.metrics["model"] == "res-embedding"
    # The served model is the one that was measured.
    saved = read_json(tmp_path / "metrics.json", kind="metrics")["test"]["auc"]
    assert saved == trained.metrics["test"]["auc"]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"tables": "rowwise-adagrad"}, {"weights": "attention"}])
def test_a_stopped_run_resumes_to_the_same_bits(
    settings: dict[str, str], small: Dataset, tmp_path: Path
) -> None:
    train(small, tmp_path / "whole", **settings)
    interrupt = Interrupt(after=1.4 / 2)
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path / "cut", callbacks=interrupt, checkpoint_minutes="0", **settings)
    save = ItemGraph.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ItemGraph, "save", None)  # The graph exists and is not built again.
        train(small, tmp_path / "cut", resume=True, checkpoint_minutes="0", **settings)
    assert ItemGraph.save is save
    for name in (MODEL, TABLE, GRAPH):
        expected, resumed = (load_tensors_of(tmp_path / part / name) for part in ("whole", "cut"))
        assert expected.keys() == resumed.keys()
        for key, value in expected.items():
            assert torch.equal(value, resumed[key]), (name, key)


def load_tensors_of(path: Path) -> dict[str, torch.Tensor]:
    kinds = {MODEL: "recommender", TABLE: "residual-table", GRAPH: "item-graph"}
    return load_tensors(path, kind=kinds[path.name])[0]


def test_a_graph_file_must_match_the_training_data(small: Dataset, tmp_path: Path) -> None:
    train(small, tmp_path / "first")
    graph = str(tmp_path / "first" / GRAPH)
    train(small, tmp_path / "second", graph_file=graph)
    first, second = (load_tensors_of(tmp_path / part / MODEL) for part in ("first", "second"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    with pytest.raises(ValueError, match=r"graph_file .* must come from the same training data"):
        train(small, tmp_path / "third", graph_file=graph, window="2")


@pytest.mark.parametrize("name", ["learning_rate", "table_learning_rate"])
def test_a_rate_that_would_flip_the_sign_of_residuals_is_refused(
    name: str, small: Dataset, tmp_path: Path
) -> None:
    message = rf"res-embedding: {name} · residual_decay must be < 1, got 0.2 · 10"
    with pytest.raises(ValueError, match=message):
        train(small, tmp_path, **{name: "0.2"})
    assert not any(tmp_path.iterdir())
    train(small, tmp_path, residual="false", **{name: "0.2"})


def test_a_random_graph_has_the_degrees_of_the_true_one(small: Dataset, tmp_path: Path) -> None:
    train(small, tmp_path / "one", graph="random")
    train(small, tmp_path / "true")
    one, true = (load_tensors_of(tmp_path / part / GRAPH) for part in ("one", "true"))
    assert torch.equal(one["offsets"], true["offsets"])
    assert not torch.equal(one["neighbours"], true["neighbours"])


def test_the_command_line_trains_and_serves_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_ring(tmp_path / "shop", users=40), str(tmp_path / "out")
    command = ["train", "res-embedding", "--data", data, "--quick", "--out", out]
    assert run([*command, "--set", "base=sum-pool", "--set", "base.hidden=8"]) == 0
    assert run(["evaluate", out]) == 0
    assert run(["recommend", out, "--user", "3", "-k", "4"]) == 0
    capsys.readouterr()
    assert run([*command, "--set", "base=rocket"]) != 0
    assert "res-embedding: no net 'rocket'; available: " in capsys.readouterr().err
    assert run([*command, "--set", "residual_decay=-1"]) != 0
    assert "decay must be ≥ 0" in capsys.readouterr().err
