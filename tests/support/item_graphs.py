"""Item graphs of random histories."""

from __future__ import annotations

import numpy as np

from recops_models.graphs.cooccurrence import cooccurrence_counts
from recops_models.graphs.item_graph import EdgeWeights, ItemGraph
from synthetic_histories import histories


def item_graph(
    rows: int, *, neighbours: int = 4, weights: EdgeWeights = "average", seed: int = 0
) -> ItemGraph:
    """Of a table with padding and an unknown: neither is met by anybody."""
    rng = np.random.default_rng(seed)
    met = [rng.integers(2, rows, size=8) for _ in range(rows)]
    counts = cooccurrence_counts(histories(met), rows)
    return ItemGraph.of(counts, neighbours=neighbours, weights=weights, without=1)
