"""Off-policy estimates, compared with the truth of a synthetic bandit and with obp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recops_models.data import DataError, load
from recops_models.data.wheels import OPEN_BANDIT
from recops_models.evaluation.off_policy.estimators import (
    PolicyValue,
    direct_method,
    doubly_robust,
    ips,
    snips,
)
from recops_models.evaluation.off_policy.log import BanditLog, open_bandit_log

ACTIONS = 4
REWARD = np.array([[0.1, 0.4, 0.6, 0.3], [0.7, 0.2, 0.1, 0.5]])
LOGGING = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
TARGET = np.array([[0.4, 0.1, 0.4, 0.1], [0.25, 0.25, 0.25, 0.25]])
TRUTH = (TARGET * REWARD).sum(1).mean()


def drawn(rows: int, seed: int = 0) -> tuple[BanditLog, Any, Any]:
    """Return a log of two contexts, the target's probabilities, and the expected rewards."""
    rng = np.random.default_rng(seed)
    context = rng.integers(2, size=rows)
    action = (LOGGING[context].cumsum(1) < rng.random((rows, 1))).sum(1)
    reward = (rng.random(rows) < REWARD[context, action]).astype(float)
    log = BanditLog(action, reward, LOGGING[context, action], ACTIONS)
    return log, TARGET[context], REWARD[context]


Estimator = Callable[[BanditLog, Any, Any], PolicyValue]
ESTIMATORS: dict[str, Estimator] = {
    "ips": lambda log, target, reward: ips(log, target),
    "snips": lambda log, target, reward: snips(log, target),
    "dr": lambda log, target, reward: doubly_robust(log, target, reward),
    "dr, wrong model": lambda log, target, reward: doubly_robust(log, target, 0 * reward + 0.5),
    "dm": lambda log, target, reward: direct_method(log, target, reward),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_intervals_have_their_nominal_coverage(name: str) -> None:
    rounds = 300
    estimates = [ESTIMATORS[name](*drawn(800, seed)) for seed in range(rounds)]
    intervals = (estimate.interval(0.9) for estimate in estimates)
    covered = [low <= TRUTH <= high for low, high in intervals]
    assert abs(np.mean(covered) - 0.9) < 4 * (0.09 / rounds) ** 0.5
    values = np.array([estimate.value for estimate in estimates])
    errors = np.array([estimate.error for estimate in estimates])
    assert abs(values.mean() - TRUTH) < 4 * values.std() / rounds**0.5 + 1e-3
    assert errors.mean() == pytest.approx(values.std(), rel=0.2)


def test_a_correct_reward_model_narrows_the_interval() -> None:
    log, target, reward = drawn(4000)
    errors = {name: ESTIMATORS[name](log, target, reward).error for name in ESTIMATORS}
    assert errors["dr"] < errors["snips"] < errors["ips"]


def test_formulas() -> None:
    log = BanditLog(np.array([0, 1, 1]), np.array([1.0, 0.0, 1.0]), np.array([0.5, 0.25, 0.25]), 2)
    target = np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 1.0]])
    q = np.array([[0.5, 0.1], [0.2, 0.3], [0.0, 0.8]])
    w = np.array([1.0, 2.0, 4.0])
    assert ips(log, target).value == pytest.approx((1 + 4) / 3)
    assert snips(log, target).value == pytest.approx(5 / 7)
    assert direct_method(log, target, q).value == pytest.approx((0.3 + 0.25 + 0.8) / 3)
    correction = (1 * 0.5 + 2 * -0.3 + 4 * 0.2) / 3
    expected = (0.3 + 0.25 + 0.8) / 3 + correction
    assert doubly_robust(log, target, q).value == pytest.approx(expected)
    assert ips(log, target).effective == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert ips(log, target, most=1.5).value == pytest.approx((1 + 1.5) / 3)


def test_the_logging_policy_has_the_mean_reward() -> None:
    log, _, _ = drawn(500)
    own = np.zeros((500, ACTIONS))
    own[np.arange(500), log.action] = 1
    uniform = BanditLog(log.action, log.reward, np.ones(500), ACTIONS)
    for estimate in (ips(uniform, own), snips(uniform, own)):
        assert estimate.value == pytest.approx(log.reward.mean())
        assert estimate.effective == pytest.approx(500)


