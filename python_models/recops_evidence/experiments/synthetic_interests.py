"""Clicks that depend on the order of events within an interest alone, made up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recops_evidence.experiments.made_up import DrawnClicks, made_up
from recops_models.data.histories import Int64Array
from recops_models.examples.click import ClickData


@dataclass(frozen=True)
class SyntheticInterests:
    """Chains of interest, interleaved: a history holds every item of every interest once, in an
    order drawn anew. A click is likely where the candidate is the last event of its own interest.

    Half of the candidates are; the others are another item of an interest. So the history as a set
    tells nothing, nor does its last event: a model must read one interest in order, among others.

    Source: ours, for DIEN (arXiv 1809.03672), whose claim is about interests that evolve beside
    each other. The best AUC there is comes to ``sure``.

    Attributes:
        interests: K.
        items: M of each; histories have K · M events.
        examples: of training; validation and test have half as many each.
        sure: the chance of a click on the last event of an interest, and of none on another.
    """

    interests: int = 4
    items: int = 3
    examples: int = 20_000
    sure: float = 0.9

    def draw(self, seed: int) -> ClickData:
        """Other histories, and candidates."""
        rng = np.random.default_rng(seed)
        number = self.interests * self.items
        return made_up(
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
        place = number - 1 - mine[:, ::-1].argmax(1)
        last = history[each, place]
        is_last = rng.random(size) < 0.5
        other = interest * self.items + (last + rng.integers(1, self.items, size=size)) % self.items
        item = np.where(is_last, last, other)
        label = is_last == (rng.random(size) < self.sure)
        return DrawnClicks(history, item, label)
