"""Synthetic clicks of users with one of two tastes, which a net of few weights can represent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops_evidence.experiments.drawn_clicks import DrawnClicks, drawn_clicks
from recops_models.data.histories import Int64Array
from recops_models.examples.click import ClickData


@dataclass(frozen=True)
class SyntheticTastes:
    """Items of two sides, and users who prefer one of them.

    Half of the items are on each side, at random. A history has items of the preferred side with
    probability ``agreement``. A click is likely if the candidate is on that side. No single item
    carries signal: a model must learn the side of every item, and the product of the candidate's
    side and the sum of the history's sides.

    A table of width 1 and two hidden units represent this product. From small initial weights its
    gradient is almost zero, since neither factor helps without the other one. Training of a small
    net often stays there; a wide net has units that leave the plateau early.

    Source: ours, for Rocket (arXiv 1708.04106), which claims that a booster helps to train a light
    net. The best possible AUC is about ``sure``.

    Attributes:
        items: N, even.
        events: T, length of every history.
        agreement: probability that an event is on the preferred side.
        examples: training examples; validation and test have half the number each.
        sure: click probability on the preferred side; 1 − ``sure`` on the other one.
    """

    items: int = 200
    events: int = 10
    agreement: float = 0.8
    examples: int = 8000
    sure: float = 0.75

    def draw(self, seed: int) -> ClickData:
        """Draw sides, histories and candidates."""
        rng = np.random.default_rng(seed)
        side = rng.permutation(np.arange(self.items) % 2)
        return drawn_clicks(
            "tastes",
            items=self.items,
            events=self.events,
            examples=self.examples,
            draw=lambda size, part: self._clicks(rng, side, size),
        )

    def _clicks(self, rng: np.random.Generator, side: NDArray[np.int64], size: int) -> DrawnClicks:
        of_side: Int64Array = np.stack([np.flatnonzero(side == each) for each in (0, 1)])
        taste = rng.integers(2, size=size)
        agrees = rng.random((size, self.events)) < self.agreement
        event_side = np.where(agrees, taste[:, None], 1 - taste[:, None])
        history = of_side[event_side, rng.integers(self.items // 2, size=(size, self.events))]
        item = rng.integers(self.items, size=size)
        label = (side[item] == taste) == (rng.random(size) < self.sure)
        return DrawnClicks(history, item, label)
