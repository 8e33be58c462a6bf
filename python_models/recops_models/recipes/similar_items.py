"""Similar items of a trained model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn

from recops_models.click.model import ClickScorer
from recops_models.data.dataset import Dataset
from recops_models.examples.entity_columns import item_columns
from recops_models.generative.history_scorer import HistoryScorer
from recops_models.generative.popularity import Popularity
from recops_models.generative.ranker import Ranker, Ranking, top_unseen
from recops_models.training.device import device_of, to_device, to_host

_SCORES = 1 << 24
"""Scores that are in memory at once."""


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
        O(n N d) for vectors of d numbers other than 0.
    """
    if isinstance(model, Popularity):
        return to_host(model.decode(to_device(list(items[:, None]), device_of(model)), k))
    vectors = item_vectors(model, dataset)
    dense = isinstance(vectors, Tensor)
    cosines = _cosines(to_host(vectors)) if dense else _cosines_of_sparse(vectors)
    lists = [
        top_unseen(cosines(rows), list(rows[:, None]), k)
        for rows in items.split(max(1, _SCORES // vectors.shape[0]))
    ]
    return Ranking(
        torch.cat([part.items for part in lists]), torch.cat([part.scores for part in lists])
    )


def item_vectors(model: nn.Module, dataset: Dataset) -> Tensor | sparse.csr_matrix:
    """Return the vectors ``[N, d]`` of the catalogue's items, dense or sparse.

    Raises:
        NotImplementedError: the model has no item vectors.
    """
    if isinstance(model, (Ranker, HistoryScorer)):
        return model.item_vectors()
    if not isinstance(model, ClickScorer) or model.schema.schema.candidate is None:
        raise NotImplementedError(f"similar_items: {type(model).__name__} has no item vectors")
    encoded = model.schema.encode(item_columns(dataset))[model.schema.schema.candidate]
    rows = torch.from_numpy(encoded).long()
    return model.item_vectors(to_device(rows, device_of(model)))


def _cosines(vectors: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function from items ``[n]`` to their cosines ``[n, N]``."""
    directions = F.normalize(vectors.float(), dim=-1)
    return lambda rows: directions[rows] @ directions.T


def _cosines_of_sparse(vectors: sparse.csr_matrix) -> Callable[[Tensor], Tensor]:
    """See :func:`_cosines`; an item without numbers has the cosine 0."""
    norms = np.sqrt(np.asarray(vectors.multiply(vectors).sum(1)).ravel())
    directions = sparse.diags(1 / np.maximum(norms, 1e-12)) @ vectors

    def cosines(rows: Tensor) -> Tensor:
        return torch.from_numpy((directions[rows.numpy()] @ directions.T).toarray()).float()

    return cosines
