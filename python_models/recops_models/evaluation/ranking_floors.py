"""Counting baselines of ranking metrics: popularity, co-occurrence, and items bought before."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from recops_models.data.dataset import Repeats
from recops_models.data.histories import Histories
from recops_models.data.splits import Split
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.bought_items import BoughtItems
from recops_models.generative.last_item import LastItem
from recops_models.generative.popularity import Popularity, item_counts
from recops_models.generative.ranker import Recommender


def ranking_floors(split: Split) -> dict[str, dict[str, float]]:
    """Return the test metrics of ``"popularity"`` and ``"last item"``, fitted to the training part.

    If the data set keeps repeats, also those of ``"bought before"`` (the items of the history by
    count) and ``"bought last"`` (by recency).

    Args:
        split: any split; the target is each user's first test event.

    Returns:
        baseline → metrics of :func:`~recops_models.evaluation.metrics.ranking_metrics`.
    """
    train, num_items = split.histories(), split.dataset.items.num_rows
    examples = split.examples("test").next_events()
    exclude_seen = split.dataset.repeats == "drop"
    counts = item_counts(train, num_items)
    return {
        name: evaluate(floor, examples, num_items, exclude_seen=exclude_seen).metrics
        for name, floor in floor_models([train], counts, repeats=split.dataset.repeats).items()
    }


def floor_models(
    blocks: Iterable[Histories], counts: Tensor, *, repeats: Repeats
) -> dict[str, Recommender]:
    """Return the baselines of :func:`ranking_floors`, fitted to training histories.

    Args:
        blocks: the training histories.
        counts: ``[N]``, training events of each item.
        repeats: treatment of repeats.
    """
    floors: dict[str, Recommender] = {
        "popularity": Popularity(counts),
        "last item": LastItem(blocks, len(counts)),
    }
    if repeats == "keep":
        floors["bought before"] = BoughtItems(counts, by="count")
        floors["bought last"] = BoughtItems(counts, by="recency")
    return floors
