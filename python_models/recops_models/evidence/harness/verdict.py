"""What the measured differences say of a claim."""

from __future__ import annotations

from typing import Literal, TypeAlias

from recops_models.evidence.harness.claim import Claim

Verdict: TypeAlias = Literal["holds", "fails", "inconclusive"]


def verdict(claim: Claim, interval: tuple[float, float]) -> Verdict:
    """``holds``: the whole interval lies beyond the claim's threshold, in its direction; ``fails``:
    the whole of it falls short; ``inconclusive``: it lies across.
    """
    low, high = interval
    if claim.direction == "lower":
        low, high = -high, -low
    if low > claim.threshold:
        return "holds"
    return "fails" if high < claim.threshold else "inconclusive"
