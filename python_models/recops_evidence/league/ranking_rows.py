"""Rows of the ranking league, in order of cost."""

from __future__ import annotations

from collections.abc import Mapping

from recops_evidence.harness.experiment import Setting
from recops_evidence.league.row import Grid, Row

_TRAINING: Mapping[str, Setting] = {
    "select": "ndcg@10",
    "epochs": 15,
    "patience": 4,
    "batch": 64,
    "validation_users": 2000,
}
_GRID: Grid = {
    "learning_rate": (1e-3, 2e-3, 4e-3),
    "dropout": (0.2, 0.4, 0.6),
    "weight_decay": (0.0, 0.01, 0.1),
}

_POPULARITY = Row(
    "popularity",
    "popularity",
    is_baseline=True,
    is_seeded=False,
    use="There are no histories.",
    avoid="Users have events.",
)
_ITEM_KNN = Row(
    "item-kNN",
    "item-knn",
    {"window": 3, "shrinkage": 5.0, "history": 50, "neighbours": 200},
    {"decay": (0.3, 0.5, 0.7, 0.9), "normalization": (0.25, 0.5, 0.75)},
    is_baseline=True,
    limits={"decay": 1.0, "normalization": 1.0},
    use="Always first: it trains in seconds, and on sparse data it is hard to beat.",
    avoid="Order beyond the last few events carries signal.",
)
_EASE = Row(
    "EASE",
    "ease",
    {"history": 200},
    {"l2": (30.0, 100.0, 300.0), "decay": (0.5, 0.7, 0.9)},
    is_baseline=True,
    is_seeded=False,
    limits={"decay": 1.0},
    use="Up to 30,000 items, and taste matters more than order.",
    avoid="Larger catalogues: it stores a weight per pair of items.",
)
_SASREC = Row(
    "SASRec",
    "sasrec",
    {**_TRAINING, "history": 50, "width": 64, "heads": 2, "layers": 2},
    _GRID,
    use="Order matters and each item has enough events.",
    avoid="Sparse data, before item-kNN is tried.",
)

RANKING_ROWS: tuple[Row, ...] = (_POPULARITY, _ITEM_KNN, _EASE, _SASREC)
"""Rows of ranking sets."""
