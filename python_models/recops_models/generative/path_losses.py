"""What a decoder of paths is trained on: next tokens, rewards, preferences. Pure functions.

Source: UniRec (arXiv 2604.12234), §7 of its loss; its formulas are confirmed by public readings of
the paper, the values of λ, c and α are nowhere reported. Means over targets stand for the paper's
sums, so that a learning rate means the same for every batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_TINY = 1e-8


def next_token_loss(log_prob: Tensor, weight: Tensor) -> Tensor:
    """``−mean_i α_i log p(i)``, ``log p(i) = Σ_t log p(x_it | x_i<t)``.

    With every α at 1 it is the plain loss, bit for bit.

    Args:
        log_prob: ``[n]``, of n targets.
        weight: ``[n]``, α, by engagement.
    """
    return -(weight * log_prob).mean()


def advantages(reward: Tensor, clip: float) -> Tensor:
    """``[n]``: ``clip(A / (rms(A) + ε), ±c)`` with ``A = R − mean(R)``, over a batch.

    Equal rewards give zeros exactly, whatever they are: differences to the first are averaged, as
    the mean of equal floats need not be that float.

    Args:
        reward: ``[n]``, R.
        clip: c.
    """
    above = reward - reward[:1]
    centred = above - above.mean()
    return (centred / (centred.square().mean().sqrt() + _TINY)).clamp(-clip, clip)


def check_reward_weights(strength: float, clip: float) -> None:
    """That no target's weight can fall below zero.

    Raises:
        ValueError: a negative or infinite number, or ``strength · clip`` above 1.
    """
    if not (0 <= strength < float("inf") and 0 < clip < float("inf")):
        raise ValueError(
            "reward_loss: reward_strength must be 0 or more and reward_clip above 0, got "
            f"{strength:g} and {clip:g}"
        )
    if strength * clip > 1:
        raise ValueError(
            "reward_loss: reward_strength · reward_clip must be at most 1, as a weight 1 + λÃ "
            f"would be negative, got {strength:g} · {clip:g}"
        )


def reward_loss(
    log_prob: Tensor, weight: Tensor, reward: Tensor, *, strength: float, clip: float
) -> Tensor:
    """Reward-weighted fine-tuning (RFT): ``−mean_i (1 + λ Ã_i) α_i log p(i)``.

    Equal rewards, or λ = 0, give :func:`next_token_loss`, bit for bit.

    Args:
        log_prob: ``[n]``.
        weight: ``[n]``, α.
        reward: ``[n]``, R; see :func:`advantages`.
        strength: λ.
        clip: c.

    Raises:
        ValueError: λc above 1, where weights could be negative.
    """
    check_reward_weights(strength, clip)
    factor = (1 + strength * advantages(reward, clip)).clamp(min=0)  # At λc = 1 float32 rounds.
    return next_token_loss(log_prob, factor * weight)


def preference_margins(policy: Tensor, reference: Tensor) -> Tensor:
    """``[n]``: ``(log π(i) − log π_ref(i)) − (log π(j) − log π_ref(j))`` of n pairs, i preferred.

    Args:
        policy: ``[2, n]``, ``log π`` of the preferred items and of the others.
        reference: ``[2, n]``, the same of the frozen reference.
    """
    preferred, other = (policy - reference).unbind()
    return preferred - other


def preference_loss(policy: Tensor, reference: Tensor, *, beta: float) -> Tensor:
    """Direct preference optimization (DPO): ``−mean log σ(β · margin)``; 0 where there is no pair.

    At π = π_ref it is log 2. What its gradient reaches is the caller's: hand it the
    log-probabilities of :meth:`~recops_models.generative.path_ranker.PathRanker.path_log_probs`
    with ``scope="last_head"`` or ``"last_step"``.

    Source: Rafailov et al., 2023 (arXiv 2305.18290), equation 7.

    Args:
        policy: ``[2, n]``, see :func:`preference_margins`.
        reference: ``[2, n]``.
        beta: β.
    """
    if not policy.shape[1]:
        return policy.sum()
    return F.softplus(-beta * preference_margins(policy, reference)).mean()


def preference_pairs(target: Tensor, level: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
    """Pairs within one history window: ``(preferred, other)``, ``[B, T]`` each, 0 where there is
    none.

    The pair of place t holds target t and the nearest of the ``horizon`` targets behind it that has
    another level and is another item; the higher level is preferred. Both are asked about after the
    history up to t, in which neither stands for that: what a user met within a few events stands
    for one request, whose impressions no public data tells (ours).

    Args:
        target: ``[B, T]`` i64, 1-based items, 0 where there is no target.
        level: ``[B, T]`` i64, of engagement.
        horizon: how far ahead the other one may be.
    """
    found = torch.zeros_like(target)
    higher = torch.zeros_like(target, dtype=torch.bool)
    for ahead in range(1, min(horizon, target.shape[1] - 1) + 1):
        now, then = target[:, :-ahead], target[:, ahead:]
        fits = (now > 0) & (then > 0) & (now != then) & (level[:, :-ahead] != level[:, ahead:])
        fits &= found[:, :-ahead] == 0
        found[:, :-ahead] = torch.where(fits, then, found[:, :-ahead])
        above = level[:, ahead:] > level[:, :-ahead]
        higher[:, :-ahead] |= fits & above
    here = target.where(found > 0, 0)
    return found.where(higher, here), here.where(higher, found)
