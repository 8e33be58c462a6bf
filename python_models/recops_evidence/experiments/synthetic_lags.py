"""Clicks that depend on the order of a few events, long ago, made up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recops_evidence.experiments.made_up import DrawnClicks, made_up
from recops_models.data.histories import Int64Array
from recops_models.examples.click import ClickData


@dataclass(frozen=True)
class SyntheticLags:
    """Some events that tell, each once and side by side, in an order drawn anew; then nothing but
    noise. A click is likely where the candidate is the last event that tells.

    Half of the candidates are; the others are another event that tells. So the history as a set
    says nothing, and neither does a memory that does not reach back ``lag`` events.

    Source: ours, for HPMN (arXiv 1905.00758), whose claim is about patterns of several time scales.
    The best AUC there is comes to ``sure``.

    Attributes:
        lag: of the last event that tells: from this on to a quarter more, drawn anew; 1 is the
            last event.
        telling: S, the items that tell.
        noise: the items that do not.
        examples: of training; validation and test have half as many each.
        sure: the chance of a click on the last event that tells, and of none on another.
    """

    lag: int
    telling: int = 2
    noise: int = 16
    examples: int = 12_000
    sure: float = 0.9

    @property
    def events(self) -> int:
        """T: of every history."""
        return self.lag + self.lag // 4 + self.telling

    def draw(self, seed: int) -> ClickData:
        """Other histories, and candidates."""
        rng = np.random.default_rng(seed)
        return made_up(
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
        places = (self.events - lag)[:, None] + np.arange(1 - self.telling, 1)
        history[each[:, None], places] = order
        is_last = rng.random(size) < 0.5
        shift = np.where(is_last, 0, rng.integers(1, self.telling, size=size))
        item = (order[:, -1] + shift) % self.telling
        label = is_last == (rng.random(size) < self.sure)
        return DrawnClicks(history, item, label)
