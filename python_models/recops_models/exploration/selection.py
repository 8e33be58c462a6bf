"""Selection: from scores of candidates to their probabilities of being shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from recops._dtypes import widest_dtype


@dataclass(frozen=True)
class Selection(ABC):
    """``P(i) = (1 − ε) · best(i) + ε / C``, with C the number of remaining candidates.

    Attributes:
        epsilon: ε, the share of requests that show a uniformly drawn candidate.

    Raises:
        ValueError: ε is outside [0, 1].
    """

    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"Selection: epsilon must lie within [0, 1], got {self.epsilon}")

    def probabilities(self, scores: Tensor, available: Tensor) -> Tensor:
        """Return probabilities ``[R, C]``; unavailable candidates have exactly 0.

        Rows sum to 1. They are f64, or f32 on a device without float64.

        Args:
            scores: ``[R, C]``, finite where available.
            available: ``[R, C]`` bool, at least one in each row.

        Raises:
            ValueError: shapes do not fit, a score is not finite, or a row has no candidate.
        """
        if scores.ndim != 2 or scores.shape != available.shape:
            raise ValueError(
                f"Selection: scores and available must have the same shape [R, C], "
                f"got {list(scores.shape)} and {list(available.shape)}"
            )
        if not available.any(1).all():
            row = int((~available.any(1)).nonzero()[0])
            raise ValueError(
                f"Selection: available must hold a candidate in each row, got none in row {row}"
            )
        if not scores[available].isfinite().all():
            raise ValueError("Selection: scores must be finite where available")
        dtype = widest_dtype(scores.device)
        masked = scores.to(dtype).masked_fill(~available, -torch.inf)
        uniform = available.to(dtype) / available.sum(1, keepdim=True)
        return (1 - self.epsilon) * self._best(masked) + self.epsilon * uniform

    @abstractmethod
    def _best(self, scores: Tensor) -> Tensor:
        """Return probabilities ``[R, C]`` without ε; scores are −∞ where there is no candidate."""


@dataclass(frozen=True)
class Greedy(Selection):
    """The highest score, the first among equals; ε-greedy for ε > 0, uniform for ε = 1."""

    def _best(self, scores: Tensor) -> Tensor:
        return torch.zeros_like(scores).scatter(1, scores.argmax(1, keepdim=True), 1.0)


@dataclass(frozen=True)
class Softmax(Selection):
    """``∝ exp(score / temperature)``.

    Attributes:
        temperature: > 0, in the unit of the scores. Scores are click probabilities, so .01 is
            common.

    Raises:
        ValueError: the temperature is not positive.
    """

    temperature: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise ValueError(f"Softmax: temperature must be > 0, got {self.temperature}")

    def _best(self, scores: Tensor) -> Tensor:
        return (scores / self.temperature).softmax(1)
