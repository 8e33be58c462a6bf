"""Check of a paper's page against the evidence protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator

from recops_evidence.harness.page.claim_tables import ClaimBlock, Runs, blocks, with_claim_tables
from recops_evidence.harness.page.length import length_fault
from recops_evidence.harness.results import Results
from recops_models.evaluation.holm import holm

MOST_CLAIMS = 6
"""Largest number of headline claims of a page, one per claim and data set."""
SECTIONS = ("What it means for use", "Ablation", "Positive control", "Cost", "Method")
"""Titles of the sections that every page has."""
NO_CONTROL = "No positive control is measured yet."
"""Sentence of a page without a positive control."""


def page_faults(page: str, runs: Runs) -> list[str]:
    """Return a line per violation: tables, sections, families, metrics, power, control and length.

    The differences from the protocol in examples, seeds and grid edges are no violations, because
    the generated text below the headline table states them.

    Args:
        page: the page in Markdown.
        runs: results behind it.
    """
    return [*_faults(page, runs)]


def _faults(page: str, runs: Runs) -> Iterator[str]:
    if with_claim_tables(page, runs) != page:
        yield "tables must show the results: python tools/render_claims.py"
    found = blocks(page, runs)
    headlines = [block for block in found if block.kind == "headline"]
    count = sum(len(block.claims) for block in headlines)
    if len(headlines) != 1 or not 1 <= count <= MOST_CLAIMS:
        yield f"one table must have 1 to {MOST_CLAIMS} headline claims, got {count}"
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
