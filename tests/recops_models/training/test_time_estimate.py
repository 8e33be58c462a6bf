"""Estimate of the training time."""

from __future__ import annotations

from recops_models.training.time_estimate import TimeEstimate


def reports(steps: list[tuple[float, float]]) -> list[str]:
    """Return the reports of a training with ``(seconds, share)`` per step."""
    lines: list[str] = []
    times = iter([seconds for seconds, _ in steps])
    estimate = TimeEstimate(lines.append, clock=lambda: next(times))
    for _, share in steps:
        estimate.advance(share)
    return lines


def test_one_report_after_the_first_seconds() -> None:
    # 4 s for 5 % from the second step on.
    assert reports([(10, 0.0), (11, 0.02), (14, 0.05)]) == [
        "estimated training time: 80 s for the remaining epochs, without validation"
    ]


def test_a_resumed_training_counts_the_remaining_epochs() -> None:
    assert reports([(0, 0.5), (10, 0.51)]) == [
        "estimated training time: 8 min for the remaining epochs, without validation"
    ]


def test_no_report_for_short_trainings_or_unknown_lengths() -> None:
    assert reports([(0, 0.0), (1, 0.5), (2, 1.0)]) == []
    assert reports([(0, 0.0), (5, 0.0), (50, 0.0)]) == []
