"""Tables of chosen claims inside a page that is written by hand.

A page marks each table by two comments, and the text between them is generated::

    <!-- claims headline: keep-lifts-toys; concat-is-as-good-as-adding-films@ml-1m -->
    <!-- end of claims -->

The kind is ``headline``, ``ablation`` or ``control``. ``ID@DATA`` names a claim on one data set,
and ``ID`` a claim on all of its data sets. ``claims control in FOLDER: …`` names claims of runs
whose results are in a subfolder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, cast, get_args

from recops_evidence.harness.page.text import number, signed, span, table, without_empty
from recops_evidence.harness.results import ArmResult, ClaimResult, DifferenceResult, Results
from recops_models.evaluation.benjamini_hochberg import benjamini_hochberg

ClaimKind = Literal["headline", "ablation", "control"]

HEADLINE_SEEDS = 10
"""Number of seeds of headline claims by the protocol."""
DISCOVERY_RATE = 0.1
_BLOCK = re.compile(
    r"(?P<start><!-- claims (?P<kind>\w+)(?: in (?P<folder>[\w-]+))?: (?P<ids>[^>]+) -->\n)"
    r".*?(?P<end><!-- end of claims -->)",
    re.DOTALL,
)

Runs = Mapping[str, Results]
"""Results by subfolder; ``""`` is the main one."""
_HEAD = (
    "claim",
    "data",
    "difference",
    "measured",
    "95 % interval",
    "95 %, users alone",
    "difference in GAUC",
    "difference in logloss",
    "p",
    "minimum detectable effect",
    "verdict",
)


class ClaimBlock(NamedTuple):
    """One table of claims of a page.

    Attributes:
        kind: what the claims are for.
        content: results that hold the claims.
        claims: the claims.
        differences: the difference behind each claim.
    """

    kind: ClaimKind
    content: Results
    claims: list[ClaimResult]
    differences: list[DifferenceResult]


def blocks(page: str, runs: Runs) -> list[ClaimBlock]:
    """Return the tables that the comments of a page ask for.

    Raises:
        ValueError: an unknown kind, subfolder or claim.
    """
    return [_block(match, runs) for match in _BLOCK.finditer(page)]


def with_claim_tables(page: str, runs: Runs) -> str:
    """Return a page with the tables between its comments.

    Raises:
        ValueError: an unknown kind, subfolder or claim.
    """

    def filled(match: re.Match[str]) -> str:
        text = "\n".join(_lines(_block(match, runs)))
        return f"{match['start']}\n{text}\n\n{match['end']}"

    return _BLOCK.sub(filled, page)


def _block(match: re.Match[str], runs: Runs) -> ClaimBlock:
    if match["kind"] not in get_args(ClaimKind):
        raise ValueError(f"claims must be one of {get_args(ClaimKind)}, got {match['kind']!r}")
    folder = match["folder"] or ""
    if folder not in runs:
        raise ValueError(f"claims must be in one of {sorted(runs)}, got {folder!r}")
    content = runs[folder]
    chosen: list[tuple[ClaimResult, DifferenceResult]] = []
    pairs = list(zip(content["claims"], content["tables"]["differences"], strict=True))
    for name in match["ids"].split(";"):
        identifier, _, data = name.strip().partition("@")
        found = [
            (claim, difference)
            for claim, difference in pairs
            if claim["id"] == identifier and data in ("", claim["data"])
        ]
        if not found:
            raise ValueError(f"{content['paper']} has no claim {name.strip()!r}")
        chosen += found
    kind = cast("ClaimKind", match["kind"])
    claims, differences = map(list, zip(*chosen, strict=True))
    return ClaimBlock(kind, content, claims, differences)


def _lines(block: ClaimBlock) -> list[str]:
    triples = zip(block.claims, block.differences, _discoveries(block), strict=True)
    rows = [_row(*triple, block.content) for triple in triples]
    lines = table(*without_empty(_HEAD, rows))
    if block.kind == "headline":
        lines += ["", *_deviations(block)]
    return lines


def _discoveries(block: ClaimBlock) -> list[bool | None]:
    """Return which claims of an ablation are discoveries; None: the claim has a verdict."""
    if block.kind != "ablation":
        return [None] * len(block.claims)
    adjusted = benjamini_hochberg([difference.get("p", 1.0) for difference in block.differences])
    return [value <= DISCOVERY_RATE for value in adjusted]


def _row(
    claim: ClaimResult, difference: DifferenceResult, is_discovery: bool | None, content: Results
) -> list[str]:
    has_users = difference["users_interval"] is not None
    p = difference.get("p_holm") if is_discovery is None else difference.get("p")
    return [
        claim["text"],
        claim["data"],
        f"{difference['metric']}, {' − '.join(difference['arms'][:2])}",
        signed(claim["measured"]),
        span(claim["interval"] if has_users else difference.get("seeds_interval")),
        span(difference["users_interval"]),
        *(_further(claim, difference, metric, content) for metric in ("gauc", "logloss")),
        "" if p is None else f"{p:.3f}" if p >= 0.001 else "< .001",
        number(claim.get("power")),
        _verdict(claim, difference, is_discovery),
    ]


def _further(
    claim: ClaimResult, difference: DifferenceResult, metric: str, content: Results
) -> str:
    """Return the difference in another metric of a claim on AUC; empty if it was not measured."""
    if difference["metric"] != "auc":
        return ""
    tables = content["tables"]
    indices = {
        arm["arm"]: arm["measured"]
        for arm in tables["arms"]
        if (arm["id"], arm["data"]) == (claim["id"], claim["data"])
    }
    first, second = (
        tables["measured"][indices[name]]["mean"].get(metric) for name in difference["arms"][:2]
    )
    return "" if first is None or second is None else signed(first - second)


def _verdict(claim: ClaimResult, difference: DifferenceResult, is_discovery: bool | None) -> str:
    if is_discovery is None:
        return f"**{claim['verdict']}**" if claim["verdict"] != "inconclusive" else "inconclusive"
    if not is_discovery:
        return "exploratory"
    sign = 1 if difference["direction"] == "higher" else -1
    is_as_claimed = sign * claim["measured"] > difference["minimum"]
    return "**discovery**" if is_as_claimed else "**discovery, opposite**"


def _deviations(block: ClaimBlock) -> list[str]:
    """Return a paragraph on where the runs of headline claims differ from the protocol."""
    arms = _compared_arms(block)
    seeds = sorted({claim["seeds"] for claim in block.claims})
    texts = []
    if seeds[0] < HEADLINE_SEEDS:
        texts.append(f"{' or '.join(map(str, seeds))} seeds instead of {HEADLINE_SEEDS}")
    edges = sum(bool(arm.get("edges")) for arm in arms)
    if edges:
        texts.append(f"{edges} of {len(arms)} tuned arms have a best value at an edge of its grid")
    count = len(block.content["claims"])
    lines = [
        "Intervals are over seeds, and over users where the data has them.",
        f"p-values are adjusted for all {count} verdicts of these runs (Holm).",
    ]
    if texts:
        protocol = "[protocol](../guide/evidence.md#the-league)"
        lines.append(f"Differences from the {protocol}: {'; '.join(texts)}.")
    return [" ".join(lines)]


def _compared_arms(block: ClaimBlock) -> list[ArmResult]:
    """Return the tuned arms of the claims, each once."""
    names = {
        (claim["id"], arm)
        for claim, difference in zip(block.claims, block.differences, strict=True)
        for arm in difference["arms"][:2]
    }
    arms = [arm for arm in block.content["tables"]["arms"] if (arm["id"], arm["arm"]) in names]
    return list({arm["measured"]: arm for arm in arms if arm.get("grid")}.values())