def test_copies_in_one_group_do_not_narrow_the_interval() -> None:
    log, target, _ = drawn(400)
    four = np.tile(np.arange(400), 4)
    copies = BanditLog(log.action[four], log.reward[four], log.propensity[four], ACTIONS, four)
    once, often = ips(log, target), ips(copies, target[four])
    assert often.value == pytest.approx(once.value)
    assert often.error == pytest.approx(once.error)
    alone = BanditLog(copies.action, copies.reward, copies.propensity, ACTIONS)
    assert ips(alone, target[four]).error == pytest.approx(once.error / 2, rel=0.01)


def test_agrees_with_the_open_bandit_pipeline() -> None:
    reason = "obp is not installed (it requires Python < 3.11)"
    estimators = pytest.importorskip("obp.ope.estimators", reason=reason)
    log, target, reward = drawn(2000)
    arguments = {
        "reward": log.reward,
        "action": log.action,
        "pscore": log.propensity,
        "action_dist": target[:, :, None],
    }
    model = {**arguments, "estimated_rewards_by_reg_model": reward[:, :, None]}
    peers = {
        "ips": estimators.InverseProbabilityWeighting().estimate_policy_value(**arguments),
        "snips": estimators.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(
            **arguments
        ),
        "dr": estimators.DoublyRobust().estimate_policy_value(**model),
        "dm": estimators.DirectMethod().estimate_policy_value(
            action_dist=arguments["action_dist"],
            estimated_rewards_by_reg_model=model["estimated_rewards_by_reg_model"],
        ),
    }
    for name, value in peers.items():
        assert ESTIMATORS[name](log, target, reward).value == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propensity": [0.5, np.nan]}, "propensity must not be missing, violated in row 1"),
        ({"propensity": [0.0, 0.5]}, "propensity must be > 0, violated in row 0"),
        ({"propensity": [0.5, -0.1]}, "propensity must be > 0, violated in row 1"),
        ({"propensity": [0.5, 1.5]}, "propensity must be ≤ 1, violated in row 1"),
        ({"reward": [1.0, np.inf]}, "reward must be finite, violated in row 1"),
        ({"action": [0, 2]}, r"action must be in \[0, 2\), violated in row 1"),
        ({"reward": [1.0]}, r"reward must be \[N\], N ≥ 1, like action, got \[1\]"),
        ({"group": [1]}, r"group must be \[N\], N ≥ 1, like action, got \[1\]"),
    ],
)
def test_bad_logs_are_named(change: dict[str, Any], message: str) -> None:
    columns = {"action": [0, 1], "reward": [1.0, 0.0], "propensity": [0.5, 0.5], **change}
    with pytest.raises(ValueError, match=f"BanditLog: {message}"):
        BanditLog(**{name: np.array(values) for name, values in columns.items()}, actions=2)


def test_bad_targets_are_named() -> None:
    log, target, reward = drawn(10)
    with pytest.raises(ValueError, match=r"target must be \[10, 4\], got \[10, 3\]"):
        ips(log, target[:, :3])
    with pytest.raises(ValueError, match="target must hold probabilities, with rows that sum to 1"):
        ips(log, target * 2)
    with pytest.raises(ValueError, match="reward must be finite, got NaN"):
        doubly_robust(log, target, reward * np.nan)
    with pytest.raises(ValueError, match=r"most must be > 0, got 0\.0"):
        ips(log, target, most=0.0)
    never = np.zeros((10, 4))
    never[np.arange(10), (log.action + 1) % 4] = 1
    with pytest.raises(ValueError, match="snips: target must give some logged action"):
        snips(log, never)
    assert ips(log, never).value == 0


def test_the_open_bandit_logs() -> None:
    """The estimated value of the random policy is its click rate; a missing log is named."""
    if not (OPEN_BANDIT.local or OPEN_BANDIT.cached.exists()):
        pytest.skip("open-bandit is not here: `recops data get open-bandit`, or set RECOPS_DATA")
    data = load("open-bandit")
    log, ids, users = open_bandit_log(data, policy="random", campaign="men")
    assert (len(log), log.actions, len(ids), len(users)) == (10_000, 34, 34, 10_000)
    uniform = np.full((len(log), log.actions), 1 / log.actions)
    for estimate in (ips, snips):
        assert estimate(log, uniform).value == pytest.approx(46 / 10_000, rel=1e-6)
    other, _, _ = open_bandit_log(data, policy="bts", campaign="men")
    low, high = snips(other, uniform).interval()
    assert low < 46 / 10_000 < high
    with pytest.raises(DataError, match="no log of policy 'ucb' in campaign 'men'"):
        open_bandit_log(data, policy="ucb", campaign="men")
