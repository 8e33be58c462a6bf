"""Synthetic clicks that depend only on the order of events within an interest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recops_evidence.experiments.drawn_clicks import DrawnClicks, drawn_clicks
from recops_models.data.histories import Int64Array
from recops_models.examples.click import ClickData


@dataclass(frozen=True)
class SyntheticInterests:
    """Interleaved interests: a history has every item of every interest once, in random order.

    A click is likely if the candidate is the last event of its interest, as half of the candidates
    are. The others are another item of the interest. The set of events and the last event carry no
    signal: a model must read one interest in order, among others.

    Source: ours, for DIEN (arXiv 1809.03672), which claims to follow interests that evolve in
    parallel. The best possible AUC is ``sure``.

    Attributes:
        interests: K.
        items: M items per interest; histories have K · M events.
        examples: training examples; validation and test have half the number each.
        sure: click probability on the last event of an interest; 1 − ``sure`` on other items.
    """

    interests: int = 4
    items: int = 3
    examples: int = 20_000
    sure: float = 0.9

    def draw(self, seed: int) -> ClickData:
        """Draw histories and candidates."""
        rng = np.random.default_rng(seed)
        number = self.interests * self.items
        return drawn_clicks(
            "interests",
            items=number,
            events=number,
            examples=self.examples,
            draw=lambda size, part: self._clicks(rng, size),
        )

    def _clicks(self, rng: np.random.Generator, size: int) -> DrawnClicks:
        number = self.interests * self.items
        each: Int64Array = np.arange(size)
        history = rng.permuted(np.tile(np.arange(number), (size, 1)), axis=1)
        interest = rng.integers(self.interests, size=size)
        mine = history // self.items == interest[:, None]
        last = history[each, number - 1 - mine[:, ::-1].argmax(1)]
        is_last = rng.random(size) < 0.5
        other = interest * self.items + (last + rng.integers(1, self.items, size=size)) % self.items
        item = np.where(is_last, last, other)
        label = is_last == (rng.random(size) < self.sure)
        return DrawnClicks(history, item, label)
