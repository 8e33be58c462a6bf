"""Metrics of click models: ranking (AUC, gAUC), likelihood (logloss), calibration (PCOC, ECE)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models import workers
from recops_models.evaluation.grouped_auc import GroupedAuc, auc, grouped_auc
from recops_models.evaluation.over_workers import (
    auc_over_workers,
    grouped_auc_over_workers,
    total,
)
from recops_models.training.device import array, to_host

CLICK_METRICS = ("auc", "auc_known", "gauc", "logloss", "pcoc", "ece")
"""Names of the metrics of :meth:`ClickMetrics.compute`."""

ECE_BINS = 15
"""Number of bins of equal width in [0, 1]."""


class _Examples(NamedTuple):
    scores: NDArray[np.floating]
    label: NDArray[np.bool_]
    group: NDArray[np.int64]
    known: NDArray[np.bool_]


class ClickMetrics:
    """Accumulator of AUC, gAUC, logloss, PCOC and ECE over batches, exact to float64.

    ``auc_known`` is the AUC of the examples whose candidate is in the training vocabulary, because
    no model can rank items that it has not seen.

    An exact AUC needs all examples, so they are stored: 14 bytes each with float32 scores.

    Args:
        logits: whether scores are logits or probabilities. Logits distinguish scores whose sigmoid
            rounds to 1 in float32.

    Example:
        >>> import torch
        >>> metrics = ClickMetrics()
        >>> metrics.update(torch.tensor([2.0, -1.0]), torch.tensor([1, 0]), torch.tensor([7, 7]))
        >>> metrics.compute()["auc"]
        1.0
    """

    def __init__(self, *, logits: bool = True) -> None:
        self.logits = logits
        self._parts: list[_Examples] = []

    def update(
        self, scores: Tensor, label: Tensor, group: Tensor, known: Tensor | None = None
    ) -> None:
        """Add a batch.

        Args:
            scores: ``[B]`` floats, higher for a likelier click.
            label: ``[B]``, 0 or 1.
            group: ``[B]`` i64, the user.
            known: ``[B]`` bool, whether the candidate is in the training vocabulary; None: all are.

        Raises:
            ValueError: the shapes differ, a score is not finite or not a probability, or a label is
                neither 0 nor 1.
        """
        if scores.ndim != 1 or not scores.shape == label.shape == group.shape:
            raise ValueError(
                "ClickMetrics.update: scores, label and group must have the same shape [B], got "
                f"{list(scores.shape)}, {list(label.shape)} and {list(group.shape)}"
            )
        if known is not None and known.shape != scores.shape:
            raise ValueError(
                f"ClickMetrics.update: known must be {tuple(scores.shape)}, got "
                f"{tuple(known.shape)}"
            )
        if not scores.isfinite().all():
            raise ValueError("ClickMetrics.update: scores must be finite, got NaN or infinity")
        if not self.logits and ((scores < 0) | (scores > 1)).any():
            raise ValueError("ClickMetrics.update: scores must be probabilities in [0, 1]")
        if ((label != 0) & (label != 1)).any():
            raise ValueError("ClickMetrics.update: label must be 0 or 1")
        stored = to_host(scores)
        stored = stored if stored.dtype == torch.float64 else stored.float()
        known = torch.ones_like(stored, dtype=torch.bool) if known is None else known
        self._parts.append(_Examples(array(stored), array(label) == 1, array(group), array(known)))

    def compute(self) -> dict[str, float]:
        """Return ``auc``, ``auc_known``, ``gauc``, ``logloss``, ``pcoc`` and ``ece``.

        Undefined metrics are NaN. Logloss is in nats; with probabilities as scores, the probability
        of the label is clipped below at 2⁻⁵². PCOC is the sum of predicted probabilities divided by
        the number of clicks; above 1, predictions are too high. ECE is
        :func:`expected_calibration_error`. O(N log N).

        With several workers, the metrics are those of all workers' examples.
        """
        if workers.several():
            return self._compute_over_workers()
        scores, label, _, known = self._examples()
        if not len(scores):
            return dict.fromkeys(CLICK_METRICS, float("nan"))
        probability, loss = self._probability_and_loss(scores.astype(np.float64), label)
        clicks = int(label.sum())
        return {
            "auc": auc(scores, label),
            "auc_known": auc(scores[known], label[known]),
            "gauc": self.grouped_auc().value,
            "logloss": float(loss.mean()),
            "pcoc": float(probability.sum() / clicks) if clicks else float("nan"),
            "ece": expected_calibration_error(probability, label),
        }

    def grouped_auc(self) -> GroupedAuc:
        """Return gAUC, with the numbers of groups with and without a defined AUC."""
        scores, label, group, _ = self._examples()
        return grouped_auc(scores, label, group)

    def _compute_over_workers(self) -> dict[str, float]:
        scores, label, group, known = self._examples()
        probability, loss = self._probability_and_loss(scores.astype(np.float64), label)
        sums = total(np.array([loss.sum(), probability.sum(), label.sum(), len(label)]))
        losses, predicted, clicks, number = map(float, sums)
        if not number:
            return dict.fromkeys(CLICK_METRICS, float("nan"))
        return {
            "auc": auc_over_workers(scores, label),
            "auc_known": auc_over_workers(scores[known], label[known]),
            "gauc": grouped_auc_over_workers(scores, label, group).value,
            "logloss": losses / number,
            "pcoc": predicted / clicks if clicks else float("nan"),
            "ece": float(np.abs(total(calibration_gaps(probability, label))).sum() / number),
        }

    def _examples(self) -> _Examples:
        none = np.empty(0, np.bool_)
        start = _Examples(np.empty(0, np.float32), none, np.empty(0, np.int64), none)
        return _Examples(*map(np.concatenate, zip(*(self._parts or [start]), strict=True)))

    def _probability_and_loss(
        self, scores: NDArray[np.float64], label: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.logits:
            wrong = np.where(label, -scores, scores)  # Loss: log(1 + e^wrong).
            return np.exp(-np.logaddexp(0, -scores)), np.logaddexp(0, wrong)
        label_probability = np.where(label, scores, 1 - scores)
        return scores, -np.log(np.clip(label_probability, np.finfo(np.float64).eps, 1))


def expected_calibration_error(
    probability: NDArray[np.float64], label: NDArray[np.bool_], bins: int = ECE_BINS
) -> float:
    """Return ``Σ_b n_b / N · |mean probability in b − share of clicks in b|`` over equal bins.

    Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI
    2015.
    """
    return float(np.abs(calibration_gaps(probability, label, bins)).sum() / len(probability))


def calibration_gaps(
    probability: NDArray[np.float64], label: NDArray[np.bool_], bins: int = ECE_BINS
) -> NDArray[np.float64]:
    """Return ``Σ_{i in b} (probability_i − label_i)`` per bin b of equal width, ``[bins]``."""
    index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, weights=probability - label, minlength=bins)
    return gaps.astype(np.float64, copy=False)
