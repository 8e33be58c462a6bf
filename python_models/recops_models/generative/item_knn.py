"""Item-kNN: items that often occur close to the items of a history.

Source: Sarwar et al., Item-Based Collaborative Filtering Recommendation Algorithms, 2001. The
window over neighbouring events and the decay of older events are those of tuned session baselines
(Ludewig and Jannach, Evaluation of Session-Based Recommendation Algorithms, 2018).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from recops._dtypes import widest_dtype
from recops_models.data.histories import AnyArray, Histories
from recops_models.generative.history_scorer import HistoryScorer
from recops_models.generative.item_rows import rows_or
from recops_models.generative.popularity import item_counts
from recops_models.setting_checks import check_above_zero, check_at_least, check_at_most

_ROWS = 1 << 14
"""Items whose similarities are in memory at once."""
_TIE = 1e-6
"""Largest random part of a score, relative to the smallest similarity."""


@dataclass(frozen=True)
class ItemKNNConfig:
    """Settings of item-kNN.

    Attributes:
        window: items at most this many events apart in a history co-occur.
        distance: p ≥ 0; two items that are d events apart count d^−p.
        backward: in [0, 1], weight of a pair for predicting its earlier item from its later one;
            the reverse has weight 1.
        shrinkage: λ ≥ 0; a similarity from c co-occurrences is multiplied by c / (c + λ).
        normalization: α in [0, 1], power of the count of the history's item that divides a
            similarity.
        candidate_normalization: β in [0, 1], the same power of the count of the candidate; smaller
            values favour popular items.
        decay: in (0, 1], weight of an event relative to the next one of the history.
        history: number of most recent events that are read.
        neighbours: number of similar items that are kept per item.
        direction: ``"both"``, or ``"forward"`` to count only items that follow, whatever
            ``backward`` is.

    Raises:
        ValueError: a value is out of range.

    Example:
        >>> from recops_models.generative.item_knn import ItemKNNConfig
        >>> ItemKNNConfig(decay=2.0)
        Traceback (most recent call last):
            ...
        ValueError: item-knn: decay must be ≤ 1, got 2.0
    """

    window: int = 20
    shrinkage: float = 5.0
    normalization: float = 0.5
    decay: float = 0.8
    history: int = 50
    neighbours: int = 200
    direction: Literal["both", "forward"] = "both"
    distance: float = 0.5
    backward: float = 0.4
    candidate_normalization: float = 0.25

    def __post_init__(self) -> None:
        check_at_least("item-knn", self, window=1, shrinkage=0, history=1, neighbours=1)
        check_at_least("item-knn", self, normalization=0, candidate_normalization=0)
        check_at_least("item-knn", self, distance=0, backward=0)
        check_at_most("item-knn", self, normalization=1, candidate_normalization=1)
        check_at_most("item-knn", self, decay=1, backward=1)
        check_above_zero("item-knn", self, "decay")


class ItemKNN(HistoryScorer):
    """Sum of the similarities to the items of a history, with less weight for older events.

    With n_i events of item i, and c_ij the sum over all pairs of i and a later j within the window,
    d events apart, of d^−p, plus ``backward`` times the sum over pairs of j and a later i::

        s_ij  = c_ij / (c_ij + λ) · c_ij / (n_i^α n_j^β)
        score = Σ_t decay^{T − t} s_{i_t, j}

    Equal scores are ordered at random, the same for every request.

    Args:
        neighbours: ``[N, K]`` i32, the most similar items of each item, best first; −1: none.
        similarities: ``[N, K]`` f32; 0: none.
        ties: ``[N]`` f32, distinct values in [0, 1) that order equal scores.
        config: settings.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import AnyArray, Histories
        >>> from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig
        >>> train = Histories(np.array([0, 3, 5, 7]), np.array([0, 1, 2, 0, 1, 0, 3]), np.arange(7))
        >>> model = ItemKNN.fit(train, num_items=4, config=ItemKNNConfig(), seed=0)
        >>> request = Histories(np.array([0, 1]), items=np.array([0]), rows=np.array([0]))
        >>> model.recommend(request, k=1).items  # item 1 is most often close to item 0
        tensor([[1]])
    """

    neighbours: Tensor
    similarities: Tensor
    ties: Tensor

    def __init__(
        self, neighbours: Tensor, similarities: Tensor, ties: Tensor, config: ItemKNNConfig
    ) -> None:
        super().__init__()
        self.config, self.num_items = config, len(neighbours)
        self.register_buffer("neighbours", neighbours.int())
        self.register_buffer("similarities", similarities.float())
        self.register_buffer("ties", ties.float())
        positive = similarities[similarities > 0]
        self._tie_weight = _TIE * float(positive.min()) if len(positive) else 1.0

    @classmethod
    def fit(
        cls,
        train: Histories | Iterable[Histories],
        num_items: int,
        config: ItemKNNConfig,
        *,
        seed: int,
    ) -> ItemKNN:
        """Count co-occurrences in training histories, and keep the most similar items.

        Args:
            train: training histories, or blocks of them. The sums of several blocks may differ from
                those of all histories together by rounding.
            num_items: N.
            config: settings.
            seed: seed of the order of equal scores.

        Complexity:
            O(E · window) pairs for E events, O(N K) memory for the result, and memory for each pair
                of items that co-occur.
        """
        counts = sparse.csr_matrix((num_items, num_items), dtype=np.float64)
        number = np.zeros(num_items)
        for block in [train] if isinstance(train, Histories) else train:
            counts = counts + _cooccurrences(block, num_items, config)
            number += np.asarray(item_counts(block, num_items))
        events = number.clip(1)
        before = events**-config.normalization
        after = events**-config.candidate_normalization
        width = min(config.neighbours, max(1, num_items - 1))
        neighbours = np.full((num_items, width), -1, dtype=np.int32)
        similarities = np.zeros((num_items, width), dtype=np.float32)
        order = np.random.default_rng(seed).permutation(num_items)
        for start in range(0, num_items, _ROWS):
            rows = counts[start : start + _ROWS].tocoo()
            value = rows.data / (rows.data + config.shrinkage) * rows.data
            value = value * before[rows.row + start] * after[rows.col]
            best = np.lexsort((order[rows.col], -value, rows.row))
            row, item, value = rows.row[best], rows.col[best], value[best]
            first = np.searchsorted(row, np.arange(rows.shape[0]))
            rank = np.arange(len(row)) - first[row]
            is_kept = rank < width
            cells = (row[is_kept] + start, rank[is_kept])
            neighbours[cells], similarities[cells] = item[is_kept], value[is_kept]
        ties = torch.from_numpy(order / max(1, num_items))
        return cls(torch.from_numpy(neighbours), torch.from_numpy(similarities), ties, config)

    @property
    def window(self) -> int:
        """T, the number of events that are read."""
        return self.config.history

    def score_all(self, history: Tensor, lengths: Tensor) -> Tensor:
        """See :meth:`HistoryScorer.score_all`; the sums have a fixed order.

        The host computes them. They are f64, or f32 on a device without float64.
        """
        batch, steps = history.shape
        age = lengths[:, None] - 1 - torch.arange(steps, device=history.device)
        weight = self.config.decay ** age.clamp(min=0)
        row, step = (history > 0).nonzero(as_tuple=True)
        item, neighbours = _array(history[row, step] - 1), _array(self.neighbours)
        near, share = neighbours[item], _array(self.similarities)[item]  # (events, K)
        share = share.astype(np.float64) * _array(weight[row, step])[:, None]
        cell = _array(row)[:, None] * self.num_items + near
        is_item = near >= 0
        sums = np.bincount(cell[is_item], share[is_item], batch * self.num_items)
        ties = self._tie_weight * _array(self.ties).astype(np.float64)
        scores = sums.reshape(batch, self.num_items) + ties
        device = self.ties.device
        return torch.from_numpy(scores).to(device, widest_dtype(device))

    def with_items(self, rows: Tensor) -> ItemKNN:
        """See :meth:`Recommender.with_items`; a new item has no neighbours."""
        rows = rows.to(self.ties.device)
        is_known = rows >= 0
        of_old = torch.full((self.num_items,), -1, device=rows.device)
        of_old[rows[is_known]] = torch.arange(len(rows), device=rows.device)[is_known]
        neighbours = rows_or(self.neighbours, rows, -1).long()
        neighbours = rows_or(of_old, neighbours.flatten(), -1).view_as(neighbours)
        similarities = rows_or(self.similarities, rows, 0).where(neighbours >= 0, 0)
        ties = rows_or(self.ties, rows, 0)
        new = torch.arange(int((~is_known).sum()), device=rows.device)
        ties[~is_known] = (1 + new) / (1 + len(new)) / max(1, self.num_items)
        return ItemKNN(neighbours, similarities, ties, self.config)

    def item_vectors(self) -> sparse.csr_matrix:
        """See :meth:`HistoryScorer.item_vectors`; an item's similarities to all items."""
        return self._matrix()

    def _matrix(self) -> sparse.csr_matrix:
        """Return the similarities ``[N, N]``."""
        neighbours, similarities = _array(self.neighbours), _array(self.similarities)
        row, column = (neighbours >= 0).nonzero()
        pairs = (similarities[row, column].astype(np.float64), (row, neighbours[row, column]))
        return sparse.csr_matrix(pairs, shape=(self.num_items, self.num_items))


def _cooccurrences(train: Histories, num_items: int, config: ItemKNNConfig) -> sparse.csr_matrix:
    """Return the weighted co-occurrences c_ij, ``[N, N]``."""
    counts = sparse.csr_matrix((num_items, num_items), dtype=np.float64)
    for distance, (first, second) in enumerate(train.near(config.window), 1):
        pairs = (np.full(len(first), distance**-config.distance), (first, second))
        counts = counts + sparse.coo_matrix(pairs, shape=counts.shape).tocsr()
    if config.direction == "forward" or not config.backward:
        return counts
    return (counts + config.backward * counts.T).tocsr()


def _array(tensor: Tensor) -> AnyArray:
    from recops_models.training.device import array

    return array(tensor)
