"""Synthetic clicks of users whose interest lasts for several events before the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recops_evidence.experiments.drawn_clicks import DrawnClicks, drawn_clicks
from recops_models.data.histories import Histories, Int64Array
from recops_models.examples.click import ClickData
from recops_models.examples.loader import Source


class DelayedItems(NamedTuple):
    """Items without training events.

    Attributes:
        number: number of new items; their rows follow those of the table.
        histories: histories of rows that contain new items.
        shown: examples with new items as candidates.
    """

    number: int
    histories: Histories
    shown: Source


@dataclass(frozen=True)
class SyntheticDelays:
    """Interest-delay model: events come from the user's current domain, which changes rarely.

    A user has several domains of interest. An event is a random item of the current domain, which
    lasts ``dwell`` events on average before one of the user's domains is drawn again.
    ``logit = scale · (d − ½) + q_i``: d is 1 if the candidate's domain is in the history (half of
    the candidates), else 0, and q_i is a normal number per item. A model must learn from clicks and
    the order of events which items share a domain.

    Source: Res-embedding (arXiv 1906.10304). Its abstract names the model and the theorem that a
    smaller radius of the vectors of one domain generalises better. The law is ours.

    Attributes:
        domains: K.
        items: known items per domain.
        events: T.
        dwell: τ ≥ 1.
        interests: domains per user.
        scale: strength of the domain's effect.
        quality: deviation of q_i.
        examples: training examples, one user each; validation and test have half the number.
        new: additional items per domain that training never shows.
        meetings: mean number of histories that contain a new item.
    """

    domains: int = 20
    items: int = 100
    events: int = 12
    dwell: float = 4.0
    interests: int = 3
    scale: float = 4.0
    quality: float = 1.0
    examples: int = 20_000
    new: int = 20
    meetings: int = 5

    def draw(self, seed: int) -> ClickData:
        """Draw qualities, histories and candidates."""
        rng = np.random.default_rng(seed)
        quality = self._quality(rng)
        return drawn_clicks(
            "delays",
            items=self.domains * self.items,
            events=self.events,
            examples=self.examples,
            draw=lambda size, part: self._clicks(rng, quality, size),
        )

    def draw_new(self, seed: int) -> DelayedItems:
        """Draw the new items that belong to :meth:`draw` of the same seed."""
        quality = self._quality(np.random.default_rng(seed))
        rng = np.random.default_rng((seed, 1))
        number = self.domains * self.new
        histories, current = self._histories(rng, number * self.meetings)
        each, step = np.arange(len(histories)), rng.integers(self.events, size=len(histories))
        histories[each, step] = self._new_of(rng, current[each, step])
        offsets = np.arange(len(histories) + 1) * self.events
        flat = histories.ravel() + 2
        shown = self._clicks(rng, quality, self.examples // 2, new=True).source()
        return DelayedItems(number, Histories(offsets, flat, np.arange(len(flat))), shown)

    def domain(self) -> Int64Array:
        """Return ``[V]``, the domain of each known item; item i has row 2 + i of the table."""
        return np.arange(self.domains * self.items) // self.items

    def _quality(self, rng: np.random.Generator) -> NDArray[np.float64]:
        return rng.normal(scale=self.quality, size=self.domains * (self.items + self.new))

    def _new_of(self, rng: np.random.Generator, domain: Int64Array) -> Int64Array:
        drawn = rng.integers(self.new, size=domain.shape)
        return np.asarray(self.domains * self.items + domain * self.new + drawn, dtype=np.int64)

    def _known_of(self, rng: np.random.Generator, domain: Int64Array) -> Int64Array:
        return np.asarray(domain * self.items + rng.integers(self.items, size=domain.shape))

    def _histories(self, rng: np.random.Generator, size: int) -> tuple[Int64Array, Int64Array]:
        """Return known items ``[size, T]`` and their domains."""
        mine = rng.random((size, self.domains)).argsort(axis=1)[:, : self.interests]
        begins = rng.random((size, self.events)) < 1 / self.dwell
        begins[:, 0] = True
        starts = np.maximum.accumulate(np.where(begins, np.arange(self.events), 0), axis=1)
        drawn = rng.integers(self.interests, size=(size, self.events))
        domain = np.take_along_axis(mine, np.take_along_axis(drawn, starts, 1), 1)
        return self._known_of(rng, domain), domain

    def _clicks(
        self,
        rng: np.random.Generator,
        quality: NDArray[np.float64],
        size: int,
        *,
        new: bool = False,
    ) -> DrawnClicks:
        history, domain = self._histories(rng, size)
        each: Int64Array = np.arange(size)
        is_past = np.zeros((size, self.domains), dtype=np.bool_)
        is_past[each[:, None], domain] = True
        is_met = rng.random(size) < 0.5
        # A random domain inside the history, or outside it.
        chosen = np.where(is_past == is_met[:, None], rng.random(is_past.shape), -1).argmax(axis=1)
        item = self._new_of(rng, chosen) if new else self._known_of(rng, chosen)
        logit = self.scale * (is_met - 0.5) + quality[item]
        label = rng.random(size) < 1 / (1 + np.exp(-logit))
        return DrawnClicks(history, item, label)
