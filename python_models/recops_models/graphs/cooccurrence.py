"""Which items are met near each other, counted: the counts that an item graph is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Histories, Int64Array

Int32Array = NDArray[np.int32]
Float64Array = NDArray[np.float64]

_EVENTS = 1 << 20
"""Events whose pairs are looked at together."""

_NUMBERS = 1 << 63


@dataclass(frozen=True, eq=False)
class NeighbourCounts:
    """Of each of V items its neighbours, the most frequent first, ties to the smaller id.

    Attributes:
        offsets: ``[V + 1]`` i64: the neighbours of item i are ``[offsets[i], offsets[i + 1])``.
        neighbours: ``[E]`` i32, never the item itself.
        counts: ``[E]`` f64, > 0, falling within an item.
    """

    offsets: Int64Array
    neighbours: Int32Array
    counts: Float64Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def items(self) -> Int64Array:
        """``[E]`` i64: whose neighbour each is."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def top(self, number: int) -> NeighbourCounts:
        """Each item's ``number`` most frequent neighbours alone.

        Raises:
            ValueError: ``number`` < 1.
        """
        if number < 1:
            raise ValueError(f"NeighbourCounts.top: number must be 1 or more, got {number}")
        place = np.arange(len(self.neighbours)) - self.offsets[self.items]
        kept = place < number
        lengths = np.minimum(np.diff(self.offsets), number)
        return NeighbourCounts(_offsets(lengths), self.neighbours[kept], self.counts[kept])

    def then(self, later: NeighbourCounts, *, decay: float, keep: int | None) -> NeighbourCounts:
        """``decay · n_ij + n'_ij``: these counts, aged, and those of what was met since.

        What ``keep`` cut off either side is forgotten, so that counts of rare pairs are lower
        bounds; keep some times as many neighbours as the graph will have. Items beyond the end of
        one side have no neighbours there.

        Args:
            later: of V or more items.
            decay: γ in [0, 1]; 0 forgets, 1 adds.
            keep: of each item at most so many; None: all.

        Raises:
            ValueError: γ out of range, or fewer items than before.
        """
        if not 0 <= decay <= 1:
            raise ValueError(f"NeighbourCounts.then: decay must lie within [0, 1], got {decay}")
        if len(later) < len(self):
            raise ValueError(
                f"NeighbourCounts.then: later must have {len(self)} items or more, got {len(later)}"
            )
        size = len(later)
        keys = np.concatenate(
            [self.items * size + self.neighbours, later.items * size + later.neighbours]
        )
        weights = np.concatenate([decay * self.counts, later.counts])
        found, places = np.unique(keys, return_inverse=True)
        counts = np.bincount(places, weights=weights, minlength=len(found)).astype(np.float64)
        met = counts > 0
        return _ranked(found[met] // size, found[met] % size, counts[met], size, keep)


def cooccurrence_counts(
    histories: Histories,
    num_items: int,
    *,
    window: int = 1,
    per_user_cap: int | None = 1,
    keep: int | None = None,
    max_pairs: int = 1 << 22,
) -> NeighbourCounts:
    """How often different items i and j stand at most ``window`` events apart in a history.

    ``n_ij = n_ji = Σ_u min(cap, times in u's history)``: with a cap no user, however long the
    history, dominates. Events of items that are not known (< 0) keep their place in the order but
    have no neighbours. The same bits on every machine: there is nothing but integers to add.

    Source: the interest graph of Res-embedding (arXiv 1906.10304) is built of items met near each
    other (its abstract: "item-based interest graph"). Window, cap and order of ties are the
    project's own, for the paper's text was not at hand.

    Args:
        histories: each user's events of the training part, once, oldest first; or what else should
            tell of likeness.
        num_items: V; items are in [0, V).
        window: k ≥ 1; 1: neighbours in time alone.
        per_user_cap: how often at most one user counts for a pair; None: as often as it was met.
        keep: of each item the most frequent ones; None: all.
        max_pairs: bounds memory, to about 100 bytes a pair: items are gone through in shards that
            have at most so many pairs (one item at least). It changes no result.

    Complexity:
        Of E events there are P = 2 E k pairs at most, which take O(P log P) and ⌈P / max_pairs⌉
        passes over the events. 10 M events of 200,000 users, a million items of Zipf's law and keep
        = 20 take 3 s and 440 MB beside the events for k = 1, 9 s and 520 MB for k = 3 (one thread,
        a shared cloud machine).

    Raises:
        ValueError: an argument out of its range.
    """
    if window < 1:
        raise ValueError(f"cooccurrence_counts: window must be 1 or more, got {window}")
    for name, limit in (("per_user_cap", per_user_cap), ("keep", keep), ("max_pairs", max_pairs)):
        if limit is not None and limit < 1:
            raise ValueError(f"cooccurrence_counts: {name} must be 1 or more, got {limit}")
    if not 0 < num_items < 1 << 31:
        raise ValueError(f"cooccurrence_counts: num_items must be in [1, 2^31), got {num_items}")
    if histories.items.max(initial=-1) >= num_items:
        raise ValueError(
            f"cooccurrence_counts: histories hold item {histories.items.max()}, "
            f"not in [0, {num_items})"
        )
    shards = [
        _shard(histories, num_items, first, last, window, per_user_cap, keep)
        for first, last in _shards(histories, num_items, window, max_pairs)
    ]
    lengths = np.concatenate([np.diff(shard.offsets) for shard in shards])
    return NeighbourCounts(
        _offsets(lengths),
        np.concatenate([shard.neighbours for shard in shards]),
        np.concatenate([shard.counts for shard in shards]),
    )


def _shards(
    histories: Histories, num_items: int, window: int, max_pairs: int
) -> Iterator[tuple[int, int]]:
    """Ranges of items; one that is met n times has at most 2 k n pairs."""
    met = np.bincount(histories.items[histories.items >= 0], minlength=num_items)
    after = np.cumsum(2 * window * met)
    first = 0
    while first < num_items:
        before = after[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(after, before + max_pairs, side="right")))
        yield first, last
        first = last


