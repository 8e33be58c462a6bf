"""Co-occurrence counts of items in histories, from which item graphs are built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Histories, Int64Array

Int32Array = NDArray[np.int32]
Float64Array = NDArray[np.float64]

_EVENTS = 1 << 20
"""Events per block whose pairs are counted together."""

_NUMBERS = 1 << 63


@dataclass(frozen=True, eq=False)
class NeighbourCounts:
    """Neighbours of each of V items, in order of falling count; ties go to the smaller id.

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
        """The item ``[E]`` i64 that each neighbour belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def top(self, number: int) -> NeighbourCounts:
        """Return the ``number`` most frequent neighbours of each item.

        Raises:
            ValueError: ``number`` < 1.
        """
        if number < 1:
            raise ValueError(f"NeighbourCounts.top: number must be 1 or more, got {number}")
        rank = np.arange(len(self.neighbours)) - self.offsets[self.items]
        is_top = rank < number
        lengths = np.minimum(np.diff(self.offsets), number)
        return NeighbourCounts(_offsets(lengths), self.neighbours[is_top], self.counts[is_top])

    def then(self, later: NeighbourCounts, *, decay: float, keep: int | None) -> NeighbourCounts:
        """Return ``decay · n_ij + n'_ij``: these counts, decayed, plus later ones.

        Pairs that ``keep`` cut off before are lost, so counts of rare pairs are lower bounds.
        ``keep`` should be several times the number of neighbours in the graph. If one side has
        fewer items, its missing items have no neighbours there.

        Args:
            later: counts of V or more items.
            decay: γ in [0, 1]; 0 discards the earlier counts, 1 adds both.
            keep: largest number of neighbours per item; None: all.

        Raises:
            ValueError: γ is out of range, or ``later`` has fewer items.
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
        pairs, index = np.unique(keys, return_inverse=True)
        counts = np.bincount(index, weights=weights, minlength=len(pairs)).astype(np.float64)
        is_positive = counts > 0
        return _ranked(
            pairs[is_positive] // size, pairs[is_positive] % size, counts[is_positive], size, keep
        )


def cooccurrence_counts(
    histories: Histories,
    num_items: int,
    *,
    window: int = 1,
    per_user_cap: int | None = 1,
    keep: int | None = None,
    max_pairs: int = 1 << 22,
) -> NeighbourCounts:
    """Count how often different items i and j are at most ``window`` events apart in a history.

    ``n_ij = n_ji = Σ_u min(cap, occurrences in u's history)``. With a cap, no user dominates,
    however long the history. Unknown items (< 0) keep their position in the order but have no
    neighbours. Results have the same bits on every machine, since only integers are added.

    Source: the interest graph of Res-embedding (arXiv 1906.10304) connects co-occurring items (its
    abstract: "item-based interest graph"). Window, cap and tie order are the project's own, since
    the paper's full text was not available.

    Args:
        histories: each user's events of the training part, oldest first; or other sequences of
            related items.
        num_items: V; items are in [0, V).
        window: k ≥ 1; 1: adjacent events only.
        per_user_cap: largest count of a pair per user; None: unlimited.
        keep: largest number of neighbours per item; None: all.
        max_pairs: bounds memory to about 100 bytes per pair. Items are processed in shards of at
            most this number of pairs, and at least one item. It does not change the result.

    Complexity:
        E events have P ≤ 2 E k pairs, which take O(P log P) time and ⌈P / max_pairs⌉ passes over
            the events.

    Raises:
        ValueError: an argument is out of range.
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
    """Yield ranges of items; an item with n events has at most 2 k n pairs."""
    events = np.bincount(histories.items[histories.items >= 0], minlength=num_items)
    last_pair = np.cumsum(2 * window * events)
    first = 0
    while first < num_items:
        pairs_before = last_pair[first - 1] if first else 0
        last = max(
            first + 1, int(np.searchsorted(last_pair, pairs_before + max_pairs, side="right"))
        )
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
    """Return the neighbours of items ``[first, last)``, renumbered from 0."""
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
        distinct, total = _runs(pairs)
    else:
        distinct, index = np.unique(pairs, return_inverse=True)
        total = np.bincount(index, weights=np.concatenate([[], *counts]), minlength=len(distinct))
    counts_of = total.astype(np.float64)
    return _ranked(distinct // num_items, distinct % num_items, counts_of, last - first, keep)


def _pairs(
    histories: Histories, cells: int, first: int, last: int, window: int
) -> Iterator[tuple[Int64Array, Int64Array, Int64Array]]:
    """Yield users, their items in the shard, and the neighbours of these, for blocks of users.

    Users are numbered from 0 in each block. A block is small enough that (user, pair), with
    ``cells`` pairs, fits into 63 bits.
    """
    max_users = max(1, _NUMBERS // cells)
    start = 0
    while start < len(histories):
        reach = histories.offsets[start] + _EVENTS
        end = int(np.searchsorted(histories.offsets, reach, side="right")) - 1
        end = min(max(end, start + 1), start + max_users)
        offsets = histories.offsets[start : end + 1]
        items = histories.items[offsets[0] : offsets[-1]]
        user = np.repeat(np.arange(end - start), np.diff(offsets))
        known, in_shard = items >= 0, (items >= first) & (items < last)
        blocks: list[tuple[Int64Array, Int64Array, Int64Array]] = []
        for distance in range(1, window + 1):
            earlier, later = slice(None, -distance), slice(distance, None)
            near = (user[earlier] == user[later]) & (items[earlier] != items[later])
            for item, other in ((earlier, later), (later, earlier)):
                pairs = np.flatnonzero(near & in_shard[item] & known[other])
                blocks.append((user[item][pairs], items[item][pairs], items[other][pairs]))
        users, seen_items, others = (np.concatenate(column) for column in zip(*blocks, strict=True))
        yield users, seen_items, others
        start = end


def _capped(
    user: Int64Array, pair: Int64Array, cells: int, cap: int
) -> tuple[Int64Array, Int64Array]:
    """Return each user's distinct pairs, and their capped counts."""
    keys = user * cells + pair
    keys.sort()
    distinct, times = _runs(keys)
    return distinct % cells, np.minimum(times, cap)


def _runs(ordered: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the distinct values of an ascending array, and their counts."""
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    return ordered[starts], np.diff(starts, append=len(ordered))


def _ranked(
    item: Int64Array, other: Int64Array, counts: Float64Array, num_items: int, keep: int | None
) -> NeighbourCounts:
    """Return sorted pairs as neighbours by rank, at most ``keep`` per item."""
    order = np.lexsort((-counts, item))  # Stable: among equal counts the smaller id comes first.
    lengths = np.bincount(item, minlength=num_items)
    ranked = NeighbourCounts(_offsets(lengths), other[order].astype(np.int32), counts[order])
    return ranked if keep is None else ranked.top(keep)


def _offsets(lengths: Int64Array) -> Int64Array:
    return np.concatenate([[0], np.cumsum(lengths)])
