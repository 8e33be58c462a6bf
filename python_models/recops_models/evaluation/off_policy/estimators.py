"""Estimates of a policy's value from another one's log: IPS, SNIPS, the direct method, DR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from recops_models.evaluation.off_policy.log import BanditLog
from recops_models.evaluation.samples import require_level

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PolicyValue:
    """The mean reward of an impression, had the target policy chosen it.

    Attributes:
        value: the estimate.
        influence: ``[N]``, what each impression adds to N times the error of the estimate; to first
            order its mean is 0 or the value's error.
        group: ``[N]`` or None, of the log.
        effective: ``(Σ w)² / Σ w²``, how many impressions of the target's own this log is worth.
    """

    value: float
    influence: _Floats
    group: npt.NDArray[np.int64] | None
    effective: float

    @property
    def error(self) -> float:
        """The standard error: of the mean influence over groups, which are taken as independent."""
        total = self.influence
        if self.group is not None:
            _, group = np.unique(self.group, return_inverse=True)
            total = np.bincount(group, self.influence).astype(np.float64)
        if len(total) < 2:
            return float("nan")
        square = float((total**2).sum()) * len(total) / (len(total) - 1)
        return float(np.sqrt(square)) / len(self.influence)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """By the normal law around the estimate.

        Raises:
            ValueError: ``level`` is out of (0, 1).
        """
        require_level("interval", level)
        reach = float(stats.norm.ppf((1 + level) / 2)) * self.error
        return self.value - reach, self.value + reach


def ips(log: BanditLog, target: _Floats, *, most: float | None = None) -> PolicyValue:
    """Inverse propensity scoring: ``mean w r``, ``w = π(a | x) / p(a | x)``.

    Unbiased where p is right and positive wherever π is; its variance grows with the weights.
    Horvitz and Thompson, A Generalization of Sampling Without Replacement, 1952.

    Args:
        log: of the policy that showed.
        target: ``[N, A]``, π, the probabilities of the policy that is asked about; rows sum to 1.
        most: weights are cut to this, which biases towards 0; None: none is.

    Raises:
        ValueError: the target is no such matrix, or ``most`` is not positive.
    """
    weight = _weights(log, target, most)
    each = weight * log.reward
    return _value(log, weight, float(each.mean()), each - each.mean())


def snips(log: BanditLog, target: _Floats, *, most: float | None = None) -> PolicyValue:
    """Self-normalised: ``Σ w r / Σ w``; consistent, bounded by the rewards, with an influence of
    ``w (r − value) / mean w`` (the delta method).

    Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual Learning, 2015. For
    the arguments see :func:`ips`.

    Raises:
        ValueError: as :func:`ips`; or the target shows nothing that was logged.
    """
    weight = _weights(log, target, most)
    if not weight.any():
        raise ValueError("snips: target must give something that was logged a probability, got 0")
    value = float((weight * log.reward).sum() / weight.sum())
    return _value(log, weight, value, weight * (log.reward - value) / weight.mean())


def direct_method(log: BanditLog, target: _Floats, reward: _Floats) -> PolicyValue:
    """``mean Σ_a π(a | x) q(x, a)``: what a model of the reward says. Its interval holds the draw
    of the contexts, and nothing of what the model is wrong about.

    Args:
        log: of the policy that showed.
        target: see :func:`ips`.
        reward: ``[N, A]``, q, learnt on other impressions.

    Raises:
        ValueError: a matrix of another shape, or not finite.
    """
    weight = _weights(log, target, None)
    each = (target * _model(log, reward)).sum(1)
    return _value(log, weight, float(each.mean()), each - each.mean())


def doubly_robust(
    log: BanditLog, target: _Floats, reward: _Floats, *, most: float | None = None
) -> PolicyValue:
    """``mean [Σ_b π(b | x) q(x, b) + w (r − q(x, a))]``: unbiased where p or q is right.

    Dudík, Langford and Li, Doubly Robust Policy Evaluation and Learning, 2011. For the arguments
    see :func:`ips` and :func:`direct_method`.

    Raises:
        ValueError: as they.
    """
    weight, q = _weights(log, target, most), _model(log, reward)
    each = (target * q).sum(1) + weight * (log.reward - q[np.arange(len(log)), log.action])
    return _value(log, weight, float(each.mean()), each - each.mean())


def _value(log: BanditLog, weight: _Floats, value: float, influence: _Floats) -> PolicyValue:
    square = float((weight**2).sum())
    effective = float(weight.sum()) ** 2 / square if square else 0.0
    return PolicyValue(value, influence, log.group, effective)


def _weights(log: BanditLog, target: _Floats, most: float | None) -> _Floats:
    _check_matrix("target", log, target)
    if (target < 0).any() or not np.allclose(target.sum(1), 1, atol=1e-6):
        raise ValueError("off-policy: target must hold probabilities, rows that sum to 1")
    weight = target[np.arange(len(log)), log.action] / log.propensity
    if most is None:
        return weight
    if not most > 0:
        raise ValueError(f"off-policy: most must be > 0, got {most}")
    return np.minimum(weight, most)


def _model(log: BanditLog, reward: _Floats) -> _Floats:
    _check_matrix("reward", log, reward)
    return reward


def _check_matrix(name: str, log: BanditLog, values: _Floats) -> None:
    due = (len(log), log.actions)
    if values.shape != due or not np.isfinite(values).all():
        raise ValueError(
            f"off-policy: {name} must be finite {list(due)}, got {list(values.shape)}"
            + ("" if values.shape != due else " with a number that is not")
        )
