"""AGE's score: the click probability after a hypothetical gradient step on this impression.

Wu et al., Adversarial Gradient Driven Exploration for Deep Click-Through Rate Prediction, KDD 2022
(arXiv 2112.11136). Prose, tables and settings were read in full. The available copy lacks displayed
formulas; they are *rebuilt* if the prose determines them, else *inferred*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from recops_models.layers.head_passes import HeadPasses
from recops_models.setting_checks import check_at_least, check_shares

_NORM = 1e-12
"""Lower bound on a gradient norm in divisions; a zero gradient gives direction 0."""


@dataclass(frozen=True)
class Exploration:
    """Settings of the exploration. Defaults are the paper's, except λ and the steps of PGD.

    Attributes:
        uncertainty: δ. "ts": ``f(h | M ⊙ θ) − f(h | θ)`` of one mask, signed; "ucb": the root of
            ``(1/N) Σ_n (f(h | M_n ⊙ θ) − f(h | θ))²`` (rebuilt; the centre is the output without
            dropout, which the authors found as good as the mean).
        samples: N, the number of masks for "ucb".
        mc_dropout: the probability with which a mask drops a hidden unit.
        squared: for "ucb", use the mean square as δ. The text says variance; the root, which has
            the unit of f, is inferred.
        shared_mask: use one mask for all rows of a user, which is closer to drawing one model per
            request; otherwise each row has its own (inferred).
        direction: "fgm", one gradient; "pgd", several projected steps; "linear", the first order of
            "fgm", ``f + λ δ ‖∇_h f‖``, without a second forward pass.
        steps: T of "pgd" (the paper gives none; 3 to 5 inferred).
        lam: λ in the radius ``r = λ |δ|`` of the perturbation, in units of h per unit of
            probability. The paper has .001 offline and .002 online, for an h of unknown scale; tune
            it on a grid of factors of 3. With ``relative``, a fraction of the norm of h instead
            (.01 to .3).
        relative: use the radius ``r = λ · mean‖h‖ · |δ| / mean|δ|`` (ours) instead of the paper's.
            The means are over the rows that explore in one call. The level of δ cancels out:
            exploration does not decay while δ decays, and the score of a row depends on the other
            rows of the request. :func:`absolute_lam` converts such a λ to the paper's form.
        scope: what is perturbed: all of h (the paper), or the item's columns of it (inferred).
        gate: which rows explore: "dgu", those with ``f(h) > f_dgu(h_item)``; "fixed", those above
            ``threshold``; "off", all.
        threshold: threshold of "fixed" (.02, .01, .005 in the paper's ablation).
        max_impressions: items with at least this many impressions do not explore, if counts are
            given (3,000 in the paper's online test).

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> from recops_models.click.age_scores import Exploration
        >>> Exploration(direction="fgm", lam=3.0).uncertainty
        'ts'
        >>> Exploration(threshold=2.0)
        Traceback (most recent call last):
            ...
        ValueError: age: threshold must lie within [0, 1], got 2.0
    """

    uncertainty: Literal["ts", "ucb"] = "ts"
    samples: int = 20
    mc_dropout: float = 0.01
    squared: bool = False
    shared_mask: bool = False
    direction: Literal["pgd", "fgm", "linear"] = "pgd"
    steps: int = 5
    lam: float = 10.0
    relative: bool = False
    scope: Literal["all", "item"] = "all"
    gate: Literal["dgu", "fixed", "off"] = "dgu"
    threshold: float = 0.01
    max_impressions: int | None = 3000

    def __post_init__(self) -> None:
        check_at_least("age", self, samples=1, steps=1, lam=0, max_impressions=0)
        check_shares("age", self, "mc_dropout")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"age: threshold must lie within [0, 1], got {self.threshold}")


class AgeScores(NamedTuple):
    """Scores of B rows.

    Attributes:
        score: ``[B]``, ŷ_e, the score to rank by.
        y: ``[B]``, ŷ, the click probability without exploration.
        delta: ``[B]``, δ, signed for "ts"; 0 for rows that do not explore.
        gate: ``[B]`` bool, whether a row explores.

    Example:
        >>> import torch
        >>> from recops_models.click.age_scores import AgeScores
        >>> score, y = torch.tensor([0.75, 0.5]), torch.tensor([0.5, 0.5])
        >>> scores = AgeScores(score, y, score - y, gate=torch.tensor([True, False]))
        >>> scores.shift, scores.explored
        (tensor(0.1250), tensor(0.5000))
    """

    score: Tensor
    y: Tensor
    delta: Tensor
    gate: Tensor

    @property
    def shift(self) -> Tensor:
        """Mean ``|ŷ_e − ŷ|``, a scalar; 0 without rows.

        Log it, and choose λ such that it is 5 to 30 % of the spread of scores within a request.
        """
        return (self.score - self.y).abs().sum() / max(len(self.y), 1)

    @property
    def explored(self) -> Tensor:
        """Share of rows that explore, a scalar; 0 without rows."""
        return self.gate.sum() / max(len(self.y), 1)


class AgeScorer:
    """AGE's score: the click probability at a perturbed input of the head.

    By default (``Exploration()``: uncertainty "ts", direction "pgd", T = 5 steps, gate "dgu")::

        δ   = f(h | M ⊙ θ) − f(h | θ)                 one dropout mask M per row, p = .01
        r_0 = 0,   r_t = Π(r_{t−1} + (2 λ |δ| / T) sign(δ) ĝ(h + r_{t−1})),   t = 1 … T
        ŷ_e = f(h + r_T)   where f(h) > f_dgu(h_item),   else f(h)

    Π projects onto the ball ``‖r‖ ≤ λ |δ|``, λ is ``lam``, and ``ĝ = ∇_h f / ‖∇_h f‖``. With "fgm"
    the perturbation is one step, ``r = λ δ ĝ(h)``. The radius is proportional to |δ|, so
    exploration fades as the model becomes certain; see ``relative`` in :class:`Exploration` for a
    form without that property.

    Suppose that user u saw item i and that the label y* were known. One step on the embedding
    within a ball of radius λ would be ``Δh* = −λ ∇_h L / ‖∇_h L‖``, which for cross-entropy points
    along ``(y* − f) ∇_h f``. AGE replaces the unknown y* − f by the uncertainty δ (rebuilt). h is
    the input of the head, as :meth:`~recops_models.click.model.ClickModel.bottom` returns it:
    embeddings of user and item, and the model's representation of the history.

    Since ``∇_h f = f (1 − f) ∇_h z``, with z the logit, both point the same way. Directions are
    computed from z, which does not saturate in float32. To first order ``ŷ_e ≈ f + λ δ ‖∇_h f‖``.

    Projected steps are the paper's; their size and number are inferred.

    Rows are independent of each other, unless ``relative`` is set. Only rows with an open gate are
    computed. A row with a closed gate, with δ = 0 or without a gradient keeps f(h) bit for bit. A
    call with G of B gates open costs one pass of B rows, N + T + 1 passes of G rows, and T backward
    passes of G rows.

    Args:
        passes: the head, in evaluation mode.
        exploration: settings.

    Example:
        >>> import torch
        >>> from recops_models.click.age_scores import AgeScorer, Exploration
        >>> from recops_models.layers.counter_random import keys_of
        >>> from recops_models.layers.head_passes import HeadPasses
        >>> from recops_models.layers.mlp import MLP
        >>> scorer = AgeScorer(HeadPasses(MLP(8, (16,), 1).eval()), Exploration(gate="off"))
        >>> keys = keys_of(7, torch.zeros(5, dtype=torch.int64), torch.arange(5))
        >>> scores = scorer.scores(torch.randn(5, 8), keys)
        >>> bool(((scores.score > scores.y) == (scores.delta > 0)).all())
        True
    """

    def __init__(self, passes: HeadPasses, exploration: Exploration) -> None:
        self.passes, self.exploration = passes, exploration

    @torch.no_grad()
    def scores(
        self,
        h: Tensor,
        keys: Tensor,
        *,
        item_rate: Tensor | None = None,
        item_columns: Sequence[int] = (),
        impressions: Tensor | None = None,
    ) -> AgeScores:
        """Score B rows.

        Args:
            h: ``[B, D]``, inputs of the head.
            keys: ``[B]``, of :func:`~recops_models.layers.counter_random.keys_of`: rows with equal
                keys have equal masks.
            item_rate: ``[B]``, f_dgu, the item's average click probability; needed by gate "dgu".
            item_columns: indices of the columns of h that scope "item" perturbs.
            impressions: ``[B]``, the number of impressions of each item; None: unknown.

        Raises:
            ValueError: shapes do not fit, the gate needs ``item_rate``, the scope needs
                ``item_columns``, or the head is in training mode.
        """
        self._check(h, keys, item_rate, item_columns, impressions)
        y = self.passes.logits(h).sigmoid()
        gate = self._gate(y, item_rate, impressions)
        rows = gate.nonzero().squeeze(1)
        delta, score = torch.zeros_like(y), y.clone()
        if len(rows):
            open_h = h[rows]
            delta[rows] = self.uncertainty(open_h, keys[rows], y[rows])
            score[rows] = self.moved(open_h, y[rows], delta[rows], keys[rows], item_columns)
        return AgeScores(score, y, delta, gate)

    @torch.no_grad()
    def uncertainty(self, h: Tensor, keys: Tensor, y: Tensor) -> Tensor:
        """Return δ ``[B]`` of rows with outputs y; see :class:`Exploration`."""
        settings = self.exploration
        if not settings.mc_dropout:
            return torch.zeros_like(y)
        passes = settings.samples if settings.uncertainty == "ucb" else 1
        logits = self.passes.dropped(h, keys, p=settings.mc_dropout, passes=passes)
        if settings.uncertainty == "ts":
            return next(logits).sigmoid() - y
        square = torch.zeros_like(y)
        for each in logits:
            square += (each.sigmoid() - y).square()
        square /= passes
        return square if settings.squared else square.sqrt()

    @torch.no_grad()
    def moved(
        self, h: Tensor, y: Tensor, delta: Tensor, keys: Tensor, item_columns: Sequence[int]
    ) -> Tensor:
        """``f(h + r)`` ``[B]``; y, to the bit, where r is 0."""
        radius = self.radius(h, delta)
        if self.exploration.direction == "linear":
            _, slope = self.passes.gradient(h)
            norm = self._within(slope, item_columns).norm(dim=1)
            linear: Tensor = y + delta.sign() * radius * y * (1 - y) * norm
            return linear
        r = self.perturbation(h, radius, delta.sign(), keys, item_columns)
        is_unmoved = ~r.any(1)
        return torch.where(is_unmoved, y, self.passes.logits(h + r).sigmoid())

    def radius(self, h: Tensor, delta: Tensor) -> Tensor:
        """Return the radius ``[B]`` in the unit of h: ``λ |δ|``, or its relative form."""
        size = delta.abs()
        if not self.exploration.relative:
            return self.exploration.lam * size
        mean = size.mean()
        scale = torch.where(mean > 0, h.norm(dim=1).mean() / mean, torch.zeros_like(mean))
        return self.exploration.lam * scale * size

    def perturbation(
        self, h: Tensor, radius: Tensor, sign: Tensor, keys: Tensor, item_columns: Sequence[int]
    ) -> Tensor:
        """Return r ``[B, D]`` with ``‖r‖ ≤ radius``, in the direction of δ's sign."""
        if self.exploration.direction == "fgm":
            return (sign * radius)[:, None] * self.direction(h, keys, item_columns)
        step = 2 * radius / self.exploration.steps
        r = torch.zeros_like(h)
        for _ in range(self.exploration.steps):
            r = r + (sign * step)[:, None] * self.direction(h + r, keys, item_columns)
            size = r.norm(dim=1)
            r = r * (radius / size.clamp(min=_NORM)).clamp(max=1)[:, None]
        return r

    def direction(self, h: Tensor, keys: Tensor, item_columns: Sequence[int]) -> Tensor:
        """Return ĝ ``[B, D]``, of norm 1, or 0 without a gradient."""
        _, slope = self.passes.gradient(h)
        slope = self._within(slope, item_columns)
        unit: Tensor = slope / slope.norm(dim=1, keepdim=True).clamp(min=_NORM)
        return unit

    def _within(self, vectors: Tensor, item_columns: Sequence[int]) -> Tensor:
        """Return the vectors ``[B, D]`` with 0 in the columns outside of the scope."""
        if self.exploration.scope == "all":
            return vectors
        masked = torch.zeros_like(vectors)
        masked[:, list(item_columns)] = vectors[:, list(item_columns)]
        return masked

    def _gate(self, y: Tensor, item_rate: Tensor | None, impressions: Tensor | None) -> Tensor:
        settings = self.exploration
        if settings.gate == "dgu":
            assert item_rate is not None  # See _check.
            gate = y > item_rate
        else:
            gate = y > (settings.threshold if settings.gate == "fixed" else -1)
        if impressions is not None and settings.max_impressions is not None:
            gate = gate & (impressions < settings.max_impressions)
        return gate

    def _check(
        self,
        h: Tensor,
        keys: Tensor,
        item_rate: Tensor | None,
        item_columns: Sequence[int],
        impressions: Tensor | None,
    ) -> None:
        if h.ndim != 2:
            raise ValueError(f"age: h must be [B, D], got {list(h.shape)}")
        for name, value in (("keys", keys), ("item_rate", item_rate), ("impressions", impressions)):
            if value is not None and value.shape != h.shape[:1]:
                raise ValueError(f"age: {name} must be [{len(h)}], got {list(value.shape)}")
        if self.exploration.gate == "dgu" and item_rate is None:
            raise ValueError("age: gate=dgu needs item_rate, the gate's own probabilities")
        if self.exploration.scope == "item" and not item_columns:
            raise ValueError("age: scope=item needs item_columns, the item's columns of h")


def absolute_lam(lam: float, h: Tensor, delta: Tensor) -> float:
    """Convert a relative λ to the paper's form: ``λ · mean‖h‖ / mean|δ|`` over these rows.

    Compute h and δ from a day's requests, then serve with ``relative=False``.

    Args:
        lam: the relative λ.
        h: ``[B, D]``.
        delta: ``[B]``, of rows that explore.

    Raises:
        ValueError: δ is 0 in all rows.

    Example:
        >>> import torch
        >>> from recops_models.click.age_scores import absolute_lam
        >>> h, delta = torch.tensor([[3.0, 4.0], [0.0, 5.0]]), torch.tensor([0.5, -0.5])
        >>> absolute_lam(0.1, h, delta)  # 0.1 · 5 / 0.5
        1.0
    """
    mean = float(delta.abs().mean()) if len(delta) else 0.0
    if not mean > 0:
        raise ValueError("absolute_lam: delta must have a row that is not 0")
    return lam * float(h.norm(dim=1).mean()) / mean
