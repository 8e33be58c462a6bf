"""Events and popularity behind the hits of item-kNN.

``python -m recops_evidence.league.knn_hits yelp decay=0.95 backward=1`` fits an item-kNN on the
training part, ranks the validation targets, and prints :func:`knn_hits`.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recops_models.data import load
from recops_models.data.splits import Examples
from recops_models.evaluation.metrics import evaluate, hits
from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig
from recops_models.generative.popularity import item_counts
from recops_models.recipes.job import Job
from recops_models.recipes.parts import part
from recops_models.recipes.setting_text import parse_settings
from recops_models.training.device import array
from recops_models.training.next_item_task import NextItemTask

_TOP = 10


class KnnHits(NamedTuple):
    """Figures of an item-kNN on n targets, as shares from 0 to 1.

    Attributes:
        hit_rate: share of targets among the ten best items.
        unreachable: share of targets that are similar to no event of the history.
        older: share of hits that are similar to older events, but not to the last one.
        several: share of hits that are similar to two events or more.
        popular: share of hits in the most popular quarter of the targets.
        by_popularity: hit rates by quarter of the targets' training events, rare ones first.
    """

    hit_rate: float
    unreachable: float
    older: float
    several: float
    popular: float
    by_popularity: tuple[float, ...]


def knn_hits(
    model: ItemKNN, examples: Examples, is_hit: NDArray[np.bool_], counts: NDArray[np.int64]
) -> KnnHits:
    """Return the figures of ``examples``, of which ``is_hit`` are found.

    Args:
        model: an item is similar to an event if it is among the neighbours that the model keeps.
        examples: targets and their histories.
        is_hit: ``[n]``.
        counts: ``[N]``, training events of each item.
    """
    targets, neighbours = examples.targets.items, array(model.neighbours)
    support, is_last = np.zeros(len(targets), dtype=np.int64), np.zeros(len(targets), dtype=bool)
    for index, (start, stop) in enumerate(pairwise(examples.histories.offsets.tolist())):
        events = examples.histories.items[max(start, stop - model.window) : stop]
        similar = (neighbours[events] == targets[index]).any(1)
        support[index], is_last[index] = similar.sum(), similar[-1:].any()
    events_of_target = counts[targets]
    edges = np.quantile(events_of_target, (0.25, 0.5, 0.75))
    quarter = np.searchsorted(edges, events_of_target)
    num_hits = max(1, int(is_hit.sum()))
    return KnnHits(
        hit_rate=float(is_hit.mean()),
        unreachable=float((support == 0).mean()),
        older=float((is_hit & (support > 0) & ~is_last).sum() / num_hits),
        several=float((is_hit & (support > 1)).sum() / num_hits),
        popular=float((is_hit & (quarter == 3)).sum() / num_hits),
        by_popularity=tuple(_rate(is_hit[quarter == each]) for each in range(4)),
    )


def _rate(is_hit: NDArray[np.bool_]) -> float:
    return float(is_hit.sum() / max(1, len(is_hit)))


def main() -> None:
    """Fit, rank and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="name of a data set")
    parser.add_argument("settings", nargs="*", help="settings of item-kNN, such as decay=0.6")
    options = parser.parse_args()
    chosen = dict(setting.split("=", 1) for setting in options.settings)
    job = Job.of("item-knn", options.data, parse_settings("item-knn", chosen), seed=0, quick=False)
    task = NextItemTask(load(options.data))
    model = ItemKNN.fit(task.train, task.num_items, part(job.parts, "sizes", ItemKNNConfig), seed=0)
    ranks = evaluate(model, task.validation, task.num_items).ranks
    counts = array(item_counts(task.train, task.num_items))
    figures = knn_hits(model, task.validation, array(hits(ranks, _TOP)) > 0, counts)
    for name, value in figures._asdict().items():
        print(name, value)


if __name__ == "__main__":
    main()
