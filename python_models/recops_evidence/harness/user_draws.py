"""What runs would have reached among other users, and how far two arms would differ there."""

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
    """A run's figures in each of R draws of its users with replacement.

    Attributes:
        users: a digest of who they are: runs on the same ones met the same of them in each draw.
        figures: ``[R]`` f32 by metric; NaN where it is not defined of those drawn.
    """

    users: str
    figures: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, ids: NDArray[np.generic], statistics: Mapping[str, Statistic], rows: int) -> Self:
        """R = 1,000.

        Args:
            ids: ``[U]``, each user once.
            statistics: by metric; see :func:`~recops_models.evaluation.bootstrap.draw_users`.
            rows: that a statistic counts for one draw.
        """
        digest = hashlib.sha256(json.dumps(ids.tolist()).encode()).hexdigest()
        drawn = {
            metric: draw_users(statistic, len(ids), numbers=max(rows, len(ids)))
            for metric, statistic in statistics.items()
        }
        return cls(digest, {metric: each.astype(_STORED) for metric, each in drawn.items()})

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Self:
        """See :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        users, figures = content["users"], content["figures"]
        if not (isinstance(users, str) and isinstance(figures, dict)):
            raise ValueError("draws of users must be a digest and figures")
        return cls(
            users,
            {
                metric: np.frombuffer(base64.b64decode(text, validate=True), _STORED)
                for metric, text in figures.items()
            },
        )

    def to_json(self) -> dict[str, object]:
        """4 bytes a draw, in base64."""
        figures = {
            metric: base64.b64encode(drawn.tobytes()).decode()
            for metric, drawn in self.figures.items()
        }
        return {"users": self.users, "figures": figures}


def user_difference(
    metric: str, first: Sequence[UserDraws | None], second: Sequence[UserDraws | None]
) -> NDArray[np.float64] | None:
    """``[R]``: the difference of two arms among users drawn with replacement, a mean over seeds;
    draws in which it is not defined are left out.

    Args:
        metric: which.
        first: the first arm's, one a seed.
        second: the second arm's, under the same seeds.

    Returns:
        None where not all runs had the same users, or one none for that metric: draws of others
        are not drawn together.
    """
    if len({None if drawn is None else drawn.users for drawn in (*first, *second)}) != 1:
        return None
    differences = []
    for ours, theirs in zip(first, second, strict=True):
        if ours is None or theirs is None:
            return None
        if metric not in ours.figures or metric not in theirs.figures:
            return None
        differences.append(np.subtract(ours.figures[metric], theirs.figures[metric], dtype="f8"))
    mean = np.mean(differences, axis=0)
    return np.asarray(mean[~np.isnan(mean)])
