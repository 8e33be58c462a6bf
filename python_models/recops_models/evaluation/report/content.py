"""What the report page tells, as plain values: the page is a function of a :class:`Report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class DatasetFigures:
    """The data a run was made on."""

    name: str
    num_users: int
    num_items: int
    num_interactions: int


@dataclass(frozen=True)
class Difference:
    """``model − against`` in one metric over the same users, with its bootstrap interval."""

    model: str
    against: str
    metric: str
    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """+1 or −1 where the interval lies on one side of zero, else 0."""
        return (self.low > 0) - (self.high < 0)


@dataclass(frozen=True)
class ModelResult:
    """One model: test metrics by name; for each epoch ``epoch``, ``loss``, validation metrics."""

    name: str
    test: Mapping[str, float]
    history: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True)
class Level:
    """One level of the trie: an attribute or a code, and how each of its tokens is called."""

    name: str
    tokens: Sequence[str]


@dataclass(frozen=True)
class CatalogueFigures:
    """The items: ``paths [N, levels]`` through the trie, titles, and how often each was chosen.

    The first ``num_attributes`` levels are item attributes, the others the semantic ID's codes.
    """

    levels: Sequence[Level]
    num_attributes: int
    paths: npt.NDArray[np.integer]
    titles: Sequence[str]
    interactions: npt.NDArray[np.integer]


@dataclass(frozen=True)
class UserSample:
    """A user's last choices, oldest first, the one held out, and each model's list, best first."""

    user_id: str | int
    num_interactions: int
    history: Sequence[str]
    target: str
    recommended: Mapping[str, Sequence[str]]
    hits: Mapping[str, int | None]
    """For each model, where in its list the held-out item stands, from 0; None where it doesn't."""


@dataclass(frozen=True)
class Report:
    """One run. ``models`` and ``differences`` stand in the page's order, the main model first."""

    title: str
    dataset: DatasetFigures
    tested_users: int
    models: Sequence[ModelResult]
    differences: Sequence[Difference]
    catalogue: CatalogueFigures
    samples: Sequence[UserSample]
    real_items: float
    """Share of the recommended semantic IDs that belong to an item."""
    configuration: Mapping[str, str]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    """Wall time of each stage, in order."""
