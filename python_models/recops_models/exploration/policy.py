"""Exploration policy: a scoring of candidates and a selection among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from recops._dtypes import widest_dtype
from recops_models.click.age import Age
from recops_models.click.age_scores import AgeScores, Exploration
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.exploration.drawing import draw_lists, list_propensities
from recops_models.exploration.gradient_scoring import GradientScoring
from recops_models.exploration.scoring import (
    AgeScoring,
    BonusScoring,
    EnsembleScoring,
    NoScoring,
    PlainScoring,
    Scoring,
)
from recops_models.exploration.selection import Greedy, Selection
from recops_models.layers.counter_random import keys_of, uniform

POLICIES = (
    "greedy",
    "random",
    "epsilon-greedy",
    "ts",
    "ucb",
    "ensemble-ts",
    "ensemble-ucb",
    "gradient-ts",
    "gradient-ucb",
    "ur-gradient-ts",
    "ur-gradient-ucb",
    "age-ts",
    "age-ucb",
)
"""Names of policies for :func:`named_policy`."""


class Choice(NamedTuple):
    """Choice of k items for each of R users.

    Attributes:
        items: ``[R, k]`` i64, indices into the user's candidates, in the order of display.
        propensity: ``[R, k]`` f64, the probability of each item given the earlier ones of its row.
            Their product along a row is the probability of the list. If scores are random, it is
            conditional on them, see :attr:`exact`.
        scores: ``[R, C]``, the scores of the candidates.
        exact: whether the propensities are the policy's own. If scores are random, propensities are
            conditional on the draw, and :meth:`Policy.propensities` estimates the policy's.
    """

    items: Tensor
    propensity: Tensor
    scores: Tensor
    exact: bool


class Policy:
    """Exploration policy: a scoring rates candidates, a selection draws among them.

    A choice is a function of the candidates and the seed. A user's draws do not depend on the other
    users of a call. Use a new seed per request, such as a counter.

    Off-policy evaluation needs propensities. They are exact if scores are not random (greedy,
    ε-greedy, softmax, an ensemble's upper bound). Otherwise, those of a :class:`Choice` are
    conditional on the draw. Estimates for policies that share the draw are unbiased with them,
    others are not. In that case, log :meth:`propensities` or :meth:`list_propensities` instead,
    with ε > 0 in the selection, so that none is 0.

    Args:
        scoring: rates candidates.
        selection: turns scores into probabilities.

    Examples:
        >>> import torch
        >>> from recops_models.exploration.policy import Policy
        >>> from recops_models.exploration.scoring import NoScoring
        >>> from recops_models.exploration.selection import Greedy
        >>> from recops_models.examples.batch import Batch
        >>> four = Batch({}, {}, torch.zeros(4), torch.tensor([7, 7, 7, 7]))
        >>> Policy(NoScoring(), Greedy(epsilon=1.0)).choose(four, seed=1).propensity.item()
        0.25
    """

    def __init__(self, scoring: Scoring, selection: Selection) -> None:
        self.scoring, self.selection = scoring, selection

    def choose(
        self,
        batch: Batch,
        *,
        seed: int,
        candidates: int | None = None,
        k: int = 1,
        available: Tensor | None = None,
        impressions: Tensor | None = None,
    ) -> Choice:
        """Choose k of each user's candidates, one after the other, without repetition.

        Args:
            batch: R · C rows: the C candidates of each user; ``group`` is the user.
            seed: seed of all draws.
            candidates: C; None: all rows belong to one user.
            k: number of items, at most that of any user's available candidates.
            available: ``[R · C]`` bool; None: all are available.
            impressions: ``[R · C]``, the number of impressions of each item, for scorings that use
                it.

        Raises:
            ValueError: the number of rows is not a multiple of C, too few candidates are available,
                or a score is not finite.
        """
        remaining, user = self._requests(batch, candidates, available)
        if k < 1 or int(remaining.sum(1).min()) < k:
            raise ValueError(
                f"Policy: k must be from 1 to the number of available candidates, got {k}"
            )
        scores = self._scores(batch, seed, impressions, remaining.shape)
        # Keys of three ids: none of a mask, which has one or two.
        draws = uniform(keys_of(seed, user, user, user), k)
        items, propensity = draw_lists(self.selection, scores, remaining, draws)
        return Choice(items, propensity, scores, not self.scoring.drawn)

    def list_propensities(
        self,
        batch: Batch,
        items: Tensor,
        *,
        seed: int,
        draws: int = 64,
        candidates: int | None = None,
        available: Tensor | None = None,
        impressions: Tensor | None = None,
    ) -> Tensor:
        """Return the probability of each item of given lists, given the earlier ones of its list.

        If scores are random, the probability of the first j items is the mean of the exact ones
        given each of ``draws`` draws of the scores. The result is the ratio of consecutive means:
        consistent in ``draws``, and unbiased for the first position. Without ε > 0 or a softmax it
        may be 0.

        Args:
            batch: see :meth:`choose`.
            items: ``[R, k]`` i64, indices into each user's available candidates, without
                repetition.
            seed: see :meth:`propensities`.
            draws: see :meth:`propensities`.
            candidates: see :meth:`choose`.
            available: see :meth:`choose`.
            impressions: see :meth:`choose`.

        Returns:
            ``[R, k]`` f64.
        """
        remaining, _ = self._requests(batch, candidates, available)
        seeds = self._draw_seeds(seed, draws)
        device = remaining.device
        joint = torch.zeros(items.shape, dtype=widest_dtype(device), device=device)
        for draw_seed in seeds:
            scores = self._scores(batch, draw_seed, impressions, remaining.shape)
            joint += list_propensities(self.selection, scores, remaining, items).cumprod(1)
        joint = joint / len(seeds)
        before = torch.cat([torch.ones_like(joint[:, :1]), joint[:, :-1]], 1)
        return torch.where(before > 0, joint / before, before)

    def propensities(
        self,
        batch: Batch,
        *,
        seed: int,
        draws: int = 64,
        candidates: int | None = None,
        available: Tensor | None = None,
        impressions: Tensor | None = None,
    ) -> Tensor:
        """Estimate the probability ``[R, C]`` f64 that each candidate is shown first.

        It is the mean of the exact probabilities given each of ``draws`` draws of the scores, or
        one if scores are not random. The estimate is unbiased; its standard error is at most
        ``√(p (1 − p) / draws)``. It may be 0 for ε = 0, and is at least ``ε / C``.

        Args:
            batch: see :meth:`choose`.
            seed: seed of the draws, which are independent of those of :meth:`choose` with the same
                seed.
            draws: ≥ 1.
            candidates: see :meth:`choose`.
            available: see :meth:`choose`.
            impressions: see :meth:`choose`.
        """
        remaining, _ = self._requests(batch, candidates, available)
        seeds = self._draw_seeds(seed, draws)
        device = remaining.device
        total = torch.zeros(remaining.shape, dtype=widest_dtype(device), device=device)
        for draw_seed in seeds:
            scores = self._scores(batch, draw_seed, impressions, remaining.shape)
            total += self.selection.probabilities(scores, remaining)
        return total / len(seeds)

    def _draw_seeds(self, seed: int, draws: int) -> list[int]:
        """Return the seeds of independent draws of the scores; one if they are not random."""
        if draws < 1:
            raise ValueError(f"Policy: draws must be ≥ 1, got {draws}")
        keys = keys_of(seed, torch.arange(draws if self.scoring.drawn else 1))
        return [int(key) for key in keys]

    def _requests(
        self, batch: Batch, candidates: int | None, available: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the available candidates ``[R, C]`` bool, and the users ``[R]``."""
        rows = len(batch.group)
        per_user = rows if candidates is None else candidates
        if per_user < 1 or rows < 1 or rows % per_user:
            raise ValueError(f"Policy: candidates must divide the {rows} rows, got {per_user}")
        is_available = (
            torch.ones_like(batch.group, dtype=torch.bool) if available is None else available
        )
        if is_available.shape != (rows,):
            raise ValueError(f"Policy: available must be [{rows}], got {list(is_available.shape)}")
        return is_available.view(-1, per_user), batch.group.view(-1, per_user)[:, 0]

    def _scores(
        self, batch: Batch, seed: int, impressions: Tensor | None, shape: Sequence[int]
    ) -> Tensor:
        return self.scoring.scores(batch, seed=seed, impressions=impressions).view(*shape)


def named_policy(
    name: str,
    models: ClickModel | Sequence[ClickModel],
    *,
    exploration: Exploration | None = None,
    c: float = 1.0,
    selection: Selection | None = None,
    on_scores: Callable[[AgeScores], None] = lambda scores: None,
) -> Policy:
    """Return a policy by its name.

    Args:
        name: one of :data:`POLICIES`. "ts" and "ucb" add c δ to the score; "age-…" need an
            :class:`~recops_models.click.age.Age`; "ensemble-…" two models or more. "gradient-…" are
            :class:`~recops_models.exploration.gradient_scoring.GradientScoring`; "ur-gradient-…"
            refine it by impressions, with half of the bonus at 100.
        models: trained, in evaluation mode.
        exploration: settings of δ for "ts" and "ucb", and all settings of "age-…"; its
            ``uncertainty`` follows from the name. None: those of an Age, else the defaults.
        c: the weight of δ (by dropout or by the weight gradient), or of an ensemble's spread.
        selection: None: the highest score. "random" ignores it; "epsilon-greedy" needs one.
        on_scores: for "age-…": a function that receives the scores of every call, such as for
            logging.

    Raises:
        ValueError: an unknown name, a model of the wrong kind, or a missing selection.
    """
    all_models = [models] if isinstance(models, ClickModel) else list(models)
    first = all_models[0]
    kind: Literal["ts", "ucb"] = "ts" if name.endswith("ts") else "ucb"
    model_settings = first.config if isinstance(first, Age) else Exploration()
    settings = replace(exploration or model_settings, uncertainty=kind)
    if name == "random":
        return Policy(NoScoring(), Greedy(epsilon=1.0))
    if name == "epsilon-greedy" and (selection is None or selection.epsilon == 0):
        raise ValueError("named_policy: epsilon-greedy needs a selection with epsilon > 0")
    scoring: Scoring
    match name:
        case "greedy" | "epsilon-greedy":
            scoring = PlainScoring(first)
        case "ts" | "ucb":
            scoring = BonusScoring(first, settings, c)
        case "ensemble-ts" | "ensemble-ucb":
            scoring = EnsembleScoring(all_models, kind, c)
        case "gradient-ts" | "gradient-ucb":
            scoring = GradientScoring(first, kind, c)
        case "ur-gradient-ts" | "ur-gradient-ucb":
            scoring = GradientScoring(first, kind, c, refinement=100.0)
        case "age-ts" | "age-ucb":
            if not isinstance(first, Age):
                raise ValueError(f"named_policy: {name} needs an Age, got {type(first).__name__}")
            scoring = AgeScoring(first, settings, on_scores)
        case _:
            raise ValueError(f"named_policy: no policy {name!r}; available: {', '.join(POLICIES)}")
    return Policy(scoring, selection or Greedy())