def _shard(
    histories: Histories,
    num_items: int,
    first: int,
    last: int,
    window: int,
    per_user_cap: int | None,
    keep: int | None,
) -> NeighbourCounts:
    """The neighbours of items ``[first, last)``, counted from 0."""
    keys, counts = [], []
    for user, item, other in _pairs(histories, num_items * (last - first), first, last, window):
        pair = (item - first) * num_items + other
        if per_user_cap is not None:
            pair, times = _capped(user, pair, num_items * (last - first), per_user_cap)
            counts.append(times)
        keys.append(pair)
    pairs = np.concatenate([np.zeros(0, dtype=np.int64), *keys])
    keys.clear()
    if per_user_cap in (None, 1):
        pairs.sort()
        found, total = _runs(pairs)
    else:
        found, places = np.unique(pairs, return_inverse=True)
        total = np.bincount(places, weights=np.concatenate([[], *counts]), minlength=len(found))
    counts_of = total.astype(np.float64)
    return _ranked(found // num_items, found % num_items, counts_of, last - first, keep)


def _pairs(
    histories: Histories, cells: int, first: int, last: int, window: int
) -> Iterator[tuple[Int64Array, Int64Array, Int64Array]]:
    """Users, their items of the shard, and those met near them, some users at a time: a user is
    counted from 0, and so few that user and pair, one of ``cells``, are one number.
    """
    most = max(1, _NUMBERS // cells)
    begin = 0
    while begin < len(histories):
        reach = histories.offsets[begin] + _EVENTS
        end = int(np.searchsorted(histories.offsets, reach, side="right")) - 1
        end = min(max(end, begin + 1), begin + most)
        offsets = histories.offsets[begin : end + 1]
        items = histories.items[offsets[0] : offsets[-1]]
        user = np.repeat(np.arange(end - begin), np.diff(offsets))
        known, mine = items >= 0, (items >= first) & (items < last)
        found: list[tuple[Int64Array, Int64Array, Int64Array]] = []
        for distance in range(1, window + 1):
            left, right = slice(None, -distance), slice(distance, None)
            near = (user[left] == user[right]) & (items[left] != items[right])
            for item, other in ((left, right), (right, left)):
                pairs = np.flatnonzero(near & mine[item] & known[other])
                found.append((user[item][pairs], items[item][pairs], items[other][pairs]))
        users, items_met, others = (np.concatenate(column) for column in zip(*found, strict=True))
        yield users, items_met, others
        begin = end


def _capped(
    user: Int64Array, pair: Int64Array, cells: int, cap: int
) -> tuple[Int64Array, Int64Array]:
    """Each user's distinct pairs, and how often each counts."""
    keys = user * cells + pair
    keys.sort()
    found, times = _runs(keys)
    return found % cells, np.minimum(times, cap)


def _runs(ordered: Int64Array) -> tuple[Int64Array, Int64Array]:
    """The distinct values of an ascending array, and how often each stands there."""
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    return ordered[starts], np.diff(starts, append=len(ordered))


def _ranked(
    item: Int64Array, other: Int64Array, counts: Float64Array, num_items: int, keep: int | None
) -> NeighbourCounts:
    """Pairs in ascending order as neighbours by rank, the first ``keep`` of each item."""
    order = np.lexsort((-counts, item))  # Stable: among equal counts the smaller id comes first.
    lengths = np.bincount(item, minlength=num_items)
    ranked = NeighbourCounts(_offsets(lengths), other[order].astype(np.int32), counts[order])
    return ranked if keep is None else ranked.top(keep)


def _offsets(lengths: Int64Array) -> Int64Array:
    return np.concatenate([[0], np.cumsum(lengths)])
