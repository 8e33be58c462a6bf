from __future__ import annotations

import math

import pytest
import torch

from recops_models.generative.path_losses import (
    advantages,
    next_token_loss,
    preference_loss,
    preference_margins,
    preference_pairs,
    reward_loss,
)


def log_probs(rows: int = 7) -> torch.Tensor:
    return (-torch.rand(rows, generator=torch.Generator().manual_seed(0))).requires_grad_()


def test_the_next_token_loss_is_weighted() -> None:
    log_prob = log_probs()
    weight = torch.arange(7.0)
    expected = sum(-weight[i] * log_prob[i] for i in range(7)) / 7
    torch.testing.assert_close(next_token_loss(log_prob, weight), expected)
    plain = -log_prob.mean()
    assert torch.equal(next_token_loss(log_prob, torch.ones(7)), plain)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 4.0, 1e6])
@pytest.mark.parametrize("rows", [1, 3, 7, 1000])
def test_equal_rewards_give_the_next_token_loss_bit_for_bit(value: float, rows: int) -> None:
    log_prob, weight = log_probs(rows), torch.linspace(0.3, 2, rows)
    plain = next_token_loss(log_prob, weight)
    rewarded = reward_loss(log_prob, weight, torch.full((rows,), value), strength=0.5, clip=2)
    assert torch.equal(plain, rewarded)
    (gradient,) = torch.autograd.grad(plain, log_prob)
    (other,) = torch.autograd.grad(rewarded, log_prob)
    assert torch.equal(gradient, other)


def test_advantages_are_centred_scaled_and_clipped() -> None:
    reward = torch.tensor([0.0, 0, 0, 0, 0, 0, 0, 0, 0, 10])
    loose = advantages(reward, 100)
    torch.testing.assert_close(loose.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(loose.square().mean(), torch.tensor(1.0))
    torch.testing.assert_close(loose[-1], torch.tensor(3.0))
    assert advantages(reward, 2)[-1] == 2
    torch.testing.assert_close(advantages(3 * reward + 5, 2), advantages(reward, 2))


def test_clipping_keeps_weights_non_negative() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        reward = -(torch.randn(20, generator=generator).exp() ** 3)  # a few far below the others
        assert min(1 + 0.5 * advantages(reward, 100)) < 0  # without the clip
        rows = torch.eye(20)  # row i gives the weight of target i
        weights = [
            -20 * reward_loss(row, torch.ones(20), reward, strength=0.5, clip=2) for row in rows
        ]
        assert min(weights) >= 0
        assert max(weights) > 1


def test_rounding_keeps_weights_non_negative() -> None:
    clip, reward = 1.7, torch.tensor([-100.0, *[1.0] * 19])  # the first is clipped to -c
    loss = reward_loss(torch.eye(20)[0], torch.ones(20), reward, strength=1 / clip, clip=clip)
    assert torch.copysign(torch.ones(()), -loss) == 1
    assert -20 * loss < 1e-6


@pytest.mark.parametrize(
    ("strength", "clip", "message"),
    [
        (0.6, 2.0, r"reward_strength · reward_clip must be at most 1.* got 0.6 · 2"),
        (-0.1, 2.0, r"reward_strength must be 0 or more .* got -0.1 and 2"),
        (0.5, 0.0, r"reward_clip above 0, got 0.5 and 0"),
        (math.nan, 1.0, r"got nan and 1"),
    ],
)
def test_settings_with_negative_weights_are_an_error(
    strength: float, clip: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        reward_loss(log_probs(), torch.ones(7), torch.ones(7), strength=strength, clip=clip)


def test_the_preference_loss_is_log_2_at_the_reference() -> None:
    reference = torch.randn(2, 9)
    loss = preference_loss(reference.clone(), reference, beta=0.1)
    torch.testing.assert_close(loss, torch.tensor(math.log(2)))
    assert torch.equal(preference_margins(reference, reference), torch.zeros(9))


def test_the_preference_loss_decreases_as_the_preferred_item_gains() -> None:
    policy, reference = torch.zeros(2, 4, requires_grad=True), torch.zeros(2, 4)
    preference_loss(policy, reference, beta=0.1).backward()
    assert policy.grad is not None
    torch.testing.assert_close(policy.grad[0], torch.full((4,), -0.1 / 2 / 4))  # −β σ(0) / n
    torch.testing.assert_close(policy.grad[1], -policy.grad[0])


def test_without_pairs_the_loss_and_gradient_are_zero() -> None:
    policy = torch.zeros(2, 0, requires_grad=True)
    loss = preference_loss(policy, torch.zeros(2, 0), beta=0.1)
    loss.backward()
    assert loss == 0


def test_pairs_have_different_items_and_levels_in_one_window() -> None:
    target = torch.tensor([[5, 6, 7, 8, 0], [9, 9, 3, 0, 0]])
    level = torch.tensor([[1, 1, 0, 2, 0], [2, 1, 1, 0, 0]])
    preferred, other = preference_pairs(target, level, horizon=2)
    # Item (level): 5 (1) pairs with 7 (0), since 6 has its level; 6 (1) with 7; 7 with 8 (2).
    assert preferred.tolist() == [[5, 6, 8, 0, 0], [9, 0, 0, 0, 0]]
    assert other.tolist() == [[7, 7, 7, 0, 0], [3, 0, 0, 0, 0]]  # 9 does not pair with itself
    assert preference_pairs(target, level, horizon=1)[0].tolist()[0] == [0, 6, 8, 0, 0]


def test_pairs_match_the_definition() -> None:
    generator = torch.Generator().manual_seed(2)
    target = torch.randint(0, 6, (20, 9), generator=generator)
    level = torch.randint(0, 3, (20, 9), generator=generator)
    preferred, other = preference_pairs(target, level, horizon=4)
    for b in range(20):
        for t in range(9):
            pair = (0, 0)
            for s in range(t + 1, min(t + 5, 9)):
                now, later = int(target[b, t]), int(target[b, s])
                if now and later and now != later and level[b, t] != level[b, s]:
                    pair = (now, later) if level[b, t] > level[b, s] else (later, now)
                    break
            assert (int(preferred[b, t]), int(other[b, t])) == pair
