"""UniRec: generative recommendation with an attribute prefix, Shopee, 2026."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recops_models.evidence.experiments.balancing import SYNTHETIC, Balancing
from recops_models.evidence.harness.claim import Arm, Claim

_PAPER = "arXiv 2604.12234"
_PRIVATE = "on private items with 4 000 codes a level"
_TOP_PATHS = (
    "the top 1 % of full paths hold 57.33 % of exposure plain and 26.04 % balanced, 5 % 81.73 and "
    f"67.55, 10 % 86.62 and 77.77, {_PRIVATE}"
)
_OURS = "ours, from a toy of one seed"
# Whatever defaults `recops tokenize` has or comes to have.
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
    minimum: float = 0.0,
    allowance: float = 0.0,
    source: str = _PAPER,
) -> Claim:
    return Claim(
        id=name,
        text=text,
        source=source,
        reported=reported,
        arms=tuple(arms),
        data=(SYNTHETIC, "ml-100k", "beauty"),
        metric=metric,
        direction="lower",
        minimum=minimum,
        allowance=allowance,
        group="capacity",
        experiment=Balancing(),
    )


CLAIMS = (
    _capacity(
        "capacity-is-kept",
        "No code of any level carries more than τ = 1.05 times the mean exposure, where plain "
        "residual k-means has codes that do.",
        "over_capacity",
        "that the constraint holds on every level",
    ),
    *(
        _capacity(
            f"exposure-is-even-on-level-{level}",
            f"The capacity cuts the Gini of exposure on level {level} by 70 % or more.",
            f"ln_gini@{level}",
            reported,
            minimum=-math.log(0.3),
            source=_OURS,
        )
        for level, reported in enumerate((".281 to .038", ".486 to .043", "nothing"))
    ),
    _capacity(
        "exposure-beats-items",
        "Balancing exposure leaves a lower Gini of exposure than balancing numbers of items.",
        "gini",
        "that exposure is what is to be balanced; a Gini of .156 by items in a toy of ours",
        arms=(_EXPOSURE, _ITEMS),
    ),
    _capacity(
        "top-prefixes-hold-less",
        "Less exposure lies on the fullest 1 % of two-code prefixes, empty ones counted.",
        "prefixes@1%",
        "plain: the top 10 % of prefixes hold 87.90 % of exposure; .209 to .112 on 1 % in a toy of "
        "ours",
    ),
    _capacity(
        "top-paths-hold-less",
        "Less exposure lies on the fullest 1 % of all full paths, empty ones counted.",
        "paths@1%",
        _TOP_PATHS,
    ),
    _capacity(
        "top-paths-in-use-hold-less",
        "Less exposure lies on the fullest 1 % of the full paths that have items.",
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
        source=_OURS,
    ),
)
