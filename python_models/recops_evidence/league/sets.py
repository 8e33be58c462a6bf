"""Data sets of the league, in the order of measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from recops_evidence.harness.experiment import Setting

Kind: TypeAlias = Literal["clicks", "ranking"]

METRIC: Mapping[Kind, str] = {"clicks": "gauc", "ranking": "ndcg@10"}
"""Headline metric; its validation value selects epochs and trials."""
PLAIN: Mapping[Kind, str] = {"clicks": "DIN", "ranking": "SASRec"}
"""Row that all models are compared with."""


@dataclass(frozen=True, eq=False)
class LeagueSet:
    """One table of the league: a data set and a question.

    Attributes:
        kind: ``"clicks"`` or ``"ranking"``.
        data: name of the data set.
        tuning_seeds: number of seeds of a trial that continues.
        tuning_share: share of the users on which trials run.
        settings: settings of all rows on this set.
    """

    kind: Kind
    data: str
    tuning_seeds: int = 3
    tuning_share: float = 1.0
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the set on the command line, such as ``clicks:ml-100k``."""
        return f"{self.kind}:{self.data}"

    @property
    def metric(self) -> str:
        """Headline metric."""
        return METRIC[self.kind]

    @property
    def plain(self) -> str:
        """Name of the plain rival's row."""
        return PLAIN[self.kind]


_IMPLICIT: Mapping[str, Setting] = {"feedback": "implicit"}

SETS = (
    LeagueSet("clicks", "ml-100k"),
    LeagueSet("ranking", "ml-100k"),
    # 93 % of its labels are clicks, so every event is a positive and negatives are sampled.
    LeagueSet("clicks", "toys-ctr", settings=_IMPLICIT),
    LeagueSet("clicks", "grocery", settings=_IMPLICIT),
    LeagueSet("ranking", "beauty"),
    LeagueSet("ranking", "toys"),
    LeagueSet("ranking", "yelp"),
    # Above 500,000 events, trials use a third of the users and two seeds.
    LeagueSet("clicks", "assist2017", 2, 1 / 3),
    LeagueSet("clicks", "ml-1m", 2, 1 / 3),
    LeagueSet("ranking", "office"),
    LeagueSet("ranking", "ml-1m", 2, 1 / 3),
)


def chosen_sets(names: tuple[str, ...]) -> tuple[LeagueSet, ...]:
    """Return the sets with these names, in order; a data set's name selects all of its sets.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> [each.name for each in chosen_sets(("ml-100k",))]
        ['clicks:ml-100k', 'ranking:ml-100k']
    """
    for name in names:
        if not any(name in (each.name, each.data) for each in SETS):
            known = ", ".join(each.name for each in SETS)
            raise ValueError(f"league: sets must be among {known}, got {name!r}")
    return tuple(each for each in SETS if not names or {each.name, each.data} & {*names})
