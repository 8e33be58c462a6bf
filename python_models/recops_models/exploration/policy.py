"""A policy: candidates in, what to show and with what probability out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from recops_models.click.age import Age
from recops_models.click.age_scores import AgeScores, Exploration
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
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
"""The names that :func:`named_policy` takes."""


class Choice(NamedTuple):
    """What is shown to R users.

    Attributes:
        items: ``[R, k]`` i64, places in the user's list of candidates, first to last.
        propensity: ``[R, k]`` f64, the probability of each given those before it in its row; their
            product along a row is that of the list. Given the scores, which may be drawn: see
            :attr:`exact`.
        scores: ``[R, C]``, by which they were chosen.
        exact: whether the propensities are the policy's own. Where scores are drawn they are given
            the draw, and :meth:`Policy.propensities` estimates the policy's.
    """

    items: Tensor
    propensity: Tensor
    scores: Tensor
    exact: bool


class Policy:
    """A scoring, which says what is promising, and a selection, which says how strictly to follow.

    A choice is a function of the candidates and the seed; what is drawn for a user does not depend
    on the other users of a call. Give every request a seed of its own: a counter will do.

    Propensities, which off-policy evaluation needs, are exact where scores are not drawn (greedy,
    ε-greedy, softmax, an ensemble's upper bound). Of the others those of a :class:`Choice` hold
    given the draw: logs of them are unbiased as they are for estimates of policies that share the
    draw, but not for others; log :meth:`propensities` there, with ε > 0 in the selection, so that
    none is 0.

    Args:
        scoring: what is promising.
        selection: how strictly it is followed.

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
        """Choose k of each user's candidates, one after the other, none twice.

        Args:
            batch: R · C rows: one user's C candidates after the other's, ``group`` the user.
            seed: of all draws.
            candidates: C; None: all rows are one user's.
            k: how many, ≤ the available ones of every user.
            available: ``[R · C]`` bool; None: all are.
            impressions: ``[R · C]``, how often each item was shown, for scores that look at it.

        Raises:
            ValueError: rows that are no R · C, too few candidates, or no finite scores.
        """
        left, user = self._requests(batch, candidates, available)
        if k < 1 or int(left.sum(1).min()) < k:
            raise ValueError(
                f"Policy: k must be ≥ 1 and no more than a user has candidates, got {k}"
            )
        scores = self._scores(batch, seed, impressions, left.shape)
        # Keys of three ids: none of a mask, which has one or two.
        draws = uniform(keys_of(seed, user, user, user), k)
        items, propensity = [], []
        for place in range(k):
            share = self.selection.probabilities(scores, left)
            item = _draw(share, draws[:, place])
            items.append(item)
            propensity.append(share.gather(1, item[:, None]).squeeze(1))
            left = left.scatter(1, item[:, None], False)
        return Choice(
            torch.stack(items, 1), torch.stack(propensity, 1), scores, not self.scoring.drawn
        )

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
        """``[R, C]`` f64: with what probability each candidate is shown first, over all draws.

        The mean of the exact probabilities given ``draws`` draws of the scores, one where they are
        not drawn: unbiased, with a standard error of at most ``√(p (1 − p) / draws)``. An estimate
        of 0 is possible for ε = 0, and none is below ``ε / C``.

        Args:
            seed: of the draws; those of :meth:`choose` under the same seed are none of them.
            draws: ≥ 1.
            batch: see :meth:`choose`, as for the others.
        """
        if draws < 1:
            raise ValueError(f"Policy: draws must be ≥ 1, got {draws}")
        left, _ = self._requests(batch, candidates, available)
        seeds = keys_of(seed, torch.arange(draws if self.scoring.drawn else 1)).tolist()
        total = torch.zeros(left.shape, dtype=torch.float64, device=left.device)
        for each in seeds:
            scores = self._scores(batch, each, impressions, left.shape)
            total += self.selection.probabilities(scores, left)
        return total / len(seeds)

    def _requests(
        self, batch: Batch, candidates: int | None, available: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """``[R, C]`` bool, which candidates there are, and ``[R]``, the users."""
        rows = len(batch.group)
        each = rows if candidates is None else candidates
        if each < 1 or rows < 1 or rows % each:
            raise ValueError(f"Policy: candidates must divide the {rows} rows, got {each}")
        there = torch.ones_like(batch.group, dtype=torch.bool) if available is None else available
        if there.shape != (rows,):
            raise ValueError(f"Policy: available must be [{rows}], got {list(there.shape)}")
        return there.view(-1, each), batch.group.view(-1, each)[:, 0]

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
    told: Callable[[AgeScores], None] = lambda scores: None,
) -> Policy:
    """A policy by its name.

    Args:
        name: of :data:`POLICIES`. "ts" and "ucb" add c δ to the score; "age-…" need an
            :class:`~recops_models.click.age.Age`; "ensemble-…" two models or more. "gradient-…" are
            :class:`~recops_models.exploration.gradient_scoring.GradientScoring`; "ur-gradient-…"
            refine it by impressions, with a half of the bonus at 100.
        models: trained, in evaluation.
        exploration: δ of "ts" and "ucb", and all of "age-…"; its ``uncertainty`` is what the name
            says. None: an Age's own, else the defaults.
        c: the weight of δ (by dropout or by the weight gradient), or of an ensemble's spread.
        selection: None: the highest score; "random" has its own; "epsilon-greedy" needs one.
        told: of "age-…", is handed the scores of every call: what to log.

    Raises:
        ValueError: an unknown name, a model of the wrong kind, or no selection where one is due.
    """
    several = [models] if isinstance(models, ClickModel) else list(models)
    first = several[0]
    kind: Literal["ts", "ucb"] = "ts" if name.endswith("ts") else "ucb"
    own = first.config if isinstance(first, Age) else Exploration()
    how = replace(exploration or own, uncertainty=kind)
    if name == "random":
        return Policy(NoScoring(), Greedy(epsilon=1.0))
    if name == "epsilon-greedy" and (selection is None or selection.epsilon == 0):
        raise ValueError("named_policy: epsilon-greedy needs a selection with epsilon > 0")
    scoring: Scoring
    match name:
        case "greedy" | "epsilon-greedy":
            scoring = PlainScoring(first)
        case "ts" | "ucb":
            scoring = BonusScoring(first, how, c)
        case "ensemble-ts" | "ensemble-ucb":
            scoring = EnsembleScoring(several, kind, c)
        case "gradient-ts" | "gradient-ucb":
            scoring = GradientScoring(first, kind, c)
        case "ur-gradient-ts" | "ur-gradient-ucb":
            scoring = GradientScoring(first, kind, c, refinement=100.0)
        case "age-ts" | "age-ucb":
            if not isinstance(first, Age):
                raise ValueError(f"named_policy: {name} needs an Age, got {type(first).__name__}")
            scoring = AgeScoring(first, how, told)
        case _:
            raise ValueError(f"named_policy: no policy {name!r}; there are {', '.join(POLICIES)}")
    return Policy(scoring, selection or Greedy())


def _draw(probability: Tensor, u: Tensor) -> Tensor:
    """``[R]`` i64: of each row ``[R, C]`` the place at which its running sum passes u ``[R]``."""
    total = probability.cumsum(1)
    place = torch.searchsorted(total, u[:, None] * total[:, -1:], right=True).squeeze(1)
    # Rounding must not lead past the last that may be drawn.
    last = probability.shape[1] - 1 - (probability > 0).flip(1).int().argmax(1)
    return torch.minimum(place, last)
