"""Items to tokenize, with known and held-out pairs of items that occur close in a history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]
"""Array ``[E, 2]`` of item rows."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out pairs, divided into those that are not known and those that are.

    Attributes:
        unseen: pairs that are not among the known pairs, in either order.
        seen: pairs that are also known; a lookup of known pairs finds them.
    """

    unseen: Pairs
    seen: Pairs

    @classmethod
    def of(cls, pairs: Pairs, known: Pairs, items: int) -> HeldOut:
        """Divide ``pairs``; pairs of an item with itself are dropped."""
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        is_known = np.isin(_number(pairs, items), _number(known, items))
        return cls(pairs[~is_known], pairs[is_known])

    def first(self, number: int) -> HeldOut:
        """Return the pairs among the first ``number`` items."""
        return HeldOut(_pairs_below(self.unseen, number), _pairs_below(self.seen, number))


@dataclass(frozen=True, eq=False)
class Items:
    """Items to tokenize.

    Attributes:
        vectors: ``[N, D]`` f32.
        ids: ``[N]`` i64.
        known: pairs of items that occur close in a history, for training.
        validation: pairs that may select settings.
        test: pairs that compare methods.
    """

    vectors: NDArray[np.float32]
    ids: NDArray[np.int64]
    known: Pairs
    validation: HeldOut
    test: HeldOut

    def first(self, number: int) -> Items:
        """Return the first ``number`` items and the pairs among them."""
        return Items(
            self.vectors[:number],
            self.ids[:number],
            _pairs_below(self.known, number),
            self.validation.first(number),
            self.test.first(number),
        )


def _pairs_below(pairs: Pairs, number: int) -> Pairs:
    return np.asarray(pairs[(pairs < number).all(axis=1)])


def _number(pairs: Pairs, items: int) -> NDArray[np.int64]:
    """Return one number per pair, independent of the order."""
    return np.asarray(pairs.min(axis=1) * items + pairs.max(axis=1))
