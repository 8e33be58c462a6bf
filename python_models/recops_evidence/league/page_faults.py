"""Check of a paper's page against the evidence protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator

from recops_evidence.harness.page.claim_tables import ClaimBlock, Runs, blocks, with_claim_tables
from recops_evidence.harness.page.length import length_fault
from recops_evidence.harness.results import Results
from recops_evidence.league.claims import MOST_CLAIMS
from recops_evidence.league.figures import LeagueResults
from recops_evidence.league.paper_tables import league_blocks, with_league_tables
from recops_evidence.league.papers import PAPERS
from recops_models.evaluation.holm import holm

SECTIONS = ("What it means for use", "Ablation", "Positive control", "Cost", "Method")
"""Titles of the sections that every page has."""
NO_CONTROL = "No positive control is measured yet."
"""Sentence of a page without a positive control."""


def page_faults(page: str, paper: str, runs: Runs, league: LeagueResults) -> list[str]:
    """Return a line per violation: tables, sections, families, metrics, power, control and length.

    The runs of a headline must follow the protocol: those of the league do, and its own check
    (:func:`~recops_evidence.league.protocol.faults`) covers them. A page whose headline rests on
    other runs states where they differ, in generated text below the table.

    Args:
        page: the page in Markdown.
        paper: its name.
        runs: results behind it.
        league: figures of the league.
    """
    return [*_faults(page, paper, runs, league)]


def _faults(page: str, paper: str, runs: Runs, league: LeagueResults) -> Iterator[str]:
    if with_league_tables(page, paper, league) != page:
        yield "tables must show the league: python tools/render_claims.py"
    if with_claim_tables(page, runs) != page:
        yield "tables must show the results: python tools/render_claims.py"
    found = blocks(page, runs)
    counts = [len(block.claims) for block in found if block.kind == "headline"]
    counts += [len(PAPERS[paper]) for kind in league_blocks(page) if kind == "headline"]
    if len(counts) != 1 or not 1 <= sum(counts) <= MOST_CLAIMS:
        yield f"one table must have 1 to {MOST_CLAIMS} headline claims, got {sum(counts)}"
    for section in SECTIONS:
        if f"\n## {section}\n" not in page:
            yield f"a section must have the title {section!r}"
    if not any(block.kind == "control" for block in found) and NO_CONTROL not in page:
        yield f"a table must show the positive control, or the page must say {NO_CONTROL!r}"
    for block in found:
        yield from _claim_faults(block)
    for content in runs.values():
        if content["tables"]["quick"]:
            yield "runs must be whole, got quick ones"
        yield from _family(content)
    if (too_long := length_fault(page)) is not None:
        yield too_long


def _claim_faults(block: ClaimBlock) -> Iterator[str]:
    for claim in block.claims:
        name = f"{claim['id']} on {claim['data']}"
        power = claim.get("power")
        if power is None or not math.isfinite(power):
            yield f"{name} must have a minimum detectable effect, got {power}"
        if not all(map(math.isfinite, [claim["measured"], *claim["interval"]])):
            yield f"{name} must have a finite difference and interval"


def _family(content: Results) -> Iterator[str]:
    differences = content["tables"]["differences"]
    adjusted = holm([difference.get("p", 1.0) for difference in differences])
    for difference, p in zip(differences, adjusted, strict=True):
        stored = difference.get("p_holm", 1.0)
        if not math.isclose(stored, p, rel_tol=1e-9):
            yield f"{difference['id']} must have p = {p:.3g} after Holm, got {stored:.3g}"
