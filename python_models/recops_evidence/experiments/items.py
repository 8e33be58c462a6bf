"""Items to tokenize, and who was met with whom: known pairs, and held-out ones beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]
"""``[E, 2]`` rows of items."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Pairs that no tokenizer is given, by whether they stand among those that it may be given.

    Attributes:
        unseen: are not among the known ones, in either order.
        seen: are: whoever remembers known pairs finds them.
    """

    unseen: Pairs
    seen: Pairs

    @classmethod
    def of(cls, asked: Pairs, known: Pairs, items: int) -> HeldOut:
        """``asked`` in two parts; pairs of an item with itself are left out."""
        asked = asked[asked[:, 0] != asked[:, 1]]
        met = np.isin(_number(asked, items), _number(known, items))
        return cls(asked[~met], asked[met])

    def first(self, number: int) -> HeldOut:
        """The pairs among the first items."""
        return HeldOut(_among(self.unseen, number), _among(self.seen, number))


@dataclass(frozen=True, eq=False)
class Items:
    """Items to tokenize.

    Attributes:
        vectors: ``[N, D]`` f32.
        ids: ``[N]`` i64.
        known: pairs of items met together, which a tokenizer may learn from.
        validation: by which settings may be chosen.
        test: by which methods are compared.
    """

    vectors: NDArray[np.float32]
    ids: NDArray[np.int64]
    known: Pairs
    validation: HeldOut
    test: HeldOut

    def first(self, number: int) -> Items:
        """The first items alone, and the pairs among them."""
        return Items(
            self.vectors[:number],
            self.ids[:number],
            _among(self.known, number),
            self.validation.first(number),
            self.test.first(number),
        )


def _among(pairs: Pairs, number: int) -> Pairs:
    return np.asarray(pairs[(pairs < number).all(axis=1)])


def _number(pairs: Pairs, items: int) -> NDArray[np.int64]:
    """One number a pair, the same in either order."""
    return np.asarray(pairs.min(axis=1) * items + pairs.max(axis=1))
