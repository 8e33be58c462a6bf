"""Table of verdicts: one row per claim and data set."""

from __future__ import annotations

from recops_evidence.harness.page.text import number, percent, signed, span, table, without_empty
from recops_evidence.harness.results import ClaimResult, DifferenceResult, GapClosed, Results

_HEAD = (
    "claim",
    "data",
    "verdict",
    "difference",
    "claimed",
    "measured",
    "95 % interval over seeds",
    "over users",
    "over both",
    "p",
    "p, adjusted (Holm)",
    "detectable with 80 % power",
    "share of the gap closed",
    "seeds",
)


def verdict_table(content: Results) -> list[str]:
    """Return the lines of the table."""
    pairs = zip(content["claims"], content["tables"]["differences"], strict=True)
    return table(*without_empty(_HEAD, [_row(claim, difference) for claim, difference in pairs]))


def _row(claim: ClaimResult, difference: DifferenceResult) -> list[str]:
    over_both = difference["users_interval"] and "power" in claim
    return [
        claim["id"],
        claim["data"],
        _verdict(claim, difference),
        f"{difference['metric']}, {' − '.join(difference['arms'])}",
        _claimed(difference),
        signed(claim["measured"]),
        span(difference.get("seeds_interval", claim["interval"])),
        span(difference["users_interval"]),
        span(claim["interval"] if over_both else None),
        _p_value(difference.get("p")),
        _p_value(difference.get("p_holm")),
        number(claim["power"]) if "power" in claim else "",
        _gap(difference.get("gap")),
        str(claim["seeds"]),
    ]


def _verdict(claim: ClaimResult, difference: DifferenceResult) -> str:
    """Return a text such as ``**inconclusive** (decidable with 12 seeds)``."""
    verdict = f"**{claim['verdict']}**"
    if claim["verdict"] != "inconclusive" or "seeds_needed" not in difference:
        return verdict
    needed = difference["seeds_needed"]
    hint = f"decidable with {needed} seeds" if needed else "not decidable with 1,000 seeds"
    return f"{verdict} ({hint})"


def _p_value(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "< .001"


def _claimed(difference: DifferenceResult) -> str:
    """Return the claimed range of the difference, such as ``> 0`` or ``< −0.0123``."""
    symbol, sign = (">", 1) if difference["direction"] == "higher" else ("<", -1)
    return f"{symbol} {signed(sign * difference['minimum']) if difference['minimum'] else 0}"


def _gap(gap: GapClosed | None) -> str:
    """Return a text such as ``31 % of that to DIN (12 to 50 %)``."""
    if gap is None:
        return ""
    share = f"{percent(gap['closed'])} % of that to {gap['to']}"
    if gap["interval"] is None:
        return f"{share} (unbounded)"
    low, high = gap["interval"]
    return f"{share} ({percent(low)} to {percent(high)} %)"
