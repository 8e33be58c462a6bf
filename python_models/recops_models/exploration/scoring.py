"""Scores that a policy ranks candidates by: click probabilities, with or without a bonus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from recops_models.click.age import Age, item_ids
from recops_models.click.age_scores import AgeScorer, AgeScores, Exploration
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.layers.counter_random import keys_of, uniform
from recops_models.layers.head_passes import HeadPasses


class Scoring(ABC):
    """Scores of rows, a function of the batch and a seed."""

    @property
    def drawn(self) -> bool:
        """True if scores are random; a policy's probabilities are then conditional on the draw."""
        return False

    @abstractmethod
    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """Return scores ``[B]``; a higher score is shown more often.

        Args:
            batch: B rows.
            seed: seed of random scores; each row's draw depends on it, the user and the item.
            impressions: ``[B]``, the number of impressions of each item, for scorings that use it.

        Raises:
            ValueError: the model is in training mode.
        """


class PlainScoring(Scoring):
    """``f``, the click probability."""

    def __init__(self, model: ClickModel) -> None:
        self.model = model

    @torch.no_grad()
    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        probability: Tensor = _check_evaluation(self.model)(batch).sigmoid()
        return probability


class NoScoring(Scoring):
    """0 for every row, for selections that ignore scores."""

    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        return torch.zeros_like(batch.label)


class BonusScoring(Scoring):
    """``f + c δ``, with δ by Monte Carlo dropout.

    "ts" is Thompson sampling, δ of one mask; "ucb" is an upper bound, δ the spread of N masks. See
    :class:`~recops_models.click.age_scores.Exploration`.

    Args:
        model: a click model whose head is a sequence of layers.
        exploration: settings of δ; others are ignored.
        c: weight of δ, ≥ 0.

    Raises:
        ValueError: c < 0, or a head of an unknown structure.
    """

    def __init__(self, model: ClickModel, exploration: Exploration, c: float = 1.0) -> None:
        if c < 0:
            raise ValueError(f"BonusScoring: c must be ≥ 0, got {c}")
        self.model, self.c = model, c
        self.scorer = AgeScorer(HeadPasses(model.head), exploration)

    @property
    def drawn(self) -> bool:
        """True if dropout draws masks."""
        return self.scorer.exploration.mc_dropout > 0

    @torch.no_grad()
    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        h, _ = self.model.bottom(batch)
        y = self.scorer.passes.logits(h).sigmoid()
        ids = [] if self.scorer.exploration.shared_mask else [item_ids(self.model, batch)]
        return y + self.c * self.scorer.uncertainty(h, keys_of(seed, batch.group, *ids), y)


class EnsembleScoring(Scoring):
    """Ensemble of independently trained models.

    "ts" ranks by one model, drawn per user; "ucb" by ``mean + c · spread`` (variance over M, not M
    − 1).

    Args:
        models: M ≥ 2, of one schema.
        kind: "ts" or "ucb".
        c: weight of the spread in "ucb", ≥ 0.

    Raises:
        ValueError: fewer than two models, or c < 0.
    """

    def __init__(
        self, models: Sequence[ClickModel], kind: Literal["ts", "ucb"], c: float = 1.0
    ) -> None:
        if len(models) < 2:
            raise ValueError(f"EnsembleScoring: models must be two or more, got {len(models)}")
        if c < 0:
            raise ValueError(f"EnsembleScoring: c must be ≥ 0, got {c}")
        self.models, self.kind, self.c = list(models), kind, c

    @property
    def drawn(self) -> bool:
        """True for "ts", which draws the model."""
        return self.kind == "ts"

    @torch.no_grad()
    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        probabilities = torch.stack(
            [_check_evaluation(model)(batch).sigmoid() for model in self.models]
        )
        if self.kind == "ucb":
            return probabilities.mean(0) + self.c * probabilities.std(0, correction=0)
        member = uniform(keys_of(seed, batch.group), 1).squeeze(1) * len(self.models)
        return probabilities.gather(0, member.long()[None]).squeeze(0)


class AgeScoring(Scoring):
    """ŷ_e, see :class:`~recops_models.click.age_scores.AgeScorer`.

    Args:
        model: trained.
        exploration: None: the model's settings.
        on_scores: a function that receives the result of every call, such as to log its shift and
            its share of open gates.
    """

    def __init__(
        self,
        model: Age,
        exploration: Exploration | None = None,
        on_scores: Callable[[AgeScores], None] = lambda scores: None,
    ) -> None:
        self.model, self.exploration, self.on_scores = model, exploration or model.config, on_scores

    @property
    def drawn(self) -> bool:
        """True if dropout draws masks."""
        return self.exploration.mc_dropout > 0

    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        result = self.model.explore(
            batch, seed=seed, impressions=impressions, exploration=self.exploration
        )
        self.on_scores(result)
        return result.score


def _check_evaluation(model: ClickModel) -> ClickModel:
    if model.training:
        raise ValueError("Scoring: model must be in evaluation mode: call model.eval()")
    return model
