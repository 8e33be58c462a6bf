"""Metrics of click models: how well they rank, and how far their probabilities can be trusted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.evaluation.grouped_auc import GroupedAuc, auc, grouped_auc

CLICK_METRICS = ("auc", "auc_known", "gauc", "logloss", "pcoc", "ece")
"""What :meth:`ClickMetrics.compute` gives."""

ECE_BINS = 15
"""Bins of equal width in [0, 1]."""


class _Examples(NamedTuple):
    scores: NDArray[np.floating]
    label: NDArray[np.bool_]
    group: NDArray[np.int64]
    known: NDArray[np.bool_]


class ClickMetrics:
    """AUC, gAUC, logloss, PCOC and ECE of a stream of batches, exact to float64.

    AUC is told of all examples and, beside it, of those whose candidate training knew: a model that
    never met an item cannot rank it, and may be no worse for that.

    Every example is kept until the end, 14 bytes each with float32 scores, since an exact AUC
    needs them all.

    Args:
        logits: whether scores are logits; else they are probabilities. Logits keep apart what
            sigmoid in float32 rounds to 1.
    """

    def __init__(self, *, logits: bool = True) -> None:
        self.logits = logits
        self._parts: list[_Examples] = []

    def update(
        self, scores: Tensor, label: Tensor, group: Tensor, known: Tensor | None = None
    ) -> None:
        """Take a batch.

        Args:
            scores: ``[B]`` floats, higher for a likelier click.
            label: ``[B]``, 0 or 1.
            group: ``[B]`` i64, the user.
            known: ``[B]`` bool, whether training knew the candidate; None: it knew all.

        Raises:
            ValueError: the shapes differ, a score is not finite or no probability, or a label is
                neither 0 nor 1.
        """
        if scores.ndim != 1 or not scores.shape == label.shape == group.shape:
            raise ValueError(
                "ClickMetrics.update: scores, label and group must be equal [B], got "
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
            raise ValueError("ClickMetrics.update: scores must be probabilities within [0, 1]")
        if ((label != 0) & (label != 1)).any():
            raise ValueError("ClickMetrics.update: label must be 0 or 1")
        kept = scores.detach().cpu()
        kept = kept if kept.dtype == torch.float64 else kept.float()
        known = torch.ones_like(kept, dtype=torch.bool) if known is None else known.cpu()
        self._parts.append(
            _Examples(kept.numpy(), label.cpu().numpy() == 1, group.cpu().numpy(), known.numpy())
        )

    def compute(self) -> dict[str, float]:
        """``auc``, ``auc_known``, ``gauc``, ``logloss``, ``pcoc`` and ``ece``; NaN where one is not
        defined.

        Logloss is in nats; where scores are probabilities, the one of what happened counts as 2⁻⁵²
        at least. PCOC is the sum of predicted probabilities over the number of clicks: above 1, the
        model promises too much. ECE is :func:`expected_calibration_error`. O(N log N).
        """
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
        """gAUC, with the number of groups that entered it and that did not."""
        scores, label, group, _ = self._examples()
        return grouped_auc(scores, label, group)

    def _examples(self) -> _Examples:
        none = np.empty(0, np.bool_)
        start = _Examples(np.empty(0, np.float32), none, np.empty(0, np.int64), none)
        return _Examples(*map(np.concatenate, zip(*(self._parts or [start]), strict=True)))

    def _probability_and_loss(
        self, scores: NDArray[np.float64], label: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.logits:
            miss = np.where(label, -scores, scores)  # log(1 + e^miss) is −log of what was right.
            return np.exp(-np.logaddexp(0, -scores)), np.logaddexp(0, miss)
        right = np.where(label, scores, 1 - scores)
        return scores, -np.log(np.clip(right, np.finfo(np.float64).eps, 1))


def expected_calibration_error(
    probability: NDArray[np.float64], label: NDArray[np.bool_], bins: int = ECE_BINS
) -> float:
    """``Σ_b n_b / N · |mean probability in b − share of clicks in b|`` over bins of equal width.

    Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI
    2015.
    """
    which = np.minimum((probability * bins).astype(np.int64), bins - 1)
    gap = np.bincount(which, weights=probability - label, minlength=bins)
    return float(np.abs(gap).sum() / len(probability))
