"""Training of click models: tables, number formats, saved models, and click labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from click_inputs import FEATURES, batch, schema
from click_recipes import CLICK, net
from jobs import job_of
from recops_models.click.sum_pool import SumPool, SumPoolConfig
from recops_models.data.dataset import Dataset
from recops_models.data.storage import read_table, write_table
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData, click_data
from recops_models.recipes.answers import RequestItems
from recops_models.recipes.answers_of import answers_of
from recops_models.recipes.files import load_model, save_model
from recops_models.recipes.request_events import RequestEvents
from recops_models.recipes.run import run_job, task_of
from recops_models.recipes.stage import StageContext
from recops_models.training.click_task import ClickTask
from recops_models.training.config import TrainingConfig
from recops_models.training.example_config import ExampleConfig
from recops_models.training.trainer import fit


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


@pytest.fixture(scope="module")
def data(small: Dataset) -> ClickData:
    return click_data(small, max_len=10)


def build(name: str, data: ClickData, **settings: str) -> nn.Module:
    job = job_of(name, "", {"width": "4", "hidden": "8", **settings}, seed=0, quick=True)
    return job.recipe.stages()[-1].begin(StageContext(data, None, job.parts, 0, Path()))[1]


@pytest.mark.parametrize("name", ["din", "mimn", "can", "dien"])
def test_columns_may_have_names_that_torch_uses(name: str, small: Dataset, tmp_path: Path) -> None:
    columns = {"release_year": "type", "class": "shop.kind"}
    names = [columns.get(each, each) for each in small.items.column_names]
    renamed = click_data(replace(small, items=small.items.rename_columns(names)), max_len=10)
    model = build(name, renamed)
    save_model(tmp_path / "model.safetensors", name, model)
    loaded = load_model(tmp_path / "model.safetensors")
    examples = next(iter(renamed.test.batches(32, seed=None)))
    assert torch.equal(loaded.eval()(examples), model.eval()(examples))


@pytest.mark.slow
@pytest.mark.parametrize("name", CLICK)
@pytest.mark.parametrize("tables", ["adam", "sparse-adam", "rowwise-adagrad"])
def test_every_click_model_trains_with_sparse_tables_and_bf16(
    name: str, tables: Any, data: ClickData, tmp_path: Path
) -> None:
    model = build(name, data)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    config = TrainingConfig(epochs=1, batch=32, select="auc", tables=tables, precision="bf16")
    task = ClickTask(data, ExampleConfig())
    fit(model, task, config, seed=0, folder=tmp_path)
    for key, value in model.state_dict().items():
        assert value.dtype == before[key].dtype
        if key.startswith("embedding.tables"):
            assert not torch.equal(value, before[key]), key
            assert (value[0] == 0).all(), "the padding row must stay zero"


@pytest.mark.parametrize("name", CLICK)
def test_the_row_of_unknown_ids_starts_at_zero_and_is_trained(
    name: str, small: Dataset, tmp_path: Path
) -> None:
    """Rare ids count as unknown here, so the row gets gradients.

    Without unknown ids in training, the row stays at zero in every model.
    """
    data = click_data(small, max_len=10, rare_share=0.1)
    items = torch.cat([b.features["item"] for b in data.train.batches(64, seed=None)])
    assert (items == 1).any()
    model = build(name, data)
    tables = [
        weight
        for key, weight in model.named_parameters()
        if key in ("embedding.tables.item.weight", "unit.params.item.weight")
    ]
    assert tables
    assert all((table[1] == 0).all() for table in tables)
    config = TrainingConfig(epochs=1, batch=32, select="auc", tables="adam")
    fit(model, ClickTask(data, ExampleConfig()), config, seed=0, folder=tmp_path)
    assert all((table[1] != 0).any() for table in tables)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # From torch's compiler.
@pytest.mark.parametrize(
    ("name", "tables"),
    # Compiling DIEN takes a minute; test_dien.py tests its graph capture.
    [*((name, "adamw") for name in CLICK if name != "dien"), ("sum-pool", "rowwise-adagrad")],
)
def test_compiling_does_not_change_the_loss(
    name: str, tables: Any, data: ClickData, tmp_path: Path
) -> None:
    losses = []
    for compiled in (False, True):
        config = TrainingConfig(epochs=2, batch=32, select="auc", tables=tables, compile=compiled)
        task = ClickTask(data, ExampleConfig())  # Lengths differ between batches.
        # Without dropout, since a compiled model draws other random numbers.
        curve = fit(build(name, data, dropout="0"), task, config, seed=0, folder=tmp_path)
        losses.append([epoch.train_loss for epoch in curve])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("name", CLICK)
def test_a_saved_click_model_keeps_its_predictions_and_vocabularies(
    name: str, tmp_path: Path
) -> None:
    fitted = replace(schema(), moments={"age": (3.0, 2.0)})
    model = net(name, fitted, hidden=(8,)).eval()
    save_model(tmp_path / "model.safetensors", name, model)
    loaded = load_model(tmp_path / "model.safetensors")
    examples: Batch = batch([3, 0, 5])
    assert torch.equal(loaded(examples), model(examples))
    assert loaded.schema.schema == fitted.schema
    assert loaded.schema.moments == fitted.moments
    for table in fitted.schema.tables:
        known = np.arange(30)
        assert (loaded.schema.lookup(table).rows(known) == fitted.lookup(table).rows(known)).all()


def test_a_saved_click_model_loads_without_its_pretrained_vectors(tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.parquet"
    rows = pa.array(np.ones((6, 18), dtype=np.float32).tolist(), pa.list_(pa.float32()))
    write_table(vectors, pa.table({"item_id": np.arange(6), "vector": rows}))
    features = tuple(
        replace(feature, pretrained=str(vectors)) if feature.name == "category" else feature
        for feature in FEATURES
    )
    fitted = replace(schema(features), moments={"age": (3.0, 2.0)})
    model = SumPool(fitted, SumPoolConfig(width=18))
    save_model(tmp_path / "model.safetensors", "sum-pool", model)
    vectors.unlink()
    loaded = load_model(tmp_path / "model.safetensors")
    assert (loaded.embedding.tables["category"].weight[2:] == 1).all()


def test_metrics_are_those_of_the_saved_predictions(small: Dataset, tmp_path: Path) -> None:
    job = job_of("sum-pool", "small", {"hidden": "8"}, seed=0, quick=True)
    expected = run_job(job, small, tmp_path).metrics["test"]
    table = read_table(tmp_path / "predictions.parquet")
    metrics = ClickMetrics(logits=False)
    metrics.update(
        *(
            torch.from_numpy(table[name].to_numpy().copy())
            for name in ("probability", "label", "user")
        )
    )
    assert metrics.compute() == pytest.approx(expected, rel=1e-6)


def test_tuning_does_not_evaluate_the_test_part(small: Dataset, tmp_path: Path) -> None:
    job = job_of("sum-pool", "small", {"hidden": "8"}, seed=0, quick=True)
    assert run_job(job, small, tmp_path, test=False).metrics["test"] == {}
    assert not (tmp_path / "predictions.parquet").exists()


def test_ratings_can_be_read_as_implicit_clicks(small: Dataset) -> None:
    ratings, clicks = (
        job_of("sum-pool", "small", {"feedback": feedback}, seed=0, quick=True)
        for feedback in ("none", "implicit")
    )
    ratings_task, task = task_of(ratings, small), task_of(clicks, small)
    assert ratings_task.notes == ("label: rating ≥ 4; neutral from 3, else disliked",)
    assert task.notes[1].startswith("negatives: 1 by popularity per event")
    assert task.data.train.num_examples == 2 * ratings_task.data.train.num_examples
    lengths = []
    model = net("sum-pool", task.data.fitted)
    model.register_forward_pre_hook(
        lambda _, inputs: lengths.append(inputs[0].lengths["history_item"])
    )
    events = RequestEvents.of_known_users(small, np.array([3]))
    answers_of(clicks, model, small).rank(events, RequestItems(events.seen_items()), 5)
    user = small.user_vocabulary.ids[3]
    num_events = (small.interactions["user_id"].to_numpy() == user).sum()
    assert (lengths[0] == num_events).all()
