"""Weighted item graph in CSR form."""

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
    """Weighted neighbours of V items; a neighbour's vector contributes to the item's centre.

    Attributes:
        offsets: ``[V + 1]`` i64: the edges of item i are ``[offsets[i], offsets[i + 1])``.
        neighbours: ``[E]`` i32, distinct and ascending within an item; an item is its own
            neighbour.
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
        """Return the graph of each item's most frequent neighbours, with a self-loop.

        Let ``n'_ij`` be 1, or the count for ``weights="counts"``. Let ``n'_ii`` be ``self_weight``,
        multiplied by the item's largest count for ``"counts"``.

        - ``"average"``, ``"counts"``: ``w_ij = n'_ij / Σ_j n'_ij``; rows sum to 1.
        - ``"gcn"``: edges are symmetric: i and j are neighbours if either is among the other's.
          ``w_ij = n'_ij / √(d_i d_j)``, where ``d_i = Σ_j n'_ij`` over the edges of this graph.

        An item without neighbours has its self-loop with weight 1, so its centre is its own vector.

        Source: Res-embedding (arXiv 1906.10304). That there are three such forms is second-hand and
        unverified; the self-loop and its weight are the project's choice.

        Args:
            counts: counts of V items.
            neighbours: m, without the self-loop.
            weights: the form.
            self_weight: > 0.
            without: number of first items that have no edges at all (padding).

        Raises:
            ValueError: ``self_weight`` or ``neighbours`` is not positive.
        """
        if not (np.isfinite(self_weight) and self_weight > 0):
            raise ValueError(f"ItemGraph.of: self_weight must be > 0, got {self_weight}")
        top, size = counts.top(neighbours), len(counts)
        item, other = top.items, top.neighbours.astype(np.int64)
        value = top.counts if weights == "counts" else np.ones(len(other))
        if weights == "gcn":
            keys = np.unique(np.concatenate([item * size + other, other * size + item]))
            item, other, value = keys // size, keys % size, np.ones(len(keys))
        largest = np.ones(size)
        if weights == "counts":
            first = np.flatnonzero(np.diff(top.offsets))
            largest[first] = top.counts[top.offsets[first]]
        loops = np.arange(without, size)
        has_edges = (item >= without) & (other >= without)
        item = np.concatenate([item[has_edges], loops])
        other = np.concatenate([other[has_edges], loops])
        value = np.concatenate([value[has_edges], self_weight * largest[loops]])
        degree = np.bincount(item, weights=value, minlength=size)
        scale = np.sqrt(degree[item] * degree[other]) if weights == "gcn" else degree[item]
        order = np.argsort(item * size + other)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=size))])
        return cls(
            offsets, other[order].astype(np.int32), (value / scale)[order].astype(np.float32)
        )

    @classmethod
    def of_new(cls, counts: NeighbourCounts, known: int, *, neighbours: int = 20) -> ItemGraph:
        """Return the neighbours of new items among the known ones, with equal weights.

        Args:
            counts: counts of all items; new items start at ``known``.
            known: V.
            neighbours: m.

        Returns:
            A graph of n new items, numbered from 0, with edges to the V known ones. An item may
                have none.
        """
        item, other = counts.items - known, counts.neighbours
        is_edge = (item >= 0) & (other < known)
        lengths = np.bincount(item[is_edge], minlength=len(counts) - known)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        top = NeighbourCounts(offsets, other[is_edge], counts.counts[is_edge]).top(neighbours)
        order = np.lexsort((top.neighbours, top.items))
        weights = (1 / np.diff(top.offsets)[top.items]).astype(np.float32)
        return cls(top.offsets, top.neighbours[order], weights)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def items(self) -> Int64Array:
        """The item ``[E]`` i64 that each edge starts from."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def at_random(self, seed: int) -> ItemGraph:
        """Return a control: each item has the same number of neighbours, drawn at random.

        Self-loops and weights are unchanged. Neighbours are drawn independently per item among
        items with edges, without repetition. (Permuting items would be no control: items with
        common neighbours would still have common neighbours.)

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
            order = np.lexsort((~loop, keys))  # Self-loops come before equal draws.
            redrawn = np.zeros(len(other), dtype=np.bool_)
            redrawn[order[1:]] = np.diff(keys[order]) == 0
        order = np.argsort(item * len(self) + other)
        return ItemGraph(self.offsets, other[order].astype(np.int32), self.weights[order])

    def effective_neighbours(self) -> float:
        """Return ``m_eff = 1 / mean_i Σ_j w_ij²`` over items i with edges, or 1 without edges.

        The weighted mean divides the mean variance of independent vectors by m_eff.
        """
        item = self.items
        squares = np.bincount(item, weights=self.weights.astype(np.float64) ** 2)
        squares = squares[squares > 0]
        return float(1 / squares.mean()) if len(squares) else 1.0

    def save(self, path: Path, key: str) -> None:
        """Write the graph to a file, with a ``key`` of its inputs."""
        tensors = {
            "offsets": torch.from_numpy(self.offsets),
            "neighbours": torch.from_numpy(self.neighbours),
            "weights": torch.from_numpy(self.weights),
        }
        save_tensors(path, tensors, kind=_KIND, meta={"key": key})

    @classmethod
    def load(cls, path: Path, key: str) -> ItemGraph | None:
        """Return the graph that :meth:`save` wrote, or None if its key differs.

        Raises:
            CorruptFileError: the file is damaged, or holds no graph.
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
