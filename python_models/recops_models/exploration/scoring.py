"""What a policy ranks candidates by: a model's probabilities, or with something for the unknown."""

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
    """Scores of rows; a function of the batch and a seed."""

    @property
    def drawn(self) -> bool:
        """Whether scores are drawn: a policy's probabilities are then those given the draw."""
        return False

    @abstractmethod
    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """``[B]``, higher for what is rather shown.

        Args:
            batch: B rows.
            seed: of what is drawn; each row's draw follows from it, the user and the item.
            impressions: ``[B]``, how often each item was shown, for who looks at that.

        Raises:
            ValueError: the model is in training.
        """


class PlainScoring(Scoring):
    """``f``, the probability of a click."""

    def __init__(self, model: ClickModel) -> None:
        self.model = model

    @torch.no_grad()
    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        probability: Tensor = _in_evaluation(self.model)(batch).sigmoid()
        return probability


class NoScoring(Scoring):
    """0 for every row: for who looks at no score."""

    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        return torch.zeros_like(batch.label)


class BonusScoring(Scoring):
    """``f + c δ``: Thompson sampling ("ts", δ of one mask) or an upper bound ("ucb", δ the spread
    of N masks), δ by Monte Carlo dropout; see
    :class:`~recops_models.click.age_scores.Exploration`.

    Args:
        model: any click model whose head can be read layer by layer.
        exploration: δ, and nothing else of it.
        c: its weight, ≥ 0.
    """

    def __init__(self, model: ClickModel, exploration: Exploration, c: float = 1.0) -> None:
        if c < 0:
            raise ValueError(f"BonusScoring: c must be ≥ 0, got {c}")
        self.model, self.c = model, c
        self.scorer = AgeScorer(HeadPasses(model.head), exploration)

    @property
    def drawn(self) -> bool:
        """Of "ts" the one mask, of "ucb" the N."""
        return self.scorer.exploration.mc_dropout > 0

    @torch.no_grad()
    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        h, _ = self.model.bottom(batch)
        y = self.scorer.passes.logits(h).sigmoid()
        ids = [] if self.scorer.exploration.shared_mask else [item_ids(self.model, batch)]
        return y + self.c * self.scorer.uncertainty(h, keys_of(seed, batch.group, *ids), y)


class EnsembleScoring(Scoring):
    """Models that were trained apart: "ts" ranks by one of them, drawn for each user anew; "ucb" by
    ``mean + c · spread`` (over M, not M − 1).

    Args:
        models: M ≥ 2, of one schema.
        kind: which.
        c: of "ucb", ≥ 0.

    Raises:
        ValueError: fewer than two, or c < 0.
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
        """Of "ts" the model."""
        return self.kind == "ts"

    @torch.no_grad()
    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        each = torch.stack([_in_evaluation(model)(batch).sigmoid() for model in self.models])
        if self.kind == "ucb":
            return each.mean(0) + self.c * each.std(0, correction=0)
        member = uniform(keys_of(seed, batch.group), 1).squeeze(1) * len(self.models)
        return each.gather(0, member.long()[None]).squeeze(0)


class AgeScoring(Scoring):
    """ŷ_e, see :class:`~recops_models.click.age_scores.AgeScorer`.

    Args:
        model: trained.
        exploration: None: as the model says.
        told: is handed what every call found, so that its shift and its share of open gates can be
            logged.
    """

    def __init__(
        self,
        model: Age,
        exploration: Exploration | None = None,
        told: Callable[[AgeScores], None] = lambda scores: None,
    ) -> None:
        self.model, self.exploration, self.told = model, exploration or model.config, told

    @property
    def drawn(self) -> bool:
        """Of "ts" the one mask, of "ucb" the N."""
        return self.exploration.mc_dropout > 0

    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        """See :meth:`Scoring.scores`."""
        found = self.model.explore(
            batch, seed=seed, impressions=impressions, exploration=self.exploration
        )
        self.told(found)
        return found.score


def _in_evaluation(model: ClickModel) -> ClickModel:
    if model.training:
        raise ValueError("Scoring: model must be in evaluation: call model.eval()")
    return model
