"""Like rates and event counts of user and item before an example."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array
from recops_models.examples.compact import IndexArray

RATES = ("user_rate", "user_count", "item_rate", "item_count")
"""Names of the features."""

_STRENGTH = 10
"""Weight of the prior, in events."""


class RunningRates:
    """The features :data:`RATES` of any user and item at any time.

    Events are in time order, and an example has a time rank t. Among the events before t, let the
    user have n events with l likes, and all users N events with L likes. Then

    - ``user_rate = (l + s p) / (n + s)`` with ``p = (L + 1) / (N + 2)`` and s = 10,
    - ``user_count = ln(1 + n)``,

    and the same for the item. Events at t or later do not count, so that an event's features do not
    depend on its label. If the source only has the order of each user's events, users advance in
    parallel: every third event is after all second ones.

    Args:
        user: ``[E]``, in time order.
        item: ``[E]``.
        liked: ``[E]`` bool.

    Complexity:
        O(E log E) once, O(n log E) for n examples.
    """

    def __init__(self, user: IndexArray, item: IndexArray, liked: NDArray[np.bool_]) -> None:
        self._of = {"user": _Before(user, liked), "item": _Before(item, liked)}
        self._liked = np.concatenate([[0], np.cumsum(liked)])

    def features(
        self, user: Int64Array, item: Int64Array, time_rank: Int64Array
    ) -> dict[str, NDArray[np.float64]]:
        """Return name → values ``[n]`` for ``item`` shown to ``user`` before event ``time_rank``.

        Args:
            user: ``[n]`` i64.
            item: ``[n]`` i64.
            time_rank: ``[n]`` i64 in [0, E]; E is after all events.
        """
        return rate_features(
            user=self._of["user"].sums(user, time_rank),
            item=self._of["item"].sums(item, time_rank),
            all_events=(time_rank, self._liked[time_rank]),
        )


Counts: TypeAlias = tuple[Int64Array, Int64Array]
"""Number of events, and number of liked events."""


def rate_features(
    *, user: Counts, item: Counts, all_events: Counts
) -> dict[str, NDArray[np.float64]]:
    """Return the features :data:`RATES` for these counts; see :class:`RunningRates`.

    Args:
        user: n and l of users, in shapes that broadcast.
        item: n and l of items.
        all_events: N and L.
    """
    total, total_liked = all_events
    prior = (total_liked + 1) / (total + 2)
    features = {}
    for name, (count, liked) in (("user", user), ("item", item)):
        features[f"{name}_rate"] = (liked + _STRENGTH * prior) / (count + _STRENGTH)
        features[f"{name}_count"] = np.log1p(count)
    return features


class _Before:
    """Counts of an entity's events, and of its liked events, before a time rank."""

    def __init__(self, entity: IndexArray, liked: NDArray[np.bool_]) -> None:
        order = np.argsort(entity, kind="stable")
        self._span = len(entity) + 1
        self._keys = (
            entity[order].astype(np.int64) * self._span + order
        )  # Ascending by entity, then by time.
        self._liked = np.concatenate([[0], np.cumsum(liked[order])])

    def sums(self, entity: Int64Array, time_rank: Int64Array) -> tuple[Int64Array, Int64Array]:
        start = np.searchsorted(self._keys, entity * self._span)
        end = np.searchsorted(self._keys, entity * self._span + time_rank)
        return end - start, self._liked[end] - self._liked[start]
