"""Metrics of runs on bootstrap samples of the users, and differences of two arms on them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from recops_models.evaluation.bootstrap import Statistic, draw_users

_STORED = np.dtype("<f4")


@dataclass(frozen=True, eq=False)
class UserDraws:
    """Metrics of a run on R samples of its users with replacement.

    Attributes:
        users: digest of the user ids; runs with the same users have the same samples.
        figures: ``[R]`` f32 by metric; NaN if a metric is not defined on a sample.
    """

    users: str
    figures: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, ids: NDArray[np.generic], statistics: Mapping[str, Statistic], rows: int) -> Self:
        """Draw R = 1,000 samples.

        Args:
            ids: ``[U]``, each user once.
            statistics: statistics by metric, see
                :func:`~recops_models.evaluation.bootstrap.draw_users`.
            rows: number of rows that a statistic reads per sample.
        """
        digest = hashlib.sha256(json.dumps(ids.tolist()).encode()).hexdigest()
        samples = {
            metric: draw_users(statistic, len(ids), numbers=max(rows, len(ids)))
            for metric, statistic in statistics.items()
        }
        return cls(digest, {metric: each.astype(_STORED) for metric, each in samples.items()})

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Self:
        """Restore the result of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError: the content is invalid.
        """
        users, figures = content["users"], content["figures"]
        if not (isinstance(users, str) and isinstance(figures, dict)):
            raise ValueError("user draws must be a digest and figures")
        return cls(
            users,
            {
                metric: np.frombuffer(base64.b64decode(text, validate=True), _STORED)
                for metric, text in figures.items()
            },
        )

    def to_json(self) -> dict[str, object]:
        """Return JSON with 4 bytes per sample and metric in base64."""
        figures = {
            metric: base64.b64encode(values.tobytes()).decode()
            for metric, values in self.figures.items()
        }
        return {"users": self.users, "figures": figures}


def user_difference(
    metric: str, first: Sequence[UserDraws | None], second: Sequence[UserDraws | None]
) -> NDArray[np.float64] | None:
    """Return the difference of two arms on samples of the users, averaged over seeds.

    Args:
        metric: name of the metric.
        first: draws of the first arm, one per seed.
        second: draws of the second arm under the same seeds.

    Returns:
        ``[R']`` f64, without the samples on which a metric is not defined. None if the runs have
        different users or lack the metric.
    """
    if len({None if draws is None else draws.users for draws in (*first, *second)}) != 1:
        return None
    differences = []
    for one, other in zip(first, second, strict=True):
        if one is None or other is None:
            return None
        if metric not in one.figures or metric not in other.figures:
            return None
        differences.append(np.subtract(one.figures[metric], other.figures[metric], dtype="f8"))
    mean = np.mean(differences, axis=0)
    return np.asarray(mean[~np.isnan(mean)])
