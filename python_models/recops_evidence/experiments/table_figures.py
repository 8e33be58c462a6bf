"""Metrics of item tables: generalization gap, radius of categories, items without a row."""

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

from recops_evidence.experiments.synthetic_delays import DelayedItems
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
    """Return ``gap`` (log-loss, test minus training) and ``auc_gap`` (AUC, training minus test).

    Training is measured in evaluation mode on about 49,000 examples.
    """
    train = _measured(model, data.train, seed=0)
    logloss, auc = test["logloss"], test["auc"]
    assert logloss is not None
    assert auc is not None
    return {"gap": logloss - train["logloss"], "auc_gap": train["auc"] - auc}


def radius_ratio(vectors: NDArray[np.float32], category: Int64Array) -> float:
    """Return ``mean_i ‖e_i − c(i)‖ / mean_{a<b} ‖c_a − c_b‖`` with c the centres of categories.

    A common factor of all vectors cancels. Items of category −1 and categories with one item are
    left out. The result is NaN if fewer than two categories remain.

    Args:
        vectors: ``[n, d]``.
        category: ``[n]`` i64.
    """
    counts = np.bincount(category[category >= 0])
    used = category >= 0
    used[used] = counts[category[used]] > 1
    _, group = np.unique(category[used], return_inverse=True)
    points = vectors[used].astype(np.float64)
    sizes = np.bincount(group)
    if len(sizes) < 2:
        return float("nan")
    sums = np.stack([np.bincount(group, weights=column) for column in points.T], 1)
    centres = sums / sizes[:, None]
    radius = np.linalg.norm(points - centres[group], axis=1).mean()
    distance = torch.pdist(torch.from_numpy(centres)).mean()
    return float(radius / distance)


def item_rows(model: ClickModel) -> Tensor:
    """Return the candidate's table ``[V, d]``."""
    schema = model.schema.schema
    assert schema.candidate is not None
    table = model.embedding.tables[schema.table(schema.candidate)]
    assert isinstance(table, nn.Embedding)
    return table.weight.detach()


def categories(dataset: Dataset, data: ClickData) -> Int64Array:
    """Return ``[V]``, the category of each row of the candidate's table, or −1.

    Categories come from the last item column with one value per item. If there are only lists, the
    category is the rarest of an item's values that at least ten items share.
    """
    ids = dataset.items["item_id"].to_numpy()
    rows = data.fitted.lookup("item").rows(ids)
    category = np.full(data.fitted.cardinality("item"), -1)
    known = rows > UNKNOWN
    category[rows[known]] = _category(dataset)[known]
    return category


def new_figures(folder: Path, model: ClickModel, new: DelayedItems) -> Metrics:
    """Return ``auc_new``, the AUC on items without training events.

    Their vectors are the centre of their neighbours in the new histories, or the unknown row if the
    run has no graph.
    """
    counts = cooccurrence_counts(new.histories, len(item_rows(model)) + new.number)
    longer = _with_rows(model, torch.cat([item_rows(model), _new_rows(folder, model, counts)]))
    return {"auc_new": _measured(longer, new.shown)["auc"]}


def every_item(dataset: Dataset, fitted: FittedSchema) -> FittedSchema:
    """Return vocabularies with a row for every item, including rare and unseen ones."""
    lookups = {**fitted.lookups, "item": Lookup(dataset.item_vocabulary)}
    return dataclasses.replace(fitted, lookups=lookups)


def seldom_figures(folder: Path, model: ClickModel, every: ClickData) -> Metrics:
    """Return ``auc_seldom``, the AUC of positives without an item row against all negatives.

    Their vectors are the centre of their neighbours in the histories of training users. Without a
    graph, or without such neighbours, they are the unknown row.

    Args:
        folder: folder of the run.
        model: model of the run.
        every: the examples with a row for :func:`every_item`.
    """
    lookup = every.fitted.lookup("item")
    assert isinstance(lookup.keys, Vocabulary)
    # The model's rows, then new rows for the items that it lacks.
    row_of = np.concatenate([[0, UNKNOWN], model.schema.lookup("item").rows(lookup.keys.ids)])
    lacking = np.flatnonzero(row_of == UNKNOWN)[1:]
    size = len(item_rows(model))
    row_of[lacking] = size + np.arange(len(lacking))
    histories = training_histories(every)
    rows_of_events = np.where(histories.items >= 0, row_of[histories.items], -1)
    histories = Histories(histories.offsets, rows_of_events, histories.rows)
    counts = cooccurrence_counts(histories, size + len(lacking))
    rows = torch.cat([item_rows(model), _new_rows(folder, model, counts)])[torch.from_numpy(row_of)]
    longer = _with_rows(model, rows)
    metrics = ClickMetrics()
    seldom = torch.zeros(len(row_of), dtype=torch.bool)
    seldom[torch.from_numpy(lacking)] = True
    with torch.no_grad():
        for logits, batch in predictions(longer, every.test):
            counted = (batch.label == 0) | seldom[batch.features["item"]]
            metrics.update(logits[counted], batch.label[counted], batch.group[counted])
    return finite({"auc_seldom": metrics.compute()["auc"]})


def _new_rows(folder: Path, model: ClickModel, counts: NeighbourCounts) -> Tensor:
    """Return initial vectors of items that the model lacks."""
    rows = item_rows(model)
    if not (folder / TABLE).exists():
        return rows[UNKNOWN].expand(len(counts) - len(rows), -1)
    table = ResidualTable.load(folder / TABLE)
    return table.cold_rows(ItemGraph.of_new(counts, len(rows)))


def _with_rows(model: ClickModel, rows: Tensor) -> ClickModel:
    """Return a copy of the model with another table of the candidate."""
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
    _, value, counts = np.unique(values, return_inverse=True, return_counts=True)
    often = counts[value] >= _FEW
    order = np.lexsort((counts[value][often], item[often]))
    owners, first = np.unique(item[often][order], return_index=True)
    category = np.full(len(lists), -1)
    category[owners] = value[often][order][first]
    return category


def _codes(column: pa.ChunkedArray) -> Int64Array:
    codes = column.combine_chunks().indices.fill_null(-1).to_numpy()
    return np.asarray(codes, dtype=np.int64)
