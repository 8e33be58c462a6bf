"""Clicks that depend on the last visit to one interest of several, perhaps long ago, made up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recops_evidence.experiments.made_up import DrawnClicks, made_up
from recops_models.data.histories import Int64Array
from recops_models.examples.click import ClickData


@dataclass(frozen=True)
class SyntheticVisits:
    """A user visits K interests, in an order of preference drawn anew: the k-th 1/k times as often
    as the first (Zipf's law), the last one within the first tenth of the time alone. A click is
    likely where the candidate is what the user last visited in the candidate's interest.

    Half of the candidates are; the others are another item of that interest, and every interest is
    asked for as often. A history holds all items of an interest equally often: as a set it says
    nothing. A memory of one slot, or a state that forgets, knows the interests of late alone.

    Source: ours, for MIMN (arXiv 1905.09248), whose claim is about interests kept apart over long
    histories. The best AUC there is comes to ``sure``.

    Attributes:
        events: T, at least; a few more where counts are rounded up.
        interests: K.
        items: M of each.
        examples: of training; validation and test have half as many each.
        sure: the chance of a click on the last visited item, and of none on another.
    """

    events: int
    interests: int = 4
    items: int = 2
    examples: int = 8000
    sure: float = 0.9

    @property
    def visits(self) -> Int64Array:
        """``[K]``: to each interest, by preference; multiples of M."""
        share = 1 / np.arange(1, self.interests + 1)
        rounds = np.ceil(self.events * share / share.sum() / self.items)
        counts: Int64Array = self.items * rounds.astype(np.int64)
        return counts

    def draw(self, seed: int) -> ClickData:
        """Other histories, and candidates."""
        rng = np.random.default_rng(seed)
        return made_up(
            "visits",
            items=self.interests * self.items,
            events=int(self.visits.sum()),
            examples=self.examples,
            draw=lambda size, part: self._clicks(rng, size),
        )

    def _clicks(self, rng: np.random.Generator, size: int) -> DrawnClicks:
        each: Int64Array = np.arange(size)
        preference = np.repeat(np.arange(self.interests), self.visits)
        number = len(preference)
        time = rng.random((size, number))
        time[:, preference == self.interests - 1] /= 10
        order = time.argsort(1)
        by_preference = rng.permuted(np.tile(np.arange(self.interests), (size, 1)), axis=1)
        interest = by_preference[each[:, None], preference[order]]
        history = interest * self.items + order % self.items
        asked = rng.integers(self.interests, size=size)
        mine = interest == asked[:, None]
        last = history[each, number - 1 - mine[:, ::-1].argmax(1)]
        is_last = rng.random(size) < 0.5
        shift = np.where(is_last, 0, rng.integers(1, self.items, size=size))
        item = asked * self.items + (last + shift) % self.items
        label = is_last == (rng.random(size) < self.sure)
        return DrawnClicks(history, item, label)
