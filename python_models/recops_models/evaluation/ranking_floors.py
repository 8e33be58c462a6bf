"""What counting alone reaches on rankings: popularity, and the company of the last item."""

from __future__ import annotations

from recops_models.data.splits import Split
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.last_item import LastItem
from recops_models.generative.popularity import Popularity, item_counts
from recops_models.generative.ranker import Recommender


def ranking_floors(split: Split) -> dict[str, dict[str, float]]:
    """The test metrics of ``"popularity"`` and ``"last item"``, both of the training part.

    Args:
        split: leave-one-out, or another; then each user's next event is asked for.

    Returns:
        By floor what :func:`~recops_models.evaluation.metrics.ranking_metrics` gives.
    """
    train, num_items = split.histories(), split.dataset.items.num_rows
    examples = split.examples("test").next_events()
    found: dict[str, Recommender] = {
        "popularity": Popularity(item_counts(train, num_items)),
        "last item": LastItem(train, num_items),
    }
    return {name: evaluate(floor, examples, num_items).metrics for name, floor in found.items()}
