"""Item graphs of random histories."""

from __future__ import annotations

import numpy as np

from recops_models.graphs.cooccurrence import cooccurrence_counts
from recops_models.graphs.item_graph import EdgeWeights, ItemGraph
from synthetic_histories import histories


def item_graph(
    rows: int, *, neighbours: int = 4, weights: EdgeWeights = "average", seed: int = 0
) -> ItemGraph:
    """Return a random graph; the rows of padding and unknown items have no neighbours."""
    rng = np.random.default_rng(seed)
    items = [rng.integers(2, rows, size=8) for _ in range(rows)]
    counts = cooccurrence_counts(histories(items), rows)
    return ItemGraph.of(counts, neighbours=neighbours, weights=weights, without=1)
