"""A graph of items with weights, in the form that sums over neighbours read: CSR."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models.data.histories import Int64Array
from recops_models.graphs.cooccurrence import Int32Array, NeighbourCounts

EdgeWeights = Literal["average", "counts", "gcn"]

_KIND = "item-graph"


@dataclass(frozen=True, eq=False)
class ItemGraph:
    """Of each of V items the neighbours whose vectors make its centre, itself among them.

    Attributes:
        offsets: ``[V + 1]`` i64: the edges of item i are ``[offsets[i], offsets[i + 1])``.
        neighbours: ``[E]`` i32, ascending within an item, each once.
        weights: ``[E]`` f32.
    """

    offsets: Int64Array
    neighbours: Int32Array
    weights: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        counts: NeighbourCounts,
        *,
        neighbours: int = 20,
        weights: EdgeWeights = "average",
        self_weight: float = 1.0,
        without: int = 0,
    ) -> ItemGraph:
        """The graph of each item's most frequent neighbours and a loop to itself.

        With ``n'_ij`` 1, or the count where ``weights`` is ``"counts"``, and ``n'_ii`` the
        ``self_weight``, there in units of the item's largest count:

        - ``"average"``, ``"counts"``: ``w_ij = n'_ij / Σ_j n'_ij``: rows sum to 1.
        - ``"gcn"``: i and j are neighbours where either is among the other's, and
          ``w_ij = n'_ij / √(d_i d_j)`` with ``d_i = Σ_j n'_ij`` of *this* graph, not of all
          counts.

        An item without neighbours has its loop alone, with weight 1: its centre is its own row.

        Source: Res-embedding (arXiv 1906.10304); that there are three such forms is
        second-hand and unverified, the self loop and its weight are the project's choice.

        Args:
            counts: of V items.
            neighbours: m, beside the loop.
            weights: their form.
            self_weight: > 0.
            without: the first so many items have no edges, not even a loop: padding.

        Raises:
            ValueError: ``self_weight`` is not positive, or ``neighbours`` is not.
        """
        if not (np.isfinite(self_weight) and self_weight > 0):
            raise ValueError(f"ItemGraph.of: self_weight must be > 0, got {self_weight}")
        top, size = counts.top(neighbours), len(counts)
        item, other = top.items, top.neighbours.astype(np.int64)
        value = top.counts if weights == "counts" else np.ones(len(other))
        if weights == "gcn":
            keys = np.unique(np.concatenate([item * size + other, other * size + item]))
            item, other, value = keys // size, keys % size, np.ones(len(keys))
        most = np.ones(size)
        if weights == "counts":
            first = np.flatnonzero(np.diff(top.offsets))
            most[first] = top.counts[top.offsets[first]]
        loops = np.arange(without, size)
        kept = (item >= without) & (other >= without)
        item = np.concatenate([item[kept], loops])
        other = np.concatenate([other[kept], loops])
        value = np.concatenate([value[kept], self_weight * most[loops]])
        degree = np.bincount(item, weights=value, minlength=size)
        scale = np.sqrt(degree[item] * degree[other]) if weights == "gcn" else degree[item]
        order = np.argsort(item * size + other)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=size))])
        return cls(
            offsets, other[order].astype(np.int32), (value / scale)[order].astype(np.float32)
        )

    @classmethod
    def of_new(cls, counts: NeighbourCounts, known: int, *, neighbours: int = 20) -> ItemGraph:
        """Of items that came later, the mean of the known ones that they were met with.

        Args:
            counts: of all items, those that came later from ``known`` on.
            known: V.
            neighbours: m.

        Returns:
            n items, counted from 0, whose edges lead to the V known ones; none where there are
            none.
        """
        item, other = counts.items - known, counts.neighbours
        kept = (item >= 0) & (other < known)
        lengths = np.bincount(item[kept], minlength=len(counts) - known)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        top = NeighbourCounts(offsets, other[kept], counts.counts[kept]).top(neighbours)
        order = np.lexsort((top.neighbours, top.items))
        weights = (1 / np.diff(top.offsets)[top.items]).astype(np.float32)
        return cls(top.offsets, top.neighbours[order], weights)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def items(self) -> Int64Array:
        """``[E]`` i64: whose edge each is."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def at_random(self, seed: int) -> ItemGraph:
        """As many neighbours of every item, drawn for each by itself; loops and weights stay.

        A control. (Items renamed by one permutation are none: those with the same neighbours still
        have the same ones.) Neighbours are drawn among items that have edges, each at most once.

        Raises:
            ValueError: an item has more edges than there are items to draw from.
        """
        rng = np.random.default_rng(seed)
        item = self.items
        known = np.flatnonzero(np.diff(self.offsets))
        if len(known) and np.diff(self.offsets).max() > len(known):
            raise ValueError("ItemGraph.at_random: an item has more edges than there are items")
        other = self.neighbours.astype(np.int64)
        loop = other == item
        redrawn = ~loop
        while redrawn.any():
            other[redrawn] = rng.choice(known, size=int(redrawn.sum()))
            keys = item * len(self) + other
            order = np.lexsort((~loop, keys))  # A loop before what happens to equal it.
            redrawn = np.zeros(len(other), dtype=np.bool_)
            redrawn[order[1:]] = np.diff(keys[order]) == 0
        order = np.argsort(item * len(self) + other)
        return ItemGraph(self.offsets, other[order].astype(np.int32), self.weights[order])

    def effective_neighbours(self) -> float:
        """``m_eff = 1 / mean_i Σ_j w_ij²`` over items i with edges: by so much averaging divides
        the mean variance of independent vectors; 1 where there is none.
        """
        item = self.items
        squares = np.bincount(item, weights=self.weights.astype(np.float64) ** 2)
        squares = squares[squares > 0]
        return float(1 / squares.mean()) if len(squares) else 1.0

    def save(self, path: Path, key: str) -> None:
        """Write the graph, in one piece, under the ``key`` of what it was made of."""
        tensors = {
            "offsets": torch.from_numpy(self.offsets),
            "neighbours": torch.from_numpy(self.neighbours),
            "weights": torch.from_numpy(self.weights),
        }
        save_tensors(path, tensors, kind=_KIND, meta={"key": key})

    @classmethod
    def load(cls, path: Path, key: str) -> ItemGraph | None:
        """The graph that :meth:`save` wrote; None where it was made of something else.

        Raises:
            CorruptFileError: the file is damaged, or no graph.
            FileNotFoundError: no such file.
        """
        tensors, meta = load_tensors(path, kind=_KIND)
        if meta.get("key") != key:
            return None
        try:
            arrays = (tensors[name].numpy() for name in ("offsets", "neighbours", "weights"))
            return cls(*arrays)
        except KeyError as error:
            raise CorruptFileError(f"{path}: holds no graph ({error})") from error
