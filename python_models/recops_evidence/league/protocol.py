"""Check of the league's results and page against the evidence protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from recops_evidence.harness.page.length import length_fault
from recops_evidence.league.claims import MOST_CLAIMS, ClaimFigures
from recops_evidence.league.figures import METRICS, LeagueResults, RowResult, SetResult
from recops_evidence.league.league_run import LeagueRun
from recops_evidence.league.plan import LONG_RUNS, MOST_SEEDS
from recops_models.evaluation.holm import holm

_MOST_LONGER = 2.0
"""Largest ratio of the trial that allows few seeds to the mean of the measured runs."""


def faults(results: LeagueResults, page: str) -> list[str]:
    """Return a line per violation: examples, seeds, families, edges, metrics and length.

    Args:
        results: the figures.
        page: the page in Markdown.
    """
    too_long = length_fault(page)
    return [
        *_general(results),
        *(f"{each['name']}: {fault}" for each in results["sets"] for fault in _set_faults(each)),
        *_families(results),
        *([] if too_long is None else [too_long]),
    ]


def _general(results: LeagueResults) -> Iterator[str]:
    if results["quick"]:
        yield "runs must be whole, got quick ones"
    if results["protocol"] != LeagueRun.PROTOCOL:
        yield f"protocol must be {LeagueRun.PROTOCOL}, got {results['protocol']}"


def _set_faults(each: SetResult) -> Iterator[str]:
    if not each["rows"]:
        return
    counts = each["description"]
    parts = [counts[name] for name in ("train", "validation", "test", "context")]
    if sum(int(part) for part in parts) != counts["events"]:
        yield f"all {counts['events']} events must be in a part, got {parts}"
    if each["kind"] == "clicks" and "negatives" not in counts:
        yield "the origin of negatives must be stated"
    for row in each["rows"]:
        yield from (f"{row['row']}: {fault}" for fault in _row_faults(each, row))
    yield from _variant_faults(each)


def _row_faults(each: SetResult, row: RowResult) -> Iterator[str]:
    if row["edges"]:
        yield f"the best value must be inside its grid, but is at an edge: {row['edges']}"
    missing = [name for name in METRICS[each["kind"]] if name not in row["per_seed"]]
    if missing:
        yield f"metrics must include {missing}"
    for name, values in row["per_seed"].items():
        if len(values) != len(row["seeds"]) or not all(map(math.isfinite, values)):
            yield f"{name} must be finite under each seed, got {values}"
    needed = next((few for above, few in LONG_RUNS if row["timed_seconds"] > above), MOST_SEEDS)
    if needed < MOST_SEEDS and row["timed_seconds"] > _MOST_LONGER * row["costs"]["core_seconds"]:
        yield f"few seeds need runs that are as long as the trial, {row['timed_seconds']:.0f} s"
    if row["is_seeded"] and len(row["seeds"]) < needed:
        yield f"seeds must be {needed} or more for runs of this length, got {len(row['seeds'])}"


def _variant_faults(each: SetResult) -> Iterator[str]:
    for variant in each["variants"]:
        if variant["edges"]:
            yield f"{variant['row']}: the best value is at an edge: {variant['edges']}"
        if len(variant["seeds"]) < LONG_RUNS[0][1]:
            yield f"{variant['row']}: seeds must be 3 or more, got {len(variant['seeds'])}"


def _families(results: LeagueResults) -> Iterator[str]:
    yield from _family(results["claims"])
    for paper, claims in results["papers"].items():
        yield from (f"{paper}: {fault}" for fault in _family(claims))


def _family(claims: Sequence[ClaimFigures]) -> Iterator[str]:
    if len(claims) > MOST_CLAIMS:
        yield f"headline claims must be at most {MOST_CLAIMS}, got {len(claims)}"
    adjusted = holm([claim["difference"]["p"] or 0.0 for claim in claims])
    for claim, p in zip(claims, adjusted, strict=True):
        if not math.isclose(claim["adjusted_p"], p, abs_tol=1e-12):
            yield f"{claim['text']} must have p = {p:.3g} after Holm, got {claim['adjusted_p']:.3g}"
        if claim["difference"]["detectable"] is None:
            yield f"{claim['text']} must have a minimum detectable difference"
