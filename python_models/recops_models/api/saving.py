"""Self-contained folders of trained models, and their upload."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from torch import nn

from recops._hub import HubApi, upload
from recops.files import write_file
from recops_models.data.dataset import Dataset
from recops_models.data.storage import save_dataset
from recops_models.examples.scenes import SceneConfig
from recops_models.recipes.catalogue import CATALOGUE
from recops_models.recipes.files import MODEL
from recops_models.recipes.job import OWN_DATA, Job, load_job, save_job
from recops_models.recipes.known_ids import KNOWN_ITEMS, KNOWN_USERS
from recops_models.recipes.run import METRICS
from recops_models.recipes.trained import open_data, own_data
from recops_models.settings import JsonObject
from recops_models.training.trainer import CHECKPOINT

CARD = "README.md"


def save_pretrained(
    source: Path, module: nn.Module, folder: Path, *, with_events: bool = True
) -> None:
    """Write a model with its data to a folder; see :meth:`Model.save_pretrained`.

    Args:
        source: the model's own folder.
        module: the model.
        folder: created if missing.
        with_events: False: without the events and the ids of users.
    """
    job = load_job(source)
    opened = open_data(job, module, source)
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != source.resolve():
        for name in _files(job, source):
            if name == KNOWN_USERS and not with_events:
                continue
            (folder / name).parent.mkdir(exist_ok=True)
            write_file(folder / name, (source / name).read_bytes())
    if isinstance(opened, Dataset):
        save_dataset(opened if with_events else _anonymous(opened, job), own_data(folder))
        job = dataclasses.replace(job, data=OWN_DATA)
    save_job(folder, job)


def push_to_hub(
    source: Path,
    module: nn.Module,
    metrics: JsonObject,
    repo: str,
    *,
    private: bool,
    api: HubApi | None,
) -> str:
    """Upload a model without its users; see :meth:`Model.push_to_hub`."""

    def write(folder: Path) -> None:
        save_pretrained(source, module, folder, with_events=False)
        write_file(folder / CARD, _card(load_job(folder).model, metrics, repo).encode())

    return upload(write, repo, private=private, api=api)


def _files(job: Job, folder: Path) -> Iterator[str]:
    """Yield the files that the model needs, relative to the folder of its training."""
    for name in (MODEL, METRICS, CATALOGUE, KNOWN_ITEMS, KNOWN_USERS):
        if (folder / name).exists():
            yield name
    for stage in job.recipe.stages():
        for name in stage.files:
            for path in (name, f"{stage.name}/{name}"):
                if name != CHECKPOINT and (folder / path).exists():
                    yield path


def _anonymous(dataset: Dataset, job: Job) -> Dataset:
    """Return the data set without users: one event per scene remains, of a nameless user.

    The scenes of a model are the values in its data, so that one event of each must stay.
    """
    config = job.parts.get("scenes")
    names = [config.task, config.objective] if isinstance(config, SceneConfig) else []
    columns = [name for name in names if name is not None]
    events = dataset.interactions
    rows = np.zeros(0, dtype=np.int64)
    if columns:
        numbered = events.select(columns).append_column("row", pa.array(np.arange(len(events))))
        firsts = numbered.group_by(columns).aggregate([("row", "min")])
        rows = np.sort(firsts["row_min"].to_numpy())
    events = events.take(pa.array(rows))
    nobody = pa.array(np.zeros(len(rows), dtype=np.int64))
    events = events.set_column(events.column_names.index("user_id"), "user_id", nobody)
    users = dataset.users.slice(0, 0)
    if len(rows):
        row: dict[str, list[object]] = {"user_id": [0]}
        if "user_key" in users.column_names:
            row["user_key"] = [""]
        users = pa.concat_tables([users, pa.table(row)], promote_options="default")
    return dataclasses.replace(dataset, interactions=events, users=users)


def _card(model: str, metrics: JsonObject, repo: str) -> str:
    """Return the model card."""
    lines = [
        "---",
        "library_name: recops",
        "tags: [recommendation]",
        "---",
        f"# {repo.rpartition('/')[2]}",
        "",
        f"A `{model}` recommender, trained with recops on {metrics.get('data', 'own data')}.",
        "",
        "```python",
        "import recops_models as rm",
        "",
        f'model = rm.load("{repo}")',
        "lists = model.recommend(histories=events, k=10)  # user_id, item_id, timestamp",
        "```",
        "",
        "The events and ids of the training's users are not part of this repository.",
    ]
    test = metrics.get("test") or {}
    if test:
        lines += ["", "| test metric | value |", "| --- | --- |"]
        lines += [f"| {name} | {value:.4f} |" for name, value in test.items() if value is not None]
    return "\n".join(lines) + "\n"
