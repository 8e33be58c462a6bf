"""Similar items of a trained model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.click.model import ClickModel
from recops_models.data.dataset import Dataset
from recops_models.examples.entity_columns import item_columns
from recops_models.generative.history_scorer import HistoryScorer
from recops_models.generative.popularity import Popularity
from recops_models.generative.ranker import Ranker, Ranking, top_unseen
from recops_models.layers.embedding_bags import ComposedTable
from recops_models.training.device import device_of, to_device, to_host

_ROWS = 256


@torch.no_grad()
def similar_items(model: nn.Module, dataset: Dataset, items: Tensor, k: int) -> Ranking:
    """Return the ``k`` most similar other items of each item, ``[n, k]``.

    The score is the cosine of item vectors. A popularity model knows no difference between items:
    it returns the most popular ones, with their numbers of events.

    Args:
        model: the trained model.
        dataset: its catalogue.
        items: ``[n]`` i64, indices of items.
        k: number of items.

    Raises:
        NotImplementedError: the model has no item vectors.

    Complexity:
        O(n N d).
    """
    if isinstance(model, Popularity):
        return to_host(model.decode(to_device(list(items[:, None]), device_of(model)), k))
    vectors = F.normalize(to_host(item_vectors(model, dataset)).float(), dim=-1)
    lists = [
        top_unseen(vectors[rows] @ vectors.T, list(rows[:, None]), k) for rows in items.split(_ROWS)
    ]
    return Ranking(
        torch.cat([part.items for part in lists]), torch.cat([part.scores for part in lists])
    )


def item_vectors(model: nn.Module, dataset: Dataset) -> Tensor:
    """Return the vectors ``[N, d]`` of the catalogue's items.

    A click model has the candidate's row of its item table.

    Raises:
        NotImplementedError: the model has no item vectors.
    """
    if isinstance(model, (Ranker, HistoryScorer)):
        return model.item_vectors()
    if not isinstance(model, ClickModel) or model.schema.schema.candidate is None:
        raise NotImplementedError(f"similar_items: {type(model).__name__} has no item vectors")
    name = model.schema.schema.candidate
    table = model.embedding.tables[model.schema.schema.table(name)]
    assert isinstance(table, (nn.Embedding, ComposedTable))
    rows = torch.from_numpy(model.schema.encode(item_columns(dataset))[name]).long()
    rows = to_device(rows, device_of(model))
    vectors: Tensor = table(rows)
    return vectors
