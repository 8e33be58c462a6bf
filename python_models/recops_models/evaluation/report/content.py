"""Content of the report page, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class DatasetFigures:
    """Name and size of a run's data set."""

    name: str
    num_users: int
    num_items: int
    num_interactions: int


@dataclass(frozen=True)
class Difference:
    """Difference ``model − against`` in one metric over the same users, with its interval."""

    model: str
    against: str
    metric: str
    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """+1 or −1 if the interval excludes zero, else 0."""
        return (self.low > 0) - (self.high < 0)


@dataclass(frozen=True)
class ModelResult:
    """Results of one model.

    Attributes:
        name: name of the model.
        test: test metrics by name.
        history: for each epoch ``epoch``, ``loss`` and validation metrics.
    """

    name: str
    test: Mapping[str, float]
    history: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True)
class Level:
    """One level of the trie: the name of an attribute or code, and the names of its tokens."""

    name: str
    tokens: Sequence[str]


@dataclass(frozen=True)
class CatalogueFigures:
    """The items of the catalogue.

    Attributes:
        levels: levels of the trie.
        num_attributes: number of leading levels that are item attributes; the others are codes of
            the semantic ID.
        paths: ``[N, levels]``, tokens of each item.
        titles: title of each item.
        interactions: ``[N]``, number of interactions of each item.
    """

    levels: Sequence[Level]
    num_attributes: int
    paths: npt.NDArray[np.integer]
    titles: Sequence[str]
    interactions: npt.NDArray[np.integer]


@dataclass(frozen=True)
class UserSample:
    """A test user with the recommendations of each model.

    Attributes:
        user_id: id of the user.
        num_interactions: length of the user's history.
        history: titles of the last items, oldest first.
        target: title of the held-out item.
        recommended: model → titles, best first.
        hits: model → rank of the held-out item in its list, from 0; None if absent.
    """

    user_id: str | int
    num_interactions: int
    history: Sequence[str]
    target: str
    recommended: Mapping[str, Sequence[str]]
    hits: Mapping[str, int | None]


@dataclass(frozen=True)
class Report:
    """Content of the report of one run.

    Attributes:
        title: title of the page.
        dataset: the data set.
        tested_users: number of test users.
        models: results in the order of the page, the main model first.
        differences: differences in the order of the page, of the main model first.
        catalogue: the items.
        samples: users with their recommendations.
        real_items: share of the recommended semantic IDs that belong to an item.
        configuration: settings of the run.
        versions: versions of the packages.
        seconds: wall time of each stage, in order.
    """

    title: str
    dataset: DatasetFigures
    tested_users: int
    models: Sequence[ModelResult]
    differences: Sequence[Difference]
    catalogue: CatalogueFigures
    samples: Sequence[UserSample]
    real_items: float
    configuration: Mapping[str, str]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
