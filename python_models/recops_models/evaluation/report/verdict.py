"""Sentences on the measured differences."""

from __future__ import annotations

from collections.abc import Sequence

from recops_models.evaluation.report.content import Difference


def capitalised(text: str) -> str:
    """Return ``text`` with a capital first letter."""
    return text[:1].upper() + text[1:]


def points(value: float) -> str:
    """Return a difference of two shares in percentage points, with sign: ``+3.2``."""
    rounded = round(100 * value, 1) + 0.0  # Turns −0 into 0.
    return f"{rounded:+.1f}".replace("-", "−")


def interval(difference: Difference) -> str:
    """Return the interval of a difference in percentage points: ``+1.2 to +5.1``."""
    return f"{points(difference.low)} to {points(difference.high)}"


def headline(difference: Difference) -> str:
    """Return the result in one line, for the main model and its baseline."""
    model, against = difference.model, difference.against
    if difference.sign > 0:
        return capitalised(f"{model} beats {against}")
    if difference.sign < 0:
        return capitalised(f"{against} beats {model}")
    return capitalised(f"no significant difference between {model} and {against}")


def sentences(differences: Sequence[Difference]) -> list[str]:
    """Return one sentence per difference: its sign, size and significance."""
    return [_sentence(difference) for difference in differences]


def _sentence(difference: Difference) -> str:
    ahead = "behind" if difference.value < 0 else "ahead of"
    verdict = "significant" if difference.sign else "not significant"
    return capitalised(
        f"{difference.model} is {ahead} {difference.against} by {100 * abs(difference.value):.1f} "
        f"percentage points in {difference.metric.upper()} (95% interval {interval(difference)}): "
        f"{verdict}."
    )
