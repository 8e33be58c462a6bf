"""Arms that are tuned together for several claims."""

from __future__ import annotations

from collections.abc import Iterable

from recops_evidence.harness.claim import Arm


def share_tuning(arms: Iterable[Arm], *compared: Arm) -> tuple[Arm, ...]:
    """Return the compared arms, then the others of ``arms``.

    A grid is widened if any arm of its claim needs it. Claims on the same data with the same arms
    therefore run the same trials, and an arm has the same settings in each of them.
    """
    return *compared, *(arm for arm in arms if arm not in compared)
