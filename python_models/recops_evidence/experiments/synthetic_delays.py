"""Clicks of users whose interest lasts for some events before another takes its place, made up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recops_evidence.experiments.made_up import DrawnClicks, made_up
from recops_models.data.histories import Histories, Int64Array
from recops_models.examples.click import ClickData
from recops_models.examples.loader import Source


class NewItems(NamedTuple):
    """Items that training never met.

    Attributes:
        number: of them; their rows follow those of the table.
        met: histories in which they stand, of rows.
        shown: examples whose candidates they are.
    """

    number: int
    met: Histories
    shown: Source


@dataclass(frozen=True)
class SyntheticDelays:
    """The interest-delay model: a user has some domains of interest; an event is any item of the
    current one, which lasts ``dwell`` events on average before one of them is drawn again.

    ``logit = scale · (d − ½) + q_i``, where d is 1 if the candidate's domain is in the history, as
    half of the candidates' are, and 0 else; q_i is the item's own, of a normal law. A model must
    find out which items share a domain; nothing but clicks and the order of events tells.

    Source: the abstract of Res-embedding (arXiv 1906.10304) names the model and the theorem: a
    smaller radius of the vectors of one domain generalises better. How it is drawn is ours.

    Attributes:
        domains: K.
        items: of each domain; known to training.
        events: T.
        dwell: τ ≥ 1.
        interests: domains of one user.
        scale: of what the domain tells.
        quality: the deviation of what the item tells by itself.
        examples: of training, each with a user of its own; validation and test have half as many.
        new: items more of each domain that training never meets.
        meetings: in how many histories one of these stands before it is shown, on average.
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
        """Other qualities, histories and candidates."""
        rng = np.random.default_rng(seed)
        quality = self._quality(rng)
        return made_up(
            "delays",
            items=self.domains * self.items,
            events=self.events,
            examples=self.examples,
            draw=lambda size, part: self._clicks(rng, quality, size),
        )

    def draw_new(self, seed: int) -> NewItems:
        """The items that :meth:`draw` of the same seed left out."""
        quality = self._quality(np.random.default_rng(seed))
        rng = np.random.default_rng((seed, 1))
        number = self.domains * self.new
        histories, current = self._histories(rng, number * self.meetings)
        each, place = np.arange(len(histories)), rng.integers(self.events, size=len(histories))
        met = self._new_of(rng, current[each, place])
        histories[each, place] = met
        offsets = np.arange(len(histories) + 1) * self.events
        flat = histories.ravel() + 2
        shown = self._clicks(rng, quality, self.examples // 2, new=True).source()
        return NewItems(number, Histories(offsets, flat, np.arange(len(flat))), shown)

    def domain(self) -> Int64Array:
        """``[V]``: of each known item; it is in row 2 + i of its table."""
        return np.arange(self.domains * self.items) // self.items

    def _quality(self, rng: np.random.Generator) -> NDArray[np.float64]:
        return rng.normal(scale=self.quality, size=self.domains * (self.items + self.new))

    def _new_of(self, rng: np.random.Generator, domain: Int64Array) -> Int64Array:
        drawn = rng.integers(self.new, size=domain.shape)
        return np.asarray(self.domains * self.items + domain * self.new + drawn, dtype=np.int64)

    def _known_of(self, rng: np.random.Generator, domain: Int64Array) -> Int64Array:
        return np.asarray(domain * self.items + rng.integers(self.items, size=domain.shape))

    def _histories(self, rng: np.random.Generator, size: int) -> tuple[Int64Array, Int64Array]:
        """Known items ``[size, T]``, and their domains."""
        mine = rng.random((size, self.domains)).argsort(axis=1)[:, : self.interests]
        begins = rng.random((size, self.events)) < 1 / self.dwell
        begins[:, 0] = True
        since = np.maximum.accumulate(np.where(begins, np.arange(self.events), 0), axis=1)
        drawn = rng.integers(self.interests, size=(size, self.events))
        domain = np.take_along_axis(mine, np.take_along_axis(drawn, since, 1), 1)
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
        inside = np.zeros((size, self.domains), dtype=np.bool_)
        inside[each[:, None], domain] = True
        is_met = rng.random(size) < 0.5
        # Of the domains that are met, or of the others, any.
        chosen = np.where(inside == is_met[:, None], rng.random(inside.shape), -1).argmax(axis=1)
        item = self._new_of(rng, chosen) if new else self._known_of(rng, chosen)
        logit = self.scale * (is_met - 0.5) + quality[item]
        label = rng.random(size) < 1 / (1 + np.exp(-logit))
        return DrawnClicks(history, item, label)
