"""UniRec's claims about exposure-balanced semantic IDs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from recops_evidence.experiments.balancing import SYNTHETIC, Balancing
from recops_evidence.harness.claim import Arm, Claim

_PAPER = "arXiv 2604.12234"
_PRIVATE = "on private items with 4 000 codes a level"
_TOP_PATHS = (
    "the top 1 % of full paths hold 57.33 % of exposure plain and 26.04 % balanced, 5 % 81.73 and "
    f"67.55, 10 % 86.62 and 77.77, {_PRIVATE}"
)
# Consequences of the constraint are unit tests, not claims: no code is above τ times the mean, so
# the Gini of exposure is at most 1 − 1/τ on every level.
_SOURCE = "ours, from a toy of one seed"
# Fixed here, so that the claims do not depend on the defaults of `recops tokenize`.
_CAPACITY = {"slack": 1.05, "clip": 0.25}
_PLAIN = Arm("plain", "rq-kmeans")
_ITEMS = Arm("item-balanced", "balanced-rq", {"weights": "items", **_CAPACITY})
_EXPOSURE = Arm("exposure-balanced", "balanced-rq", {"weights": "exposure", **_CAPACITY})
_LOOSE = Arm("exposure-balanced, τ = 1.2", "balanced-rq", {**_EXPOSURE.settings, "slack": 1.2})


def _capacity(
    name: str,
    text: str,
    metric: str,
    reported: str,
    *,
    arms: Sequence[Arm] = (_EXPOSURE, _PLAIN),
    data: tuple[str, ...] = (SYNTHETIC, "ml-100k", "beauty"),
    direction: Literal["higher", "lower"] = "lower",
    allowance: float = 0.0,
    source: str = _PAPER,
    group: str = "capacity",
) -> Claim:
    return Claim(
        id=name,
        text=text,
        source=source,
        reported=reported,
        arms=tuple(arms),
        data=data,
        metric=metric,
        direction=direction,
        allowance=allowance,
        group=group,
        in_quick=SYNTHETIC in data,
        experiment=Balancing(),
    )


CAPACITY = (
    _capacity(
        "top-prefixes-hold-less",
        "The fullest 1 % of all two-code prefixes, including empty ones, hold less exposure.",
        "prefixes@1%",
        "plain: the top 10 % of prefixes hold 87.90 % of exposure; .209 to .112 on 1 % in a toy of "
        "ours",
    ),
    _capacity(
        "top-paths-hold-less",
        "The fullest 1 % of all full paths, including empty ones, hold less exposure.",
        "paths@1%",
        _TOP_PATHS,
    ),
    _capacity(
        "top-paths-in-use-hold-less",
        "The fullest 1 % of the full paths with items hold less exposure.",
        "used_paths@1%",
        _TOP_PATHS,
    ),
    _capacity(
        "reconstruction-costs-little",
        "The capacity raises the reconstruction error by less than 5 %.",
        "ln_nmse",
        ".3447 to .3509 (+1.8 %), and to +.2 % with τ = 1.2",
        arms=(_EXPOSURE, _PLAIN, _ITEMS, _LOOSE),
        allowance=math.log(1.05),
        source=_SOURCE,
    ),
    _capacity(
        "retrieval-costs-little",
        "Among the 20 nearest decoded vectors the next item is found as often as without the "
        "capacity, within 5 % of the hit rate of the vectors.",
        "retention@20",
        "nothing",
        data=("ml-100k", "beauty"),
        direction="higher",
        arms=(_EXPOSURE, _PLAIN, _ITEMS, _LOOSE),
        allowance=0.05,
        source="ours: the cost of a capacity in retrieval",
        group="retrieval",
    ),
)
