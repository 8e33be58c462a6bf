"""Rows of the ranking league, in order of cost."""

from __future__ import annotations

from collections.abc import Mapping

from recops_evidence.harness.experiment import Setting
from recops_evidence.league.row import Grid, LeagueRow

_TRAINING: Mapping[str, Setting] = {
    "select": "ndcg@10",
    "epochs": 15,
    "patience": 4,
    "batch": 64,
    "validation_users": 2000,
}
_LARGER = ("beauty", "toys", "yelp", "office", "ml-1m")
_WIDER: Mapping[str, Mapping[str, Setting]] = {
    f"ranking:{data}": {"width": 128} for data in _LARGER
}
"""Sets on which nets are 128 wide. On ml-100k, with 1,682 items, a width of 64 finds more."""
_GRID: Grid = {
    "learning_rate": (1e-3, 2e-3, 4e-3),
    "dropout": (0.2, 0.4, 0.6),
    "weight_decay": (0.0, 0.01, 0.1),
}

_POPULARITY = LeagueRow(
    "popularity",
    "popularity",
    is_baseline=True,
    is_seeded=False,
    use="There are no histories.",
    avoid="Users have events.",
)
_ITEM_KNN = LeagueRow(
    "item-kNN",
    "item-knn",
    {
        "window": 20,
        "distance": 0.5,
        "shrinkage": 5.0,
        "normalization": 0.5,
        "history": 50,
        "neighbours": 200,
    },
    {
        "decay": (0.6, 0.8, 0.95),
        "candidate_normalization": (0.0, 0.25, 0.5),
        "backward": (0.4, 0.7, 1.0),
    },
    is_baseline=True,
    limits={"decay": 1.0, "candidate_normalization": 1.0, "backward": 1.0},
    use="Always first: it trains in seconds, and on sparse data it is hard to beat.",
    avoid="Order beyond the last few events carries signal.",
)
_EASE = LeagueRow(
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
_SASREC = LeagueRow(
    "SASRec",
    "sasrec",
    {**_TRAINING, "history": 50, "width": 64, "heads": 2, "layers": 2},
    _GRID,
    on=_WIDER,
    shortened=("ranking:yelp",),
    use="Order matters and each item has enough events.",
    avoid="Sparse data, before item-kNN is tried.",
)

_SAMPLED = LeagueRow(
    "SASRec (sampled softmax)",
    "sasrec",
    {**_TRAINING, "history": 50, "width": 64, "heads": 2, "layers": 2, "negatives": 256},
    on=_WIDER,
    tuned_as="SASRec",
    sets=("ml-100k", "toys"),  # A weaker baseline than SASRec; two sets show what it loses.
    use="The catalogue is too large for a softmax over all items.",
    avoid="Training can score all items.",
)
_SEMANTIC: Mapping[str, Setting] = {
    # On ml-100k, validation still rises at epoch 15; content vectors raised it by .010 and .013.
    **{**_TRAINING, "epochs": 24, "item_content": "true"},
    **{"history": 50, "width": 64, "heads": 2, "history_layers": 1, "layers": 1},
    **{"experts": 2, "expert_hidden": 64, "head_hidden": 128, "hash_width": 8},
    **{"item_scores": 2.0, "item_loss": 4.0, "beams": 100},
    **{"attributes": "auto", "levels": 3, "codes": 256},
}
_LONG = tuple(_WIDER)
"""Sets on which one training of UniRec takes more than ten core-minutes."""
_WIDER_SEMANTIC: Mapping[str, Mapping[str, Setting]] = {
    name: {**each, "expert_hidden": 128, "epochs": 15} for name, each in _WIDER.items()
}
_UNIREC = LeagueRow(
    "UniRec",
    "unirec",
    {**_SEMANTIC, "negatives": 1600, "candidates": "beams"},
    on=_WIDER_SEMANTIC,
    shortened=_LONG,
    tuned_as="UniRec (all item scores)",
    tuned_on={"ranking:yelp": ("ranking:toys", "UniRec")},  # That row is not measured there.
    use="Millions of items, new items without events, or several tasks.",
    avoid="Small catalogues, whose items can all be scored.",
)
_UNIREC_SCORES = LeagueRow(
    "UniRec (all item scores)",
    "unirec",
    {**_SEMANTIC, "negatives": 0, "candidates": "scores"},
    _GRID,
    on=_WIDER_SEMANTIC,
    shortened=_LONG,
    # One training takes 15 core-minutes on Beauty, and on Yelp 50, above the limit of a run.
    tuned_on={"ranking:beauty": ("ranking:toys", "UniRec (all item scores)")},
    sets=("ml-100k", "beauty", "toys", "office", "ml-1m"),
    use="Semantic IDs, and all items can be scored.",
    avoid="More than a million items.",
)
_TIGER = LeagueRow(
    "TIGER",
    "tiger",
    {
        **{**_TRAINING, "epochs": 60, "patience": 8, "precision": "bf16"},
        **{"history": 20, "width": 128, "heads": 4, "hidden": 512, "beams": 50},
        **{"encoder_layers": 6, "decoder_layers": 6, "levels": 3, "codes": 256},
    },
    {"learning_rate": (1.5e-4, 3e-4, 6e-4), "dropout": (0.1, 0.2, 0.3)},
    sets=("ml-100k", "beauty"),  # A training on Beauty takes hours.
    use="A comparison with published generative models.",
    avoid="Accuracy or training time matters.",
)

RANKING_ROWS: tuple[LeagueRow, ...] = (
    _POPULARITY,
    _ITEM_KNN,
    _EASE,
    _SASREC,
    _SAMPLED,
    _UNIREC,
    _UNIREC_SCORES,
    _TIGER,
)
"""Rows of ranking sets."""
