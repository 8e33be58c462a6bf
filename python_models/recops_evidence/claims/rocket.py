"""Rocket Launching: Zhou et al., A Universal and Efficient Framework for Training Well-performing
Light Net, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from recops_evidence.claims._nets import of_net
from recops_evidence.experiments.click_runs import SyntheticClicks
from recops_evidence.experiments.synthetic_tastes import SyntheticTastes
from recops_evidence.experiments.teacher import FIRST, TeacherFirst
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import ArmSettings, Setting

_PAPER = "arXiv 1708.04106"
_NO_FIGURES = "the order of its tables; we did not read the figures"

# The booster is a DIN with the sizes of the other papers' claims.
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
# Narrower than the booster's tables, as in the released code; sharing needs equal widths.
_LIGHT: Mapping[str, Setting] = {"width": 2, "hidden": "8", "dropout": 0.0}
_WIDE: Mapping[str, Setting] = {**_LIGHT, "width": 12}
_SMALL_DIN: Mapping[str, Setting] = {**_BOOSTER, **_WIDE}
_RATE = {"learning_rate": (3e-3, 1e-2)}
# The light net's best learning rate, so that the trials of a rocket tune its hint.
_AT = {**_SETTINGS, "learning_rate": 1e-2}
_HINT = {"hint_weight": (0.1, 1.0)}
# At T = 4, a weight of 8 is about as strong as a weight of 1 on the error of logits.
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


_HEAVY = Arm("booster alone", "din", {**_SETTINGS, **_BOOSTER}, _RATE)
_ROCKET = _rocket("rocket", _LIGHT, share="none")
_WITH_TEACHER = _rocket(
    "rocket + KD", _LIGHT, _TEACHING, share="none", hint_weight=0.1, teacher=FIRST
)
_KD = Arm(
    "KD",
    "rocket",
    {**_AT, "light": "sum-pool", **of_net("light", _LIGHT), "booster": "none", "teacher": FIRST},
    _TEACHING,
)
_WIDE_ALONE = Arm("wide light alone", "sum-pool", {**_SETTINGS, **_WIDE}, _RATE)
_SHARED = _rocket("rocket, tables shared", _WIDE)
_UNSHARED = _rocket("rocket, wide, nothing shared", _WIDE, share="none")
_FREE = _rocket("rocket, tables shared, no block", _WIDE, block="false")
_SMALL = Arm("small DIN alone", "din", {**_SETTINGS, **_SMALL_DIN}, _RATE)
_BOTTOM = _rocket("rocket, bottom shared", _SMALL_DIN, share="bottom", light="din")

_BY_LOGITS = Arm(
    "distilled by logits",
    "rocket",
    {**_KD.settings, "teacher_hint": "logit-mse"},
    {"teacher_weight": (0.1, 1.0)},
)
# The booster has the settings of the light net.
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


_claim = partial(
    Claim,
    source=_PAPER,
    reported=_NO_FIGURES,
    data=("ml-100k",),
    metric="auc",
    experiment=TeacherFirst("din", _pairs({**_AT, **_BOOSTER})),
    group="ablations",
)
_CONTROL: Mapping[str, Any] = {
    "source": "our control, which the paper's claim implies",
    "reported": "nothing",
    "in_quick": False,
}
_ABLATION = f"{_PAPER}, its ablation without gradient block"

# Positive control: a net of width 1 and two hidden units can represent the clicks, but often fails
# to learn them alone. All arms tune the learning rate; the hint's weight is fixed.
_TASTES = SyntheticClicks((("two tastes", SyntheticTastes()),))
_TINY: Mapping[str, Setting] = {"width": 1, "hidden": "2", "dropout": 0.0, "table_std": 0.1}
_SMALL_BOOSTER: Mapping[str, Setting] = {**_TINY, "width": 6, "hidden": "16"}
_TASTES_TRAINING: Mapping[str, Setting] = {
    "batch": 128,
    "epochs": 4,
    "patience": 4,
    "weight_decay": 0.0,
}
_TASTES_RATE = {"learning_rate": (0.03, 0.1, 0.3)}
_CONTROLS = (
    Claim(
        id="a-booster-helps-a-net-that-often-fails-alone",
        text="If a light net can represent the clicks but often fails to learn them, it is better "
        "if trained with a booster than alone.",
        source="ours: clicks that depend on the product of two sides",
        reported="nothing",
        arms=(
            Arm(
                "rocket, tiny light net",
                "rocket",
                {
                    **_TASTES_TRAINING,
                    "light": "sum-pool",
                    **of_net("light", _TINY),
                    "booster": "sum-pool",
                    **of_net("booster", _SMALL_BOOSTER),
                    "share": "none",
                    "hint_weight": 1.0,
                },
                _TASTES_RATE,
            ),
            Arm("tiny light net alone", "sum-pool", {**_TASTES_TRAINING, **_TINY}, _TASTES_RATE),
            Arm(
                "booster of tastes alone",
                "sum-pool",
                {**_TASTES_TRAINING, **_SMALL_BOOSTER},
                _TASTES_RATE,
            ),
        ),
        data=("two tastes",),
        metric="auc",
        experiment=_TASTES,
        group="control",
        in_quick=False,
        seeds=30,
        ceiling="booster of tastes alone",
    ),
)

CLAIMS = (
    *_CONTROLS,
    _claim(
        id="rocket-beats-kd",
        text="Joint training with a booster gives a better light net than distillation from a "
        "finished one.",
        arms=(_ROCKET, _KD),
    ),
    _claim(
        id="rocket-beats-distillation-by-logits",
        text="The gain is not the form of the hint: Rocket is better than distillation of a "
        "finished booster's logits by the same squared error.",
        arms=(_ROCKET, _BY_LOGITS),
        **_CONTROL,
    ),
    _claim(
        id="the-booster-must-be-heavy",
        text="The booster must be heavy: a light net trained with a booster is better than a light "
        "net trained with another light net.",
        arms=(_ROCKET, _TWINS),
        **_CONTROL,
    ),
    _claim(
        id="kd-adds-to-rocket",
        text="Rocket with additional hints of a finished booster is better than Rocket.",
        arms=(_WITH_TEACHER, _ROCKET),
    ),
    _claim(
        id="shared-tables-lift-a-wide-light-net",
        text="A light net that shares its tables with the booster is better than a light net of "
        "equal width alone.",
        arms=(_SHARED, _WIDE_ALONE, _HEAVY),
        ceiling=_HEAVY.name,
        source=f"{_PAPER}, its abstract",
    ),
    _claim(
        id="sharing-helps",
        text="With a booster, shared tables give a better light net than separate tables.",
        arms=(_SHARED, _UNSHARED),
        source=f"{_PAPER}, its ablation without parameter sharing",
    ),
    _claim(
        id="the-block-lifts-the-light-net",
        text="With shared tables, the light net is better with the gradient block than without.",
        arms=(_SHARED, _FREE),
        source=_ABLATION,
    ),
    _claim(
        id="the-block-guards-the-booster",
        text="With shared tables, the booster is better with the gradient block than without.",
        arms=(_SHARED, _FREE),
        source=_ABLATION,
        metric="booster_auc",
    ),
    _claim(
        id="a-shared-bottom-lifts-a-small-din",
        text="A DIN with a small MLP (8) on the booster's shared bottom is better than alone.",
        arms=(_BOTTOM, _SMALL, _HEAVY),
        ceiling=_HEAVY.name,
        source=f"{_PAPER}, its image nets with shared lower blocks",
    ),
)
