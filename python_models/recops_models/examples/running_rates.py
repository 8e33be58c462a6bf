"""How often a user likes and an item is liked, of the events before an example alone."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array

RATES = ("user_rate", "user_count", "item_rate", "item_count")
"""The features, by name."""

_STRENGTH = 10
"""So many events weigh as much as what is known of all users and items."""


class RunningRates:
    """The features :data:`RATES` of any user and item at any moment.

    Events stand in one order, that of time; an example has a place in it. With n events of the user
    before that place, l of them liked, N and L the same of all events,

    - ``user_rate = (l + s p) / (n + s)`` with ``p = (L + 1) / (N + 2)`` and s = 10,
    - ``user_count = ln(1 + n)``,

    and of the item likewise. Nothing at the place or behind it is counted: an event never meets its
    own label. Where the source knows only the order of each user's events, users advance side by
    side: a third event is behind all second ones.

    Args:
        user: ``[E]`` i64, in order.
        item: ``[E]`` i64.
        liked: ``[E]`` bool.

    Complexity:
        O(E log E) once, O(n log E) for n examples.
    """

    def __init__(self, user: Int64Array, item: Int64Array, liked: NDArray[np.bool_]) -> None:
        self._of = {"user": _Before(user, liked), "item": _Before(item, liked)}
        self._liked = np.concatenate([[0], np.cumsum(liked)])

    def features(
        self, user: Int64Array, item: Int64Array, place: Int64Array
    ) -> dict[str, NDArray[np.float64]]:
        """By name ``[n]``: of examples that show ``item`` to ``user`` before event ``place``.

        Args:
            user: ``[n]`` i64.
            item: ``[n]`` i64.
            place: ``[n]`` i64 in [0, E]; E is after all events.
        """
        return rate_features(
            user=self._of["user"].sums(user, place),
            item=self._of["item"].sums(item, place),
            all_events=(place, self._liked[place]),
        )


Counts: TypeAlias = tuple[Int64Array, Int64Array]
"""How many events, and how many of them liked."""


def rate_features(
    *, user: Counts, item: Counts, all_events: Counts
) -> dict[str, NDArray[np.float64]]:
    """The features :data:`RATES`, by name, of these counts; :class:`RunningRates` has the formulas.

    Args:
        user: n and l of users, of any shapes that broadcast.
        item: likewise, of items.
        all_events: N and L.
    """
    met, liked_of_all = all_events
    prior = (liked_of_all + 1) / (met + 2)
    found = {}
    for name, (count, liked) in (("user", user), ("item", item)):
        found[f"{name}_rate"] = (liked + _STRENGTH * prior) / (count + _STRENGTH)
        found[f"{name}_count"] = np.log1p(count)
    return found


class _Before:
    """Of one kind of entity: how many of its events come before a place, and how many are liked."""

    def __init__(self, entity: Int64Array, liked: NDArray[np.bool_]) -> None:
        order = np.argsort(entity, kind="stable")
        self._span = len(entity) + 1
        self._keys = entity[order] * self._span + order  # Ascending: by entity, then by place.
        self._liked = np.concatenate([[0], np.cumsum(liked[order])])

    def sums(self, entity: Int64Array, place: Int64Array) -> tuple[Int64Array, Int64Array]:
        start = np.searchsorted(self._keys, entity * self._span)
        end = np.searchsorted(self._keys, entity * self._span + place)
        return end - start, self._liked[end] - self._liked[start]
