"""What is told of an item table beside how its model ranks: gap, radius, new items."""

from __future__ import annotations

import copy
import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recops_evidence.experiments.synthetic_delays import NewItems
from recops_evidence.harness.experiment import Metrics
from recops_models.click.model import ClickModel
from recops_models.data.dataset import Dataset
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.vocabulary import Vocabulary
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.click import ClickData
from recops_models.examples.features import FittedSchema
from recops_models.examples.loader import Source
from recops_models.examples.lookup import UNKNOWN, Lookup
from recops_models.graphs.cooccurrence import NeighbourCounts, cooccurrence_counts
from recops_models.graphs.item_graph import ItemGraph
from recops_models.graphs.training_histories import training_histories
from recops_models.layers.residual_table import ResidualTable
from recops_models.recipes.res_embedding_stage import TABLE
from recops_models.training.click_task import predictions
from recops_models.training.curve import finite

_BATCH, _BATCHES = 1024, 48
_FEW = 10


def gap_figures(model: ClickModel, data: ClickData, test: Metrics) -> Metrics:
    """``gap`` (log-loss on test less that on training) and ``auc_gap`` (AUC on training less that
    on test), by some 49,000 examples of training, in evaluation mode.
    """
    train = _measured(model, data.train, seed=0)
    logloss, auc = test["logloss"], test["auc"]
    assert logloss is not None
    assert auc is not None
    return {"gap": logloss - train["logloss"], "auc_gap": train["auc"] - auc}


def radius_ratio(vectors: NDArray[np.float32], category: Int64Array) -> float:
    """``mean_i ‖e_i − c(i)‖ / mean_{a<b} ‖c_a − c_b‖``, c the centres of categories.

    It does not change with the size of all vectors. Items of category −1, and categories of one
    item, are left out. NaN where fewer than two categories are left.

    Args:
        vectors: ``[n, d]``.
        category: ``[n]`` i64.
    """
    counts = np.bincount(category[category >= 0])
    kept = category >= 0
    kept[kept] = counts[category[kept]] > 1
    _, place = np.unique(category[kept], return_inverse=True)
    some = vectors[kept].astype(np.float64)
    sizes = np.bincount(place)
    if len(sizes) < 2:
        return float("nan")
    sums = np.stack([np.bincount(place, weights=column) for column in some.T], 1)
    centres = sums / sizes[:, None]
    radius = np.linalg.norm(some - centres[place], axis=1).mean()
    apart = torch.pdist(torch.from_numpy(centres)).mean()
    return float(radius / apart)


def item_rows(model: ClickModel) -> Tensor:
    """``[V, d]``: the table of the candidate."""
    schema = model.schema.schema
    assert schema.candidate is not None
    table = model.embedding.tables[schema.table(schema.candidate)]
    assert isinstance(table, nn.Embedding)
    return table.weight.detach()


def categories(dataset: Dataset, data: ClickData) -> Int64Array:
    """``[V]``: the category of each row of the candidate's table, −1 where it has none.

    That of the last column of items with one value each; where there are lists alone, the rarest
    of an item's values that ten items or more have.
    """
    ids = dataset.items["item_id"].to_numpy()
    rows = data.fitted.lookup("item").rows(ids)
    found = np.full(data.fitted.cardinality("item"), -1)
    known = rows > UNKNOWN
    found[rows[known]] = _category(dataset)[known]
    return found


def new_figures(folder: Path, model: ClickModel, new: NewItems) -> Metrics:
    """``auc_new``: on items that training never met; at the centre of what they were first met
    with, or, without a graph, as the unknown.
    """
    counts = cooccurrence_counts(new.met, len(item_rows(model)) + new.number)
    longer = _with_rows(model, torch.cat([item_rows(model), _begun(folder, model, counts)]))
    return {"auc_new": _measured(longer, new.shown)["auc"]}


