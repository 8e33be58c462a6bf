"""Headline claims of the league's page, and outcomes of claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from recops_evidence.league.comparison import Mean, RowValues
from recops_models.evaluation.holm import holm

MOST_CLAIMS = 6
"""Largest number of headline claims of a page."""
_LEVEL = 0.05


@dataclass(frozen=True)
class LeagueClaim:
    """Claim that one row of a set is better than another in the headline metric.

    Attributes:
        of_set: name of the set.
        better: name of the row that is claimed to be better.
        worse: name of the other row.
        text: the claim in words.
    """

    of_set: str
    better: str
    worse: str
    text: str


CLAIMS = (
    LeagueClaim(
        "clicks:ml-100k",
        "DIN",
        "rates",
        "Attention to the history ranks better than rates and recent labels.",
    ),
    LeagueClaim(
        "clicks:ml-100k",
        "DIN",
        "sum-pool",
        "Attention to the history ranks better than its sum.",
    ),
    LeagueClaim(
        "clicks:assist2017",
        "MIMN",
        "DIN",
        "A memory ranks better than attention to the last 50 events.",
    ),
    LeagueClaim(
        "ranking:ml-100k", "SASRec", "item-kNN", "Self-attention ranks better than item-kNN."
    ),
    LeagueClaim("ranking:yelp", "item-kNN", "SASRec", "Item-kNN ranks better than self-attention."),
    LeagueClaim(
        "ranking:beauty", "UniRec", "SASRec", "Semantic IDs rank better than self-attention."
    ),
)


class ClaimFigures(TypedDict):
    """Outcome of a claim.

    Attributes:
        of_set: name of the set.
        better: row that is claimed to be better.
        worse: other row.
        text: the claim in words.
        difference: difference in the headline metric.
        adjusted_p: p-value, adjusted by Holm for all measured claims.
        verdict: ``"holds"``, ``"fails"`` (the opposite is significant) or ``"inconclusive"``.
    """

    of_set: str
    better: str
    worse: str
    text: str
    difference: Mean
    adjusted_p: float
    verdict: str


def claim_results(
    values: Mapping[str, Mapping[str, RowValues]],
    metrics: Mapping[str, str],
    claims: Sequence[LeagueClaim] = CLAIMS,
) -> list[ClaimFigures]:
    """Return the outcomes of the claims whose rows are measured under two or more common seeds.

    Args:
        values: values by set and row.
        metrics: headline metric by set.
        claims: at most :data:`MOST_CLAIMS`.

    Raises:
        ValueError: too many claims.
    """
    if len(claims) > MOST_CLAIMS:
        raise ValueError(f"claims must be at most {MOST_CLAIMS}, got {len(claims)}")
    measured: list[tuple[LeagueClaim, Mean]] = []
    for claim in claims:
        rows = values.get(claim.of_set, {})
        better, worse = rows.get(claim.better), rows.get(claim.worse)
        if better is not None and worse is not None and len(better.common_seeds(worse)) > 1:
            measured.append((claim, better.difference(worse, metrics[claim.of_set])))
    adjusted = holm([difference["p"] or 0.0 for _, difference in measured])
    return [
        {
            "of_set": claim.of_set,
            "better": claim.better,
            "worse": claim.worse,
            "text": claim.text,
            "difference": difference,
            "adjusted_p": p,
            "verdict": _verdict(difference["mean"], p),
        }
        for (claim, difference), p in zip(measured, adjusted, strict=True)
    ]


def _verdict(mean: float, p: float) -> str:
    if p >= _LEVEL:
        return "inconclusive"
    return "holds" if mean > 0 else "fails"
