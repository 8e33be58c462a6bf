"""Sampling of negatives: items without an event of the user, or items other than a given one.

Sampling is exact and needs no rejection. The items that a user may get form an interval in which
each item has the length of its mass. A number drawn from the interval is shifted past the items to
exclude. Masses are integers, so there is no rounding error::

    items by mass     [0   |1 |2     |3 ]    user has events on item 1
    allowed interval  [0   |2     |3 ]       a draw behind item 0 is shifted by the mass of item 1
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np

from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.vocabulary import distinct

Law = Literal["uniform", "popularity"]

Sampler: TypeAlias = Callable[[Int64Array, int], Int64Array]
"""Function of the number of draws per user and a seed that returns items, sorted by user."""

_POWER = 1.0
"""Exponent of popularity: a negative is the item of a random event, as in the released code of DIEN
and CAN."""


def training_sampler(train: Histories, before: Histories, law: Law) -> Sampler:
    """Return the sampler of training negatives.

    It draws items of the training part only: an item that is never a positive would reveal its
    label. It excludes the user's training events and the context before them, because negatives in
    evaluation are never in the history either.

    Args:
        train: the training events of all users.
        before: the events of the same users that are context before the training part.
        law: distribution of the items.
    """
    known, dense = np.unique(train.items, return_inverse=True)
    positives = Histories(train.offsets, dense.astype(np.int64), train.rows)
    index = known.searchsorted(before.items).clip(max=len(known) - 1)
    index = np.where(known[index] == before.items, index, -1)
    exclude = Histories(before.offsets, index, before.rows)
    return lambda counts, seed: known[
        sample_negatives(
            positives, len(known), counts, law=law, power=_POWER, seed=seed, exclude=exclude
        )
    ]


def evaluation_sampler(train: Histories, others: Histories, num_items: int, law: Law) -> Sampler:
    """Return the sampler of evaluation negatives: items without any event of the user.

    Popularity counts training events only.

    Args:
        train: the training events of all users.
        others: all other events of the same users.
        num_items: size of the catalogue.
        law: distribution of the items.
    """
    return lambda counts, seed: sample_negatives(
        train, num_items, counts, law=law, power=_POWER, seed=seed, exclude=others
    )


def other_items(
    targets: Int64Array, counts: Int64Array, draws: int, *, law: Law, seed: int
) -> Int64Array:
    """Draw ``draws`` items for each target that differ from it, independently, with replacement.

    ``P(item) = w(item) / Σ_{j ≠ target} w(j)``, with the count of an item as weight w, or 1 with
    ``"uniform"``. Against such negatives the best score of an item is, up to a constant, the
    logarithm of its probability to be the next one over its weight.

    Args:
        targets: ``[n]`` i64, items in ``[0, N)``.
        counts: ``[N]`` i64, events of each item. With ``"uniform"``, items with 0 are drawn too.
        draws: number of items per target.
        law: distribution of the items.
        seed: seed of the draws.

    Returns:
        ``[n, draws]`` i64.

    Raises:
        DataError: a target is the only item that can be drawn.

    Complexity:
        O(N + n draws log N).
    """
    mass = np.ones_like(counts) if law == "uniform" else counts
    after = np.cumsum(mass)
    free = (after[-1] - mass[targets])[:, None]
    if (free == 0).any():
        raise DataError("other_items: no item is left to draw, because only one has events")
    draw = np.random.default_rng(seed).integers(0, free, size=(len(targets), draws))
    before = (after - mass)[targets][:, None]
    draw += np.where(draw >= before, mass[targets][:, None], 0)
    return np.searchsorted(after, draw, side="right")


def sample_negatives(
    positives: Histories,
    num_items: int,
    counts: Int64Array,
    *,
    law: Law = "uniform",
    power: float = 0.75,
    seed: int,
    exclude: Histories | None = None,
) -> Int64Array:
    """Draw ``counts[u]`` items for each user u that are in neither ``positives`` nor ``exclude``.

    Draws are independent and with replacement. With X the user's positives and exclusions,
    ``P(item) = w(item) / Σ_{j ∉ X} w(j)`` for every item outside X. The weight w is 1 with
    ``"uniform"``, and ``(occurrences in all positives) ** power`` with ``"popularity"``, so that
    items without events are never drawn (Mikolov et al. 2013, §2.2, use power 3/4).

    With ``"popularity"``, weights are rounded to multiples of 2^-52 of their sum (of 2^-34 for 2^26
    users). Every item with events has at least one such multiple.

    Args:
        positives: histories of U users, items in ``[0, num_items)``; −1 is skipped.
        num_items: size of the catalogue.
        counts: ``[U]`` i64, number of draws per user.
        law: distribution of the items.
        power: exponent of ``"popularity"``, finite and ≥ 0.
        seed: seed of the draws.
        exclude: histories of the same U users with further items to exclude, such as held-out ones.

    Returns:
        ``[Σ counts]`` i64, sorted by user.

    Complexity:
        O(E log E + S (log E + log num_items)) for E events and S draws.

    Raises:
        DataError: a user with a positive count has no item left to draw.
        ValueError: a size, item, count or power is out of range.
    """
    _require(law in get_args(Law), f"law must be 'uniform' or 'popularity', got {law!r}")
    _require(num_items > 0, f"num_items must be positive, got {num_items}")
    counts = np.asarray(counts, dtype=np.int64)
    _require(
        counts.shape == (len(positives),),
        f"counts must be [{len(positives)}], one per user, got {list(counts.shape)}",
    )
    _require(not (counts < 0).any(), "counts must not be negative")
    _require(np.isfinite(power) and power >= 0, f"power must be finite and ≥ 0, got {power}")
    for name, histories in (("positives", positives), ("exclude", exclude)):
        if histories is not None:
            _require(
                len(histories) == len(positives),
                f"{name} must have {len(positives)} users, got {len(histories)}",
            )
            _require(
                histories.items.max(initial=-1) < num_items,
                f"items of {name} must be in [0, {num_items}), "
                f"got {histories.items.max(initial=-1)}",
            )

    if law == "uniform":
        mass = np.ones(num_items, dtype=np.int64)
    else:
        mass = _popularity(positives, num_items, power)
    after = np.cumsum(mass)
    span = int(after[-1]) + 1

    pairs, start = _excluded_pairs(positives, exclude, num_items)
    owner, item = pairs // num_items, pairs % num_items
    skipped = np.concatenate([[0], np.cumsum(mass[item])])  # Mass of the excluded items before.
    free = after[-1] - (skipped[start[1:]] - skipped[start[:-1]])  # [U]
    stuck = np.flatnonzero((counts > 0) & (free == 0))
    if len(stuck):
        raise DataError(
            f"sample_negatives: no item is left for {len(stuck):,} users, such as user {stuck[0]}: "
            f"every item {'' if law == 'uniform' else 'with events '}is a positive or excluded"
        )

    # A draw is shifted past an excluded item if it is at least the allowed mass before the item.
    free_before = after[item] - mass[item] - (skipped[:-1] - skipped[start[owner]])
    user = np.repeat(np.arange(len(counts)), counts)
    draw = np.random.default_rng(seed).integers(0, free[user])
    passed = np.searchsorted(owner * span + free_before, user * span + draw, side="right")
    shifted = draw + skipped[passed] - skipped[start[user]]
    items: Int64Array = (
        shifted if law == "uniform" else np.searchsorted(after, shifted, side="right")
    )
    return items


def _popularity(positives: Histories, num_items: int, power: float) -> Int64Array:
    """Return integer masses; their sum times the number of users fits into 63 bits."""
    occurrences = np.bincount(positives.items[positives.items >= 0], minlength=num_items)
    weight = np.where(occurrences > 0, np.power(np.maximum(occurrences, 1.0), power), 0.0)
    bits = min(52, 61 - len(positives).bit_length())
    mass = np.rint(weight * (2.0**bits / max(weight.sum(), 1.0)))
    return np.where(occurrences > 0, np.maximum(mass, 1.0), 0.0).astype(np.int64)


def _excluded_pairs(
    positives: Histories, exclude: Histories | None, num_items: int
) -> tuple[Int64Array, Int64Array]:
    """Return the distinct pairs ``user * num_items + item``, ascending, and each user's offset."""
    keys = []
    for histories in (positives, exclude):
        if histories is not None:
            user = np.repeat(np.arange(len(histories)), histories.lengths)
            keys.append((user * num_items + histories.items)[histories.items >= 0])
    pairs = distinct(np.concatenate(keys))
    return pairs, np.searchsorted(pairs, np.arange(len(positives) + 1) * num_items)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(f"sample_negatives: {message}")
