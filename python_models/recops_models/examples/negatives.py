"""Sampled negatives: items that a user has not met.

A draw is exact, not a rejection that may never end: the items that a user may get, laid end to end
by their masses, are an interval, and a number drawn from it is mapped past the items that the user
has met. All masses are integers, so nothing is lost to rounding.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.vocabulary import distinct

Law = Literal["uniform", "popularity"]


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
    """For each user ``u``, ``counts[u]`` items that are in neither ``positives`` nor ``exclude``.

    Draws are independent and with replacement. With P the user's positives and exclusions,
    ``P(item) = w(item) / Σ_{j ∉ P} w(j)`` for every item outside P; w is 1 under ``"uniform"`` and
    ``(occurrences among all positives) ** power`` under ``"popularity"``, so that an item nobody
    met is never drawn there (Mikolov et al. 2013, §2.2, has power 3/4).

    Under ``"popularity"`` shares are rounded to multiples of 2^-52 (of 2^-34 for 2^26 users), and
    an item that was met has one such multiple at least.

    Args:
        positives: histories of U users, items in ``[0, num_items)``; −1 is no item and skipped.
        num_items: the catalogue's size.
        counts: ``[U]`` i64, how many to draw for each user.
        law: how items are weighted.
        power: the exponent of ``"popularity"``, finite and ≥ 0.
        seed: the same seed, the same items.
        exclude: histories of the same U users, not drawn either, such as what is held out.

    Returns:
        ``[Σ counts]`` i64, those of user 0 first.

    Complexity:
        O(E log E + S (log E + log num_items)) for E events and S draws.

    Raises:
        DataError: a user who is to get an item has none left.
        ValueError: a size, item, count or power out of its range.
    """
    _require(law in get_args(Law), f"law must be 'uniform' or 'popularity', got {law!r}")
    _require(num_items > 0, f"num_items must be positive, got {num_items}")
    counts = np.asarray(counts, dtype=np.int64)
    _require(
        counts.shape == (len(positives),),
        f"counts must be [{len(positives)}], one a user, got {list(counts.shape)}",
    )
    _require(not (counts < 0).any(), "counts must not be negative")
    _require(np.isfinite(power) and power >= 0, f"power must be finite and ≥ 0, got {power}")
    for name, histories in (("positives", positives), ("exclude", exclude)):
        if histories is not None:
            _require(
                len(histories) == len(positives),
                f"{name} has {len(histories)} users, not {len(positives)}",
            )
            _require(
                histories.items.max(initial=-1) < num_items,
                f"{name} holds item {histories.items.max(initial=-1)}, not in [0, {num_items})",
            )

    if law == "uniform":
        mass = np.ones(num_items, dtype=np.int64)
    else:
        mass = _popularity(positives, num_items, power)
    after = np.cumsum(mass)
    span = int(after[-1]) + 1

    met, start = _met(positives, exclude, num_items)
    owner, item = met // num_items, met % num_items
    skipped = np.concatenate([[0], np.cumsum(mass[item])])  # Mass of the met items before each.
    free = after[-1] - (skipped[start[1:]] - skipped[start[:-1]])  # [U]
    poor = np.flatnonzero((counts > 0) & (free == 0))
    if len(poor):
        raise DataError(
            f"sample_negatives: no item is left for {len(poor):,} users, such as user {poor[0]}: "
            f"every item {'' if law == 'uniform' else 'that anyone met '}is a positive or excluded"
        )

    # Within its user, a met item is passed by draws of at least the free mass before it.
    free_before = after[item] - mass[item] - (skipped[:-1] - skipped[start[owner]])
    user = np.repeat(np.arange(len(counts)), counts)
    draw = np.random.default_rng(seed).integers(0, free[user])
    passed = np.searchsorted(owner * span + free_before, user * span + draw, side="right")
    place = draw + skipped[passed] - skipped[start[user]]
    drawn: Int64Array = place if law == "uniform" else np.searchsorted(after, place, side="right")
    return drawn


def _popularity(positives: Histories, num_items: int, power: float) -> Int64Array:
    """Integer masses whose sum leaves room for every user in 63 bits."""
    occurrences = np.bincount(positives.items[positives.items >= 0], minlength=num_items)
    weight = np.where(occurrences > 0, np.power(np.maximum(occurrences, 1.0), power), 0.0)
    bits = min(52, 61 - len(positives).bit_length())
    mass = np.rint(weight * (2.0**bits / max(weight.sum(), 1.0)))
    return np.where(occurrences > 0, np.maximum(mass, 1.0), 0.0).astype(np.int64)


def _met(
    positives: Histories, exclude: Histories | None, num_items: int
) -> tuple[Int64Array, Int64Array]:
    """Each user's distinct met items, ascending, as ``user * num_items + item``; and offsets."""
    keys = []
    for histories in (positives, exclude):
        if histories is not None:
            user = np.repeat(np.arange(len(histories)), histories.lengths)
            keys.append((user * num_items + histories.items)[histories.items >= 0])
    met = distinct(np.concatenate(keys))
    return met, np.searchsorted(met, np.arange(len(positives) + 1) * num_items)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"sample_negatives: {what}")
