"""Off-policy estimators: IPS, SNIPS, the direct method and doubly robust."""

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
    """Estimated mean reward per impression of the target policy.

    Attributes:
        value: the estimate.
        influence: ``[N]``, influence function: to first order, the error of the estimate is the
            mean influence.
        group: ``[N]`` or None, groups of the log.
        effective: effective sample size ``(Σ w)² / Σ w²``: the number of impressions under the
            target policy with the same information.
    """

    value: float
    influence: _Floats
    group: npt.NDArray[np.int64] | None
    effective: float

    @property
    def error(self) -> float:
        """Standard error of the estimate, with groups as independent units."""
        total = self.influence
        if self.group is not None:
            _, group = np.unique(self.group, return_inverse=True)
            total = np.bincount(group, self.influence).astype(np.float64)
        if len(total) < 2:
            return float("nan")
        square = float((total**2).sum()) * len(total) / (len(total) - 1)
        return float(np.sqrt(square)) / len(self.influence)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of the normal approximation.

        Raises:
            ValueError: ``level`` is not in (0, 1).
        """
        require_level("interval", level)
        reach = float(stats.norm.ppf((1 + level) / 2)) * self.error
        return self.value - reach, self.value + reach


def ips(log: BanditLog, target: _Floats, *, most: float | None = None) -> PolicyValue:
    """Estimate by inverse propensity scoring: ``mean w r``, ``w = π(a | x) / p(a | x)``.

    Unbiased if p is correct, and positive for all actions with positive π. The variance grows with
    the weights.
    Source: Horvitz and Thompson, A Generalization of Sampling Without Replacement, 1952.

    Args:
        log: log of the logging policy.
        target: ``[N, A]``, π, probabilities of the target policy; rows sum to 1.
        most: upper bound of the weights, which biases the estimate towards 0; None: no bound.

    Raises:
        ValueError: ``target`` is not such a matrix, or ``most`` is not positive.
    """
    weight = _weights(log, target, most)
    each = weight * log.reward
    return _value(log, weight, float(each.mean()), each - each.mean())


def snips(log: BanditLog, target: _Floats, *, most: float | None = None) -> PolicyValue:
    """Estimate by self-normalised inverse propensity scoring: ``Σ w r / Σ w``.

    Consistent, and bounded by the rewards. The influence is ``w (r − value) / mean w`` (delta
    method). Source: Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual
    Learning, 2015. The arguments are those of :func:`ips`.

    Raises:
        ValueError: as in :func:`ips`; or all logged actions have target probability 0.
    """
    weight = _weights(log, target, most)
    if not weight.any():
        raise ValueError("snips: target must give some logged action a positive probability")
    value = float((weight * log.reward).sum() / weight.sum())
    return _value(log, weight, value, weight * (log.reward - value) / weight.mean())


def direct_method(log: BanditLog, target: _Floats, reward: _Floats) -> PolicyValue:
    """Estimate by a reward model: ``mean Σ_a π(a | x) q(x, a)``.

    The interval covers the sampling of contexts, but not errors of the model.

    Args:
        log: log of the logging policy.
        target: as in :func:`ips`.
        reward: ``[N, A]``, q, predictions of a model that was trained on other impressions.

    Raises:
        ValueError: a matrix has another shape or is not finite.
    """
    weight = _weights(log, target, None)
    each = (target * _model(log, reward)).sum(1)
    return _value(log, weight, float(each.mean()), each - each.mean())


def doubly_robust(
    log: BanditLog, target: _Floats, reward: _Floats, *, most: float | None = None
) -> PolicyValue:
    """Estimate by the doubly robust method: ``mean [Σ_b π(b | x) q(x, b) + w (r − q(x, a))]``.

    Unbiased if p or q is correct. Source: Dudík, Langford and Li, Doubly Robust Policy Evaluation
    and Learning, 2011. The arguments are those of :func:`ips` and :func:`direct_method`.

    Raises:
        ValueError: as in these functions.
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
        raise ValueError("off-policy: target must hold probabilities, with rows that sum to 1")
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
    expected = (len(log), log.actions)
    if values.shape != expected:
        raise ValueError(f"off-policy: {name} must be {list(expected)}, got {list(values.shape)}")
    if not np.isfinite(values).all():
        raise ValueError(f"off-policy: {name} must be finite, got NaN or infinity")
