"""Structure of ``results.json`` of the league."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from recops_evidence.league.claims import ClaimFigures
from recops_evidence.league.comparison import Mean
from recops_evidence.league.sets import Kind

METRICS: Mapping[Kind, tuple[str, ...]] = {
    "clicks": (
        "gauc",
        "auc",
        "logloss",
        "gauc_known",
        "auc_known",
        "gauc_frozen",
        "auc_frozen",
        "logloss_frozen",
    ),
    "ranking": ("ndcg@10", "hr@10", "hr@50"),
}
"""Test metrics of a table; the first one is the headline."""

NOT_STARTED = "not started"
"""Reason of a missing row without finished runs."""


class RowResult(TypedDict):
    """Figures of a row on a set.

    Attributes:
        row: name of the row.
        is_baseline: whether it is a baseline.
        is_seeded: whether the figures depend on the seed; otherwise one run counts for all seeds.
        settings: all settings of the measured runs.
        trials: number of tried combinations.
        edges: settings whose best value lies at an edge of the grid.
        timed_seconds: core-seconds of the trial that set the number of seeds.
        seeds: seeds of the measured runs.
        validation: mean of the headline metric on validation.
        per_seed: test metrics, one value per seed.
        headline: the headline metric with its intervals.
        gains: difference in the headline metric by rival: ``"baseline"``, the best baseline by
            validation, and ``"plain"``, the plain rival.
        costs: means of the costs of measured runs.
        use: when to use it.
        avoid: when to avoid it.
    """

    row: str
    is_baseline: bool
    is_seeded: bool
    settings: dict[str, str]
    trials: int
    edges: list[str]
    timed_seconds: float
    seeds: list[int]
    validation: float
    per_seed: dict[str, list[float]]
    headline: Mean
    gains: dict[str, Mean]
    costs: dict[str, float]
    use: str
    avoid: str


class VariantResult(TypedDict):
    """Figures of a variant of a row.

    Attributes:
        paper: the page that shows it.
        of: name of its row.
        row: its own name.
        text: the claim that the row is better.
        settings: all settings of the measured runs.
        trials: number of tried learning rates.
        edges: settings whose best value lies at an edge of the grid.
        seeds: seeds of the measured runs.
        per_seed: test metrics, one value per seed.
        difference: the row's headline metric minus that of the variant, under their common seeds.
    """

    paper: str
    of: str
    row: str
    text: str
    settings: dict[str, str]
    trials: int
    edges: list[str]
    seeds: list[int]
    per_seed: dict[str, list[float]]
    difference: Mean


class SetResult(TypedDict):
    """Figures of a set.

    Attributes:
        name: name of the set.
        kind: ``"clicks"`` or ``"ranking"``.
        data: name of the data set.
        digest: digest of its content.
        description: counts of the data and of the parts, by name.
        metric: the headline metric.
        baseline: name of the best baseline by validation; None: none is finished.
        plain: name of the plain rival.
        rows: finished rows.
        missing: unfinished rows by name, with the reason.
        variants: finished variants of finished rows.
        missing_variants: names of the other variants, by page.
    """

    name: str
    kind: Kind
    data: str
    digest: str
    description: dict[str, int | str]
    metric: str
    baseline: str | None
    plain: str
    rows: list[RowResult]
    missing: dict[str, str]
    variants: list[VariantResult]
    missing_variants: dict[str, list[str]]


class LeagueResults(TypedDict):
    """Content of ``results.json``.

    Attributes:
        protocol: number of the protocol.
        command: command that repeats the measurement.
        quick: whether runs are small, and so no evidence.
        runs: number of finished runs.
        core_hours: computing time of all finished runs.
        claims: outcomes of the headline claims whose rows are measured.
        papers: such outcomes by the page of a paper.
        sets: sets with their finished and missing rows.
        versions: versions of packages.
    """

    protocol: int
    command: str
    quick: bool
    runs: int
    core_hours: float
    claims: list[ClaimFigures]
    papers: dict[str, list[ClaimFigures]]
    sets: list[SetResult]
    versions: dict[str, str]
