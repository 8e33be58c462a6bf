"""Synthetic clicks that depend on the last visit to one of several interests, maybe long ago."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recops_evidence.experiments.drawn_clicks import DrawnClicks, drawn_clicks
from recops_models.data.histories import Int64Array
from recops_models.examples.click import ClickData


@dataclass(frozen=True)
class SyntheticVisits:
    """Users who visit K interests with different frequencies.

    A user's order of preference is random: the k-th interest gets 1/k of the visits of the first
    one (Zipf's law), and the last interest is visited only in the first tenth of the time. A click
    is likely if the candidate is the item last visited in its interest, as half of the candidates
    are. The others are another item of that interest. All interests are equally frequent among
    candidates. A history has all items of an interest equally often, so its set carries no signal.
    A memory with one slot, or a state that forgets, knows only recent interests.

    Source: ours, for MIMN (arXiv 1905.09248), which claims to separate interests over long
    histories. The best possible AUC is ``sure``.

    Attributes:
        events: minimum of T; counts are rounded up.
        interests: K.
        items: M items per interest.
        examples: training examples; validation and test have half the number each.
        sure: click probability on the last visited item; 1 − ``sure`` on other items.
    """

    events: int
    interests: int = 4
    items: int = 2
    examples: int = 8000
    sure: float = 0.9

    @property
    def visits(self) -> Int64Array:
        """Number of visits ``[K]`` per interest, by preference; multiples of M."""
        share = 1 / np.arange(1, self.interests + 1)
        rounds = np.ceil(self.events * share / share.sum() / self.items)
        counts: Int64Array = self.items * rounds.astype(np.int64)
        return counts

    def draw(self, seed: int) -> ClickData:
        """Draw histories and candidates."""
        rng = np.random.default_rng(seed)
        return drawn_clicks(
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
        visited = rng.integers(self.interests, size=size)
        is_visited = interest == visited[:, None]
        last = history[each, number - 1 - is_visited[:, ::-1].argmax(1)]
        is_last = rng.random(size) < 0.5
        shift = np.where(is_last, 0, rng.integers(1, self.items, size=size))
        item = visited * self.items + (last + shift) % self.items
        label = is_last == (rng.random(size) < self.sure)
        return DrawnClicks(history, item, label)
