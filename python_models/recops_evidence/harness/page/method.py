"""Description of the method: tuning, pairing, intervals and verdicts."""

from __future__ import annotations

from collections.abc import Iterator

from recops_evidence.harness.page.text import enumeration
from recops_evidence.harness.results import ArmResult, DifferenceResult, Results

_TUNED = """\
Every arm had the same number of tuning trials. The trial with the best validation metric of the
claim set the arm's settings. The arm was then trained with them once per seed, and the test part
was measured only there."""
_WIDENED = """\
If an arm's best value was at an edge of its grid, every arm got one more trial beyond that edge."""
_HOLM = """\
Verdicts follow from the p-value over seeds and users. Users are bootstrapped, and seeds vary around
them by Student's t. p-values are adjusted for all claims of this page (Holm), and p ≥ .05 is
inconclusive. The detectable difference is the minimum detectable effect of these runs, measured
from the claimed value, with 80 % power at the level of Holm's first step. The number of seeds that
would decide a claim is computed in the same way."""
_SEEDS_ONLY = """\
Verdicts follow from the interval over seeds (Student's t). It covers the draw of seeds on this data
only."""
_USERS = "The interval over users is a bootstrap, pooled over the seeds."
_SOME_USERS = "A claim without this interval accounts for seeds only, not for other users."
_GAP = """\
The share of the gap closed is the first arm's way from the second arm to the named arm. Its 95 %
interval over seeds is Fieller's; it is unbounded if the gap itself may be zero."""


def method(content: Results) -> list[str]:
    """Return the lines of the description."""
    differences = content["tables"]["differences"]
    arms = content["tables"]["arms"]
    paragraphs = [
        f"`{content['command']}`, {content['seconds']:,.0f} s of runs.",
        *_tuning(arms, differences),
        "Differences are paired by seed.",
        *_intervals(differences),
    ]
    return [line for paragraph in paragraphs for line in paragraph.splitlines()]


def _tuning(arms: list[ArmResult], differences: list[DifferenceResult]) -> Iterator[str]:
    tuned = [arm for arm in arms if arm["trials"] > 1]
    if not tuned:
        yield "Nothing was tuned; every arm was run once per seed."
        return
    yield _TUNED
    yield from dict.fromkeys(_selection(arm, differences) for arm in tuned)
    seeds = sorted({arm.get("tuning_seeds", 1) for arm in tuned})
    if seeds[-1] > 1:
        yield f"A trial ran under {enumeration(seeds)} seeds; its rank is that of the mean."
    halving = sorted({count for arm in tuned if (count := arm.get("kept", 0))})
    if halving:
        suffix = "" if all(arm.get("kept") for arm in tuned) else " of some claims"
        yield f"Trials{suffix} ran under one seed first; the best {enumeration(halving)} continued."
    shares = sorted({arm.get("tuning_share", 1) for arm in tuned})
    if shares[0] < 1:
        percentages = enumeration([f"{share:.0%}" for share in shares])
        yield f"Trials ran on {percentages} of the users, as each claim specifies."
    if any(arm.get("widened") for arm in arms):
        yield _WIDENED


def _selection(arm: ArmResult, differences: list[DifferenceResult]) -> str:
    """Return a line for an arm whose settings another metric than the claim's selected."""
    names = [arm["chosen_by"]] if "chosen_by" in arm else list(arm["validation"])
    metric = next(each["metric"] for each in differences if each["id"] == arm["id"])
    if not names or metric in names:
        return ""
    return f"Settings of claims about {metric} were selected by {', '.join(names)}."


def _intervals(differences: list[DifferenceResult]) -> Iterator[str]:
    yield _HOLM if any("p_holm" in each for each in differences) else _SEEDS_ONLY
    if any(each["users_interval"] for each in differences):
        yield _USERS
        if not all(each["users_interval"] for each in differences):
            yield _SOME_USERS
    if any("gap" in each for each in differences):
        yield _GAP
