"""Losses of path decoders: next tokens, rewards (RFT) and preferences (DPO).

Source: UniRec (arXiv 2604.12234), §7. The paper does not report the values of λ, c and α. Losses
are means over targets where the paper has sums, so the learning rate does not depend on the batch
size. With several workers, a loss is this worker's share of the mean over all of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from recops_models import workers

_TINY = 1e-8


def next_token_loss(log_prob: Tensor, weight: Tensor) -> Tensor:
    """Return ``−mean_i α_i log p(i)``, with ``log p(i) = Σ_t log p(x_it | x_i<t)``.

    With α = 1 the result equals ``-log_prob.mean()`` bit for bit.

    Args:
        log_prob: ``[n]``, log p of n targets.
        weight: ``[n]``, α.

    Example:
        >>> import torch
        >>> from recops_models.generative.path_losses import next_token_loss
        >>> log_prob = torch.tensor([-1.0, -3.0])
        >>> next_token_loss(log_prob, weight=torch.tensor([1.0, 2.0]))  # (1 + 6) / 2
        tensor(3.5000)
    """
    return -workers.share_of_mean(weight * log_prob)


def advantages(reward: Tensor, clip: float) -> Tensor:
    """Return ``clip(A / (rms(A) + ε), ±c)`` with ``A = R − mean(R)`` over a batch, ``[n]``.

    Equal rewards give exact zeros: the mean is taken of differences to one of the rewards, since
    the mean of equal floats can round. With several workers, the batch is that of all of them.

    Args:
        reward: ``[n]``, R.
        clip: c.

    Example:
        >>> import torch
        >>> from recops_models.generative.path_losses import advantages
        >>> advantages(torch.tensor([0.0, 1.0, 2.0, 1.0]), clip=1.0)
        tensor([-1.,  0.,  1.,  0.])
    """
    above = reward - (workers.largest(reward) if workers.several() else reward[:1])
    centred = above - workers.mean(above)
    return (centred / (workers.mean(centred.square()).sqrt() + _TINY)).clamp(-clip, clip)


def check_reward_weights(strength: float, clip: float) -> None:
    """Check that the weights ``1 + λÃ`` cannot be negative.

    Args:
        strength: λ.
        clip: c.

    Raises:
        ValueError: λ < 0, c ≤ 0, λc > 1, or a value is not finite.

    Example:
        >>> from recops_models.generative.path_losses import check_reward_weights
        >>> check_reward_weights(strength=0.5, clip=2.0)
        >>> check_reward_weights(strength=-1.0, clip=2.0)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: reward_loss: reward_strength must be 0 or more ...
    """
    if not (0 <= strength < float("inf") and 0 < clip < float("inf")):
        raise ValueError(
            "reward_loss: reward_strength must be 0 or more and reward_clip above 0, got "
            f"{strength:g} and {clip:g}"
        )
    if strength * clip > 1:
        raise ValueError(
            "reward_loss: reward_strength · reward_clip must be at most 1, or a weight 1 + λÃ "
            f"would be negative, got {strength:g} · {clip:g}"
        )


def reward_loss(
    log_prob: Tensor, weight: Tensor, reward: Tensor, *, strength: float, clip: float
) -> Tensor:
    """Return the loss of reward-weighted fine-tuning (RFT): ``−mean_i (1 + λ Ã_i) α_i log p(i)``.

    Equal rewards, or λ = 0, give :func:`next_token_loss` bit for bit.

    Args:
        log_prob: ``[n]``, log p of n targets.
        weight: ``[n]``, α.
        reward: ``[n]``, R; see :func:`advantages` for Ã.
        strength: λ.
        clip: c.

    Raises:
        ValueError: see :func:`check_reward_weights`.

    Example:
        >>> import torch
        >>> from recops_models.generative.path_losses import reward_loss
        >>> log_prob, reward = torch.tensor([-1.0, -3.0]), torch.tensor([1.0, 0.0])
        >>> # (1.5 · 1 + 0.5 · 3) / 2
        >>> reward_loss(log_prob, torch.ones(2), reward, strength=0.5, clip=1.0)
        tensor(1.5000)
    """
    check_reward_weights(strength, clip)
    factor = (1 + strength * advantages(reward, clip)).clamp(
        min=0
    )  # at λc = 1 rounding can go below 0
    return next_token_loss(log_prob, factor * weight)


def preference_margins(policy: Tensor, reference: Tensor) -> Tensor:
    """Return ``(log π(i) − log π_ref(i)) − (log π(j) − log π_ref(j))`` per pair, i preferred.

    Args:
        policy: ``[2, n]``, log π of the n preferred items, then of the n others.
        reference: ``[2, n]``, log π_ref of the frozen reference model.

    Returns:
        ``[n]``.

    Example:
        >>> import torch
        >>> from recops_models.generative.path_losses import preference_margins
        >>> policy, reference = torch.tensor([[-1.0], [-4.0]]), torch.tensor([[-2.0], [-3.0]])
        >>> preference_margins(policy, reference)
        tensor([2.])
    """
    preferred, other = (policy - reference).unbind()
    return preferred - other


def preference_loss(policy: Tensor, reference: Tensor, *, beta: float) -> Tensor:
    """Return the loss of direct preference optimization (DPO): ``−mean log σ(β · margin)``.

    It is log 2 at π = π_ref, and 0 without pairs. The ``scope`` of
    :meth:`~recops_models.generative.path_ranker.PathRanker.path_log_probs` selects the parameters
    that receive a gradient.

    Source: Rafailov et al., 2023 (arXiv 2305.18290), equation 7.

    Args:
        policy: ``[2, n]``, see :func:`preference_margins`.
        reference: ``[2, n]``, see :func:`preference_margins`.
        beta: β.

    Example:
        >>> import torch
        >>> from recops_models.generative.path_losses import preference_loss
        >>> policy = torch.tensor([[-1.0], [-4.0]])
        >>> preference_loss(policy, reference=policy, beta=0.1)  # log 2
        tensor(0.6931)
    """
    if not policy.shape[1] and not workers.several():
        return policy.sum()
    return workers.share_of_mean(F.softplus(-beta * preference_margins(policy, reference)))


def preference_pairs(target: Tensor, level: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
    """Return preference pairs from the targets of history windows.

    The paper pairs items of one request, which public data does not contain. Here nearby events
    stand for one request: the pair at t holds target t and the nearest of the next ``horizon``
    targets with another item and another level. The item with the higher level is preferred. Both
    are scored after the history up to t.

    Args:
        target: ``[B, T]`` i64, 1-based items; 0: no target.
        level: ``[B, T]`` i64, level of engagement.
        horizon: largest distance between the two targets.

    Returns:
        the preferred and the other items, ``[B, T]`` i64 each; 0: no pair at t.

    Example:
        >>> import torch
        >>> from recops_models.generative.path_losses import preference_pairs
        >>> target, level = torch.tensor([[5, 6, 7]]), torch.tensor([[0, 2, 2]])
        >>> preference_pairs(target, level, horizon=1)  # item 6 is preferred to item 5
        (tensor([[6, 0, 0]]), tensor([[5, 0, 0]]))
    """
    partner = torch.zeros_like(target)
    higher = torch.zeros_like(target, dtype=torch.bool)  # whether the partner is preferred
    for ahead in range(1, min(horizon, target.shape[1] - 1) + 1):
        now, later = target[:, :-ahead], target[:, ahead:]
        is_pair = (now > 0) & (later > 0) & (now != later)
        is_pair &= level[:, :-ahead] != level[:, ahead:]
        is_pair &= partner[:, :-ahead] == 0
        partner[:, :-ahead] = torch.where(is_pair, later, partner[:, :-ahead])
        higher[:, :-ahead] |= is_pair & (level[:, ahead:] > level[:, :-ahead])
    own = target.where(partner > 0, 0)
    return partner.where(higher, own), own.where(higher, partner)
