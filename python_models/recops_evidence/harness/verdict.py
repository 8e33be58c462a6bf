"""Verdict of a claim."""

from __future__ import annotations

from typing import Literal, TypeAlias

from recops_evidence.harness.claim import Claim

Verdict: TypeAlias = Literal["holds", "fails", "inconclusive"]


ALPHA = 0.05
"""Family-wise error rate over all claims of a page."""


def verdict(claim: Claim, measured: float, p_value: float) -> Verdict:
    """Return the verdict of a claim.

    ``holds``: the difference exceeds the claim's threshold in the claimed direction. ``fails``: it
    is below the threshold. ``inconclusive``: p ≥ :data:`ALPHA`.

    Args:
        claim: the claim.
        measured: mean difference.
        p_value: two-sided p-value of the threshold, adjusted for the other claims.
    """
    if p_value >= ALPHA:
        return "inconclusive"
    return "holds" if claim.towards(measured) > claim.threshold else "fails"
