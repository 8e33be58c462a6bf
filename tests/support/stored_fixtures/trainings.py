"""Trained models, one folder per format, small trainings of all others, and a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from recops import SidTrie
from recops.files import load_tensors, read_json
from recops_models.data import Dataset
from recops_models.data.storage import read_table
from recops_models.generative.ranker import Recommender
from recops_models.graphs.item_graph import ItemGraph
from recops_models.graphs.knowledge import Knowledge
from recops_models.layers.residual_table import ResidualTable
from recops_models.recipes.catalogue import CATALOGUE
from recops_models.recipes.job import CONFIG, load_job, save_job
from recops_models.recipes.recommending import ready_model
from recops_models.recipes.requested_users import requested_users
from recops_models.recipes.run import load_trained, open_data, run_job, task_of
from recops_models.tokenizers import load_sids
from recops_models.training.curve import finite
from recops_models.training.trainer import CHECKPOINT
from stored_fixtures.fixture import StoredFixture, Values, newest, run_command

_TRAIN = {"batch": "32", "epochs": "2", "learning_rate": "0.01"}
_CLICK = {**_TRAIN, "max_len": "6"}
_NET = {"width": "4", "hidden": "8,4"}
_ATTENTION = {**_NET, "attention_hidden": "8,4"}
_RANKER = {**_TRAIN, "width": "8", "heads": "2", "history": "6"}
_CODES = {"codes": "4", "levels": "2"}


def _net(name: str) -> dict[str, str]:
    """Return the settings of a wrapped net, as ``--set NAME.width=4`` gives them."""
    return {f"{name}.{setting}": value for setting, value in _ATTENTION.items()}


SETTINGS: Mapping[str, Mapping[str, str]] = {
    "popularity": {},
    "item-knn": {"history": "6", "neighbours": "10"},
    "ease": {"history": "6"},
    "sasrec": _RANKER,
    "tiger": {
        **_RANKER,
        **_CODES,
        **{"encoder_layers": "1", "decoder_layers": "1", "hidden": "8"},
    },
    "unirec": {
        **_RANKER,
        **_CODES,
        **{"expert_hidden": "8", "head_hidden": "8", "hash_width": "2"},
        **{"user_fields": "age", "task": "scene"},
    },
    "rates": {"max_len": "6", "trees": "5", "leaves": "4", "leaf_examples": "10"},
    "sum-pool": {**_CLICK, **_NET},
    "din": {**_CLICK, **_ATTENTION},
    "gru-attention": {**_CLICK, **_ATTENTION},
    "dien": {**_CLICK, **_ATTENTION},
    "can": {**_CLICK, **_ATTENTION},
    "mimn": {**_CLICK, **_ATTENTION},
    "hpmn": {**_CLICK, **_NET, "state": "8"},
    "rocket": {**_CLICK, **_net("booster"), **_net("light")},
    "age": {**_CLICK, **_net("base"), "gate_hidden": "4"},
    "res-embedding": {**_CLICK, **_net("base")},
    "keep": {
        **_CLICK,
        **_net("base"),
        **{"extractor.width": "4", "extractor.hidden": "6", "extracting.epochs": "1"},
        **{"domain_column": "scene", "domain": "feed", "until": "0.6", "validation": "0.3"},
    },
}
"""Per model, the settings that keep its files small."""

_STORED = ("item-knn", "rates", "unirec", "mimn", "age", "res-embedding", "keep")
"""Models whose folders hold a file that no other folder has; MIMN is that of the stores."""

_RECOMMENDED, _USERS = 5, 8
"""Items per user, and users, whose recommendations are compared."""


def train(folder: Path, model: str, settings: Mapping[str, str]) -> None:
    """Run ``recops train`` on the newest shop; leave neither checkpoints nor TensorBoard events."""
    _train_on_shop(folder, model, settings)
    for pattern in ("events.out.tfevents.*", CHECKPOINT):
        for path in folder.rglob(pattern):
            path.unlink()


def _train_on_shop(folder: Path, model: str, settings: Mapping[str, str]) -> None:
    """Train, and name the shop by its relative path, which is the same on every machine."""
    run_training(folder, model, settings)
    save_job(folder, dataclasses.replace(load_job(folder), data=str(newest("shop"))))


def run_training(folder: Path, model: str, settings: Mapping[str, str]) -> None:
    """Run ``recops train`` on the newest shop.

    Raises:
        RuntimeError: the command failed.
    """
    pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    run_command("train", model, "--data", str(newest("shop")), *pairs, "--out", str(folder))


def trained(model: str) -> Path:
    """Return the stored folder of a model, or train it once below the working directory."""
    if model in _STORED:
        return newest(model)
    folder = Path("trained", model)
    if not folder.exists():
        train(folder, model, SETTINGS[model])
    return folder


def _read(folder: Path) -> Values:
    """Evaluate a model; recommend with it if it ranks items; read its other files."""
    job, model = load_trained(folder)
    data = open_data(job, model, folder)
    task = task_of(job, data, model)
    values: Values = {"model": job.model, "split": task.split}
    for part in ("validation", "test"):
        metrics, predictions = task.measure(model, part)
        values[part] = finite(metrics)
        values[f"{part} predictions"] = predictions.to_pydict()
    if isinstance(model, Recommender):
        assert isinstance(data, Dataset)
        ready = ready_model(folder, job, model, data)
        users = requested_users("all", ready.dataset)[:_USERS]
        values["recommended"] = ready.lists(ready.requests(users), _RECOMMENDED).to_pydict()
    values["metrics.json"] = read_json(folder / "metrics.json", kind="metrics")
    values["curves.json"] = read_json(folder / "curves.json", kind="curves")
    values["predictions.parquet"] = read_table(folder / "predictions.parquet").num_rows
    for name, read in _OTHER_FILES.items():
        if (folder / name).exists():
            values[name] = read(folder / name)
    return values


def _graph(path: Path) -> Values:
    _, meta = load_tensors(path, kind="item-graph")
    graph = ItemGraph.load(path, meta["key"])
    assert graph is not None
    return {"neighbours": graph.neighbours.tolist(), "weights": graph.weights.tolist()}


def _knowledge(path: Path) -> Values:
    knowledge = Knowledge.load(path)
    tables = {name: table.decoded()[:5].tolist() for name, table in knowledge.tables.items()}
    return {
        "version": knowledge.version,
        "source": knowledge.source,
        "tasks": list(knowledge.tasks),
        "window": dataclasses.asdict(knowledge.window),
        "tables": tables,
    }


_OTHER_FILES: Mapping[str, Callable[[Path], Any]] = {
    "graph.safetensors": _graph,
    "item_table.safetensors": lambda path: ResidualTable.load(path).compose()[:5].tolist(),
    "knowledge/knowledge.safetensors": _knowledge,
    "trie.safetensors": lambda path: SidTrie.load(path).item_ids.tolist(),
    "sids.parquet": lambda path: load_sids(path).codes.tolist(),
}


def _write_checkpoint(folder: Path) -> None:
    _train_on_shop(folder, "sum-pool", SETTINGS["sum-pool"])
    for path in folder.iterdir():
        if path.name not in (CONFIG, CATALOGUE, CHECKPOINT):
            path.unlink()


def _resume(folder: Path) -> Values:
    """Resume a training after its last epoch: the best epoch becomes the model again."""
    job = load_job(folder)
    trained = run_job(job, open_data(job, None, folder), folder, resume=True)
    return {part: trained.metrics[part] for part in ("validation", "test")}


TRAININGS = {
    **{
        name: StoredFixture(partial(train, model=name, settings=SETTINGS[name]), _read)
        for name in _STORED
    },
    "checkpoint": StoredFixture(_write_checkpoint, _resume),
}
