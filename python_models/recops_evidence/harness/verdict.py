"""What the measured differences say of a claim."""

from __future__ import annotations

from typing import Literal, TypeAlias

from recops_evidence.harness.claim import Claim

Verdict: TypeAlias = Literal["holds", "fails", "inconclusive"]


ALPHA = 0.05
"""The chance of a verdict where there is nothing, over all claims of a page."""


def verdict(claim: Claim, measured: float, p_value: float) -> Verdict:
    """``holds``: the difference lies beyond the claim's threshold, in its direction; ``fails``: it
    falls short; ``inconclusive``: that may be chance.

    Args:
        claim: what is claimed.
        measured: the mean difference.
        p_value: two-sided, of a difference that is the threshold, adjusted for the other claims.
    """
    if p_value >= ALPHA:
        return "inconclusive"
    return "holds" if claim.towards(measured) > claim.threshold else "fails"
