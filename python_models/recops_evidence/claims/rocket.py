"""Rocket Launching: Zhou et al., A Universal and Efficient Framework for Training Well-performing
Light Net, 2018.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from recops_evidence.claims._on_clicks import of_net
from recops_evidence.experiments.serving_time import ServingTime
from recops_evidence.experiments.teacher import FIRST, TeacherFirst
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import ArmSettings, Setting

_PAPER = "arXiv 1708.04106"
_NO_FIGURES = "the order of its tables; their figures were not read by us"
_DATA = ("ml-100k",)

# The booster is a DIN of the size that the other papers' claims have.
_SETTINGS: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 4,
    "patience": 4,
    "weight_decay": 0.0,
    "max_len": 50,
}
_BOOSTER: Mapping[str, Setting] = {
    "width": 12,
    "hidden": "200,80",
    "attention_hidden": "80,40",
    "dropout": 0.3,
}
# Narrower than the booster's tables, as in the released code; tables are shared at one width alone.
_LIGHT: Mapping[str, Setting] = {"width": 2, "hidden": "8", "dropout": 0.0}
_WIDE: Mapping[str, Setting] = {**_LIGHT, "width": 12}
_SMALL_DIN: Mapping[str, Setting] = {**_BOOSTER, **_WIDE}
_RATE = {"learning_rate": (3e-3, 1e-2)}
# The light net's own best rate, so that a rocket's trials are left for its hint.
_AT = {**_SETTINGS, "learning_rate": 1e-2}
_HINT = {"hint_weight": (0.1, 1.0)}
# At T = 4, a weight eight times that of the logits' error is about as strong.
_TEACHING = {"teacher_weight": (1.0, 8.0)}


def _rocket(
    name: str,
    light: Mapping[str, Setting],
    grid: Mapping[str, tuple[Setting, ...]] = _HINT,
    /,
    **settings: Setting,
) -> Arm:
    nets = {
        "light": "sum-pool",
        **of_net("light", light),
        "booster": "din",
        **of_net("booster", _BOOSTER),
    }
    return Arm(name, "rocket", {**_AT, **nets, **settings}, grid)


_ALONE = Arm("light alone", "sum-pool", {**_SETTINGS, **_LIGHT}, _RATE)
_HEAVY = Arm("booster alone", "din", {**_SETTINGS, **_BOOSTER}, _RATE)
_ROCKET = _rocket("rocket", _LIGHT, share="none")
_BOTH = _rocket("rocket + KD", _LIGHT, _TEACHING, share="none", hint_weight=0.1, teacher=FIRST)
_KD = Arm(
    "KD",
    "rocket",
    {**_AT, "light": "sum-pool", **of_net("light", _LIGHT), "booster": "none", "teacher": FIRST},
    _TEACHING,
)
_WIDE_ALONE = Arm("wide light alone", "sum-pool", {**_SETTINGS, **_WIDE}, _RATE)
_SHARED = _rocket("rocket, tables shared", _WIDE)
_APART = _rocket("rocket, wide, nothing shared", _WIDE, share="none")
_FREE = _rocket("rocket, tables shared, no block", _WIDE, block="false")
_SMALL = Arm("small DIN alone", "din", {**_SETTINGS, **_SMALL_DIN}, _RATE)
_BOTTOM = _rocket("rocket, bottom shared", _SMALL_DIN, share="bottom", light="din")

# Both with as much care for what regularises: is it more than dropout and decay?
_REGULAR: Mapping[str, tuple[Setting, ...]] = {"weight_decay": (0.0, 0.01, 0.1)}
_TUNED = Arm(
    "light alone, regularised",
    "sum-pool",
    {**_SETTINGS, **_LIGHT},
    {**_RATE, "dropout": (0.0, 0.1, 0.3), **_REGULAR},
)
_ROCKET_TUNED = _rocket(
    "rocket, regularised",
    _LIGHT,
    {**_HINT, "light.dropout": (0.0, 0.1, 0.3), **_REGULAR},
    share="none",
)
_BY_LOGITS = Arm(
    "distilled by logits",
    "rocket",
    {**_KD.settings, "teacher_hint": "logit-mse"},
    {"teacher_weight": (0.1, 1.0)},
)
# The settings of the booster are the light net's own.
_TWINS = Arm(
    "two light nets",
    "rocket",
    {
        **_AT,
        "light": "sum-pool",
        **of_net("light", _LIGHT),
        "booster": "sum-pool",
        **of_net("booster", _LIGHT),
        "share": "none",
    },
    _HINT,
)


def _pairs(settings: Mapping[str, Setting]) -> ArmSettings:
    return tuple(sorted((name, str(value)) for name, value in settings.items()))


_TRAINING = TeacherFirst("din", _pairs({**_AT, **_BOOSTER}))
_LENGTH = {"max_len": _SETTINGS["max_len"]}
_STOPWATCH = ServingTime("din", _pairs({**_LENGTH, **_BOOSTER}))


_claim = partial(
    Claim, source=_PAPER, reported=_NO_FIGURES, data=_DATA, metric="auc", experiment=_TRAINING
)
_CONTROL: Mapping[str, Any] = {
    "source": "a control of ours, which the paper's claim implies",
    "reported": "nothing",
    "glanced": False,
}
_ABLATION = f"{_PAPER}, its ablation without gradient block"


def _large(arm: Arm) -> Arm:
    return dataclasses.replace(arm, settings={**arm.settings, "epochs": 1, "patience": 1})


_headline = partial(
    _claim,
    group="headline",
    data=("ml-1m",),
    experiment=TeacherFirst("din", _pairs({**_AT, **_BOOSTER, "epochs": 1, "patience": 1})),
    tuning_share=1 / 6,
    glanced=False,
)
_HEADLINE = (
    _headline(
        id="rocket-lifts-the-light-net-on-large-data",
        text="On a million events that light net is better beside the booster than alone.",
        arms=tuple(map(_large, (_ROCKET, _ALONE, _HEAVY))),
        ceiling=_HEAVY.name,
    ),
    _headline(
        id="rocket-beats-kd-on-large-data",
        text="There learning beside a booster makes a better light net than distilling a finished "
        "one.",
        arms=tuple(map(_large, (_ROCKET, _KD))),
    ),
)

CLAIMS = (
    *_HEADLINE,
    _claim(
        id="rocket-lifts-the-light-net",
        text="A light net (sum pooling, tables of width 2, MLP of 8) trained beside a booster "
        "(DIN, 12, 200-80), sharing nothing, ranks clicks better than alone.",
        arms=(_ROCKET, _ALONE, _HEAVY),
        ceiling=_HEAVY.name,
        source=f"{_PAPER}, its abstract; nothing shared as in the released code for clicks",
    ),
    _claim(
        id="kd-lifts-the-light-net",
        text="The same light net distilled from the finished booster (T = 4) is better than alone.",
        arms=(_KD, _ALONE, _HEAVY),
        ceiling=_HEAVY.name,
        source=f"{_PAPER}, its baseline",
    ),
    _claim(
        id="rocket-beats-kd",
        text="Learning beside a booster makes a better light net than distilling a finished one.",
        arms=(_ROCKET, _KD),
    ),
    _claim(
        id="rocket-lifts-a-regularised-light-net",
        text="It is not regularisation: Rocket is better than the light net alone where both have "
        "dropout and decay tuned.",
        arms=(_ROCKET_TUNED, _TUNED),
        most_trials=8,
        halving=2,
        **_CONTROL,
    ),
    _claim(
        id="rocket-beats-distillation-by-logits",
        text="It is not the form of the hint: Rocket is better than distilling the logits of a "
        "finished booster by the same squared error.",
        arms=(_ROCKET, _BY_LOGITS),
        **_CONTROL,
    ),
    _claim(
        id="the-booster-must-be-heavy",
        text="It is not company alone: a light net beside a booster is better than beside another "
        "light net.",
        arms=(_ROCKET, _TWINS),
        **_CONTROL,
    ),
    _claim(
        id="kd-adds-to-rocket",
        text="Rocket with the hints of a finished booster besides is better than Rocket.",
        arms=(_BOTH, _ROCKET),
    ),
    _claim(
        id="shared-tables-lift-a-wide-light-net",
        text="A light net with tables as wide as the booster's is better upon shared tables, "
        "beside the booster, than alone.",
        arms=(_SHARED, _WIDE_ALONE, _HEAVY),
        ceiling=_HEAVY.name,
        source=f"{_PAPER}, its abstract",
    ),
    _claim(
        id="sharing-helps",
        text="Sharing the tables makes that light net better than sharing nothing, beside a "
        "booster.",
        arms=(_SHARED, _APART),
        source=f"{_PAPER}, its ablation without parameter sharing",
    ),
    _claim(
        id="the-block-lifts-the-light-net",
        text="With the gradient block that light net is better than without, tables shared.",
        arms=(_SHARED, _FREE),
        source=_ABLATION,
    ),
    _claim(
        id="the-block-guards-the-booster",
        text="With the gradient block the booster is better than without, tables shared.",
        arms=(_SHARED, _FREE),
        source=_ABLATION,
        metric="booster_auc",
    ),
    _claim(
        id="a-shared-bottom-lifts-a-small-din",
        text="A DIN with a small MLP (8) is better upon the booster's own bottom than alone.",
        arms=(_BOTTOM, _SMALL, _HEAVY),
        ceiling=_HEAVY.name,
        source=f"{_PAPER}, its image nets with shared lower blocks",
    ),
    _claim(
        id="the-light-net-is-faster",
        text="The light net takes less time than the booster to score 100 candidates.",
        arms=(
            Arm("light", "sum-pool", {**_LENGTH, **_LIGHT}),
            Arm("booster", "din", {**_LENGTH, **_BOOSTER}),
            Arm("DIN as `recops train` has it", "din"),
        ),
        metric="time_ratio",
        direction="lower",
        experiment=_STOPWATCH,
        source="ours: the reason for a light net",
        reported="nothing for these nets",
    ),
)