def every_item(dataset: Dataset, fitted: FittedSchema) -> FittedSchema:
    """With a row for every item of the data set, also those that training shows seldom or never."""
    lookups = {**fitted.lookups, "item": Lookup(dataset.item_vocabulary)}
    return dataclasses.replace(fitted, lookups=lookups)


def seldom_figures(folder: Path, model: ClickModel, every: ClickData) -> Metrics:
    """``auc_seldom``: of positives whose item the model has no row for, against all negatives.

    They are at the centre of what training users met them with, or, without a graph or where
    nobody met them, as the unknown.

    Args:
        folder: of the run.
        model: what it left.
        every: the same examples with a row for :func:`every_item`.
    """
    lookup = every.fitted.lookup("item")
    assert isinstance(lookup.keys, Vocabulary)
    # Rows as the model has them, with those that it lacks behind them.
    ours = np.concatenate([[0, UNKNOWN], model.schema.lookup("item").rows(lookup.keys.ids)])
    lacking = np.flatnonzero(ours == UNKNOWN)[1:]
    size = len(item_rows(model))
    ours[lacking] = size + np.arange(len(lacking))
    met = training_histories(every)
    labelled = np.where(met.items >= 0, ours[met.items], -1)
    histories = Histories(met.offsets, labelled, met.rows)
    counts = cooccurrence_counts(histories, size + len(lacking))
    rows = torch.cat([item_rows(model), _begun(folder, model, counts)])[torch.from_numpy(ours)]
    longer = _with_rows(model, rows)
    metrics = ClickMetrics()
    seldom = torch.zeros(len(ours), dtype=torch.bool)
    seldom[torch.from_numpy(lacking)] = True
    with torch.no_grad():
        for logits, batch in predictions(longer, every.test):
            kept = (batch.label == 0) | seldom[batch.features["item"]]
            metrics.update(logits[kept], batch.label[kept], batch.group[kept])
    return finite({"auc_seldom": metrics.compute()["auc"]})


def _begun(folder: Path, model: ClickModel, counts: NeighbourCounts) -> Tensor:
    """Where items behind the model's own begin."""
    rows = item_rows(model)
    if not (folder / TABLE).exists():
        return rows[UNKNOWN].expand(len(counts) - len(rows), -1)
    table = ResidualTable.load(folder / TABLE)
    return table.cold_rows(ItemGraph.of_new(counts, len(rows)))


def _with_rows(model: ClickModel, rows: Tensor) -> ClickModel:
    """Another model, with another table of the candidate."""
    longer = copy.deepcopy(model)
    schema = longer.schema.schema
    assert schema.candidate is not None
    table = nn.Embedding.from_pretrained(rows, padding_idx=0)
    longer.embedding.tables[schema.table(schema.candidate)] = table
    return longer.eval()


@torch.no_grad()
def _measured(model: ClickModel, source: Source, seed: int | None = None) -> dict[str, float]:
    metrics = ClickMetrics()
    for batch in islice(source.batches(_BATCH, seed=seed), _BATCHES):
        metrics.update(model(batch), batch.label, batch.group)
    return metrics.compute()


def _category(dataset: Dataset) -> Int64Array:
    columns = dataset.items.columns
    single = [column for column in columns if pa.types.is_dictionary(column.type)]
    if single:
        return _codes(single[-1])
    listed = [column for column in columns if pa.types.is_list(column.type)]
    if not listed:
        return np.full(dataset.items.num_rows, -1)
    lists = listed[0].combine_chunks()
    values = lists.flatten().to_numpy()
    item = np.repeat(np.arange(len(lists)), lists.value_lengths().fill_null(0).to_numpy())
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    often = counts[place] >= _FEW
    order = np.lexsort((counts[place][often], item[often]))
    owners, first = np.unique(item[often][order], return_index=True)
    found = np.full(len(lists), -1)
    found[owners] = place[often][order][first]
    return found


def _codes(column: pa.ChunkedArray) -> Int64Array:
    codes = column.combine_chunks().indices.fill_null(-1).to_numpy()
    return np.asarray(codes, dtype=np.int64)
