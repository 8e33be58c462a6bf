"""Claims that share their tuning."""

from __future__ import annotations

from collections.abc import Iterable

from recops_evidence.harness.claim import Arm


def beside(arms: Iterable[Arm], *compared: Arm) -> tuple[Arm, ...]:
    """The compared arms, then the others of ``arms``.

    Grids are widened where any arm of a claim asks for it. Claims on the same data with the same
    arms so run the same trials, and an arm has the same settings in each of them: one by one, an
    arm that is hard to tune may come to other settings beside each of its rivals.
    """
    return *compared, *(arm for arm in arms if arm not in compared)
