"""Exact AUC and gAUC of examples that are spread over several workers.

No worker receives all examples. For the AUC, each gets one range of scores and ranks its examples;
for gAUC, it gets some of the groups.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from recops_models import workers
from recops_models.evaluation.grouped_auc import GroupedAuc, group_aucs, rank_sums
from recops_models.training.device import array

_SAMPLES = 256
"""Scores per worker that choose the ranges."""


def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of an array over all workers."""
    return array(workers.total(torch.from_numpy(values)))


def auc_over_workers(scores: NDArray[np.floating], label: NDArray[np.bool_]) -> float:
    """Return :func:`~recops_models.evaluation.grouped_auc.auc` of all workers' examples.

    It equals the AUC of the concatenated examples bit for bit, since ranks are integers.
    O(N / W · log N) per worker, and each example is sent once.

    Args:
        scores: ``[n]``, of this worker.
        label: ``[n]``.
    """
    rows = np.empty(len(scores), dtype=[("score", np.float64), ("label", np.bool_)])
    rows["score"], rows["label"] = scores, label
    rows = exchange(rows, _ranges(rows["score"]))
    ranks, clicks, size = rank_sums(rows["score"], rows["label"], np.zeros(len(rows), np.int64))
    own = (ranks.sum(), clicks.sum(), size.sum())
    sums = workers.gathered([int(number) for number in own])
    lower = np.cumsum(sums[:, 2]) - sums[:, 2]  # Examples with lower scores, per worker.
    ranked = int((sums[:, 0] + 2 * sums[:, 1] * lower).sum())
    number, clicked = int(sums[:, 2].sum()), int(sums[:, 1].sum())
    pairs = clicked * (number - clicked)
    return (ranked - clicked * (clicked + 1)) / (2 * pairs) if pairs else float("nan")


def grouped_auc_over_workers(
    scores: NDArray[np.floating], label: NDArray[np.bool_], group: NDArray[np.int64]
) -> GroupedAuc:
    """Return :func:`~recops_models.evaluation.grouped_auc.grouped_auc` of all workers' examples.

    It equals that of the concatenated examples up to the order of a sum in float64.

    Args:
        scores: ``[n]``, of this worker.
        label: ``[n]``.
        group: ``[n]``.
    """
    names = [("score", np.float64), ("label", np.bool_), ("group", np.int64)]
    rows = np.empty(len(scores), dtype=names)
    rows["score"], rows["label"], rows["group"] = scores, label, group
    rows = exchange(rows, group % workers.share().size)
    value, size = group_aucs(rows["score"], rows["label"], rows["group"])
    is_defined = ~np.isnan(value)
    weighted = total(np.array([(value * size)[is_defined].sum()]))[0]
    counts = [size[is_defined].sum(), is_defined.sum(), (~is_defined).sum()]
    examples, groups, left_out = workers.gathered([int(count) for count in counts]).sum(0)
    mean = float(weighted / examples) if examples else float("nan")
    return GroupedAuc(mean, int(groups), int(left_out))


def exchange(rows: NDArray[np.void], destination: NDArray[np.int64]) -> NDArray[np.void]:
    """Send each row to a worker, and return the received ones.

    Args:
        rows: ``[n]``, of a structured dtype.
        destination: ``[n]``, number of the worker.
    """
    size = workers.share().size
    rows = rows[np.argsort(destination, kind="stable")]
    counts = np.bincount(destination, minlength=size)
    received = workers.gathered(_integers(counts))[:, workers.share().rank]
    width = rows.dtype.itemsize
    out = torch.empty(int(received.sum()) * width, dtype=torch.uint8)
    workers.collective(
        dist.all_to_all_single,
        out,
        torch.from_numpy(rows.view(np.uint8)),
        _integers(received * width),
        _integers(counts * width),
    )
    return array(out).view(rows.dtype)


def _integers(values: NDArray[np.int64]) -> list[int]:
    return [int(value) for value in values]


def _ranges(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the worker of each score: ascending ranges with about equal numbers of examples."""
    at = np.linspace(0, len(scores) - 1, _SAMPLES).astype(np.int64)
    sample = np.sort(scores)[at] if len(scores) else np.full(_SAMPLES, np.nan)
    samples = workers.gathered(_integers(sample.view(np.int64))).view(np.float64)
    ordered = np.sort(samples[~np.isnan(samples)])
    size = workers.share().size
    bounds = ordered[len(ordered) * np.arange(1, size) // size] if len(ordered) else np.empty(0)
    return np.searchsorted(bounds, scores, side="right")
