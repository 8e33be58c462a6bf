"""Synthetic clicks that depend on the order of a few events long ago."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recops_evidence.experiments.drawn_clicks import DrawnClicks, drawn_clicks
from recops_models.data.histories import Int64Array
from recops_models.examples.click import ClickData


@dataclass(frozen=True)
class SyntheticLags:
    """Informative events, each once and adjacent in random order, followed by noise.

    A click is likely if the candidate is the last informative event, as half of the candidates are.
    The others are another informative item. The set of events carries no signal, and neither does
    a memory that reaches back fewer than ``lag`` events.

    Source: ours, for HPMN (arXiv 1905.00758), which claims to find patterns on several time scales.
    The best possible AUC is ``sure``.

    Attributes:
        lag: minimum distance of the last informative event; it is drawn per user up to a quarter
            more. 1 is the last event.
        telling: S, number of informative items.
        noise: number of noise items.
        examples: training examples; validation and test have half the number each.
        sure: click probability on the last informative event; 1 − ``sure`` on other items.
    """

    lag: int
    telling: int = 2
    noise: int = 16
    examples: int = 12_000
    sure: float = 0.9

    @property
    def events(self) -> int:
        """T, the length of every history."""
        return self.lag + self.lag // 4 + self.telling

    def draw(self, seed: int) -> ClickData:
        """Draw histories and candidates."""
        rng = np.random.default_rng(seed)
        return drawn_clicks(
            "lags",
            items=self.telling + self.noise,
            events=self.events,
            examples=self.examples,
            draw=lambda size, part: self._clicks(rng, size),
        )

    def _clicks(self, rng: np.random.Generator, size: int) -> DrawnClicks:
        each: Int64Array = np.arange(size)
        history = self.telling + rng.integers(self.noise, size=(size, self.events))
        order = rng.permuted(np.tile(np.arange(self.telling), (size, 1)), axis=1)
        lag = self.lag + rng.integers(self.lag // 4 + 1, size=size)
        steps = (self.events - lag)[:, None] + np.arange(1 - self.telling, 1)
        history[each[:, None], steps] = order
        is_last = rng.random(size) < 0.5
        shift = np.where(is_last, 0, rng.integers(1, self.telling, size=size))
        item = (order[:, -1] + shift) % self.telling
        label = is_last == (rng.random(size) < self.sure)
        return DrawnClicks(history, item, label)
