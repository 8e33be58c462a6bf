"""What the numbers say, in words. Nothing here is decided before the numbers are known."""

from __future__ import annotations

from collections.abc import Sequence

from recops_models.evaluation.report.content import Difference


def capitalised(text: str) -> str:
    """``text`` as it stands at the beginning of a line."""
    return text[:1].upper() + text[1:]


def points(value: float) -> str:
    """A difference of two shares in percentage points, signed: ``+3.2``."""
    rounded = round(100 * value, 1) + 0.0  # A zero has no sign.
    return f"{rounded:+.1f}".replace("-", "−")


def interval(difference: Difference) -> str:
    """``+1.2 to +5.1``."""
    return f"{points(difference.low)} to {points(difference.high)}"


def headline(difference: Difference) -> str:
    """The finding in one line, from the difference of the main model to the baseline to beat."""
    model, against = difference.model, difference.against
    if difference.sign > 0:
        return capitalised(f"{model} beats {against}")
    if difference.sign < 0:
        return capitalised(f"{against} beats {model}")
    return capitalised(f"{model} and {against} cannot be told apart")


def sentences(differences: Sequence[Difference]) -> list[str]:
    """For each difference: who is ahead, by how much, and whether chance explains it."""
    return [_sentence(difference) for difference in differences]


def _sentence(difference: Difference) -> str:
    ahead = "behind" if difference.value < 0 else "ahead of"
    verdict = "clear of chance" if difference.sign else "within what chance explains"
    return capitalised(
        f"{difference.model} is {ahead} {difference.against} by {100 * abs(difference.value):.1f} "
        f"points of {difference.metric.upper()} (95% interval {interval(difference)}): {verdict}."
    )
