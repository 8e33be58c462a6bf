"""Metrics of semantic IDs as paths: collisions, evenness and branching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from recops import SidTrie
from recops.state.trie import Branching
from recops_models.tokenizers.diagnosis.content import Collisions, PathFigures
from recops_models.tokenizers.usage import held_by_top, spread


def number_paths(codes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the path number of each item, from 0 in lexicographic order of codes ``[N, L]``.

    O(N log N).
    """
    _, path = np.unique(codes, axis=0, return_inverse=True)
    return np.asarray(path.reshape(-1), dtype=np.int64)


def path_figures(
    path: NDArray[np.int64], sizes: Sequence[int], weights: NDArray[np.float64] | None
) -> PathFigures:
    """Return the evenness of the weight over the paths in use.

    Args:
        path: ``[N]``, from :func:`number_paths`.
        sizes: K_l per level.
        weights: ``[N]``, weight of each item; None: 1.

    Returns:
        the measures of :func:`~recops_models.tokenizers.usage.spread`, with ``entropy_ratio`` over
        all Π K_l paths and ``gini`` over the paths in use; ``top_share``, the share of the weight
        on the fullest 1, 5 and 10 % of the paths in use.
    """
    loads = np.bincount(path, weights=weights)
    possible = float(np.prod(np.asarray(sizes, dtype=np.float64)))
    return {**spread(loads, possible), "top_share": held_by_top(loads)}


def collisions(path: NDArray[np.int64]) -> Collisions:
    """Return how many items share a semantic ID.

    Returns:
        ``unique_sid``, the number of different SIDs; ``no_collision_rate``, that number over N;
        ``uniquely_identified_item_rate``, the share of items that share their SID with no item;
        ``collision_rate``, the share of the others; ``max_collision``, the most items on one SID.
    """
    items = np.bincount(path)
    unique_rate = int((items == 1).sum()) / len(path)
    return {
        "unique_sid": len(items),
        "no_collision_rate": len(items) / len(path),
        "uniquely_identified_item_rate": unique_rate,
        "collision_rate": 1 - unique_rate,
        "max_collision": int(items.max()),
    }


def branching(codes: NDArray[np.integer], sizes: Sequence[int]) -> list[Branching]:
    """Return the branching of the codes' trie; see :meth:`recops.SidTrie.branching`."""
    trie = SidTrie.from_sids(torch.from_numpy(codes), vocab_sizes=list(sizes))
    return trie.branching()
