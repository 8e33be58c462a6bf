"""MIMN: Pi et al., Practice on Long Sequential User Behavior Modeling for CTR Prediction, 2019."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial

from recops_evidence.experiments.click_runs import SyntheticClicks
from recops_evidence.experiments.synthetic_lags import SyntheticLags
from recops_evidence.experiments.synthetic_visits import SyntheticVisits
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

# Positive control: the mechanism exists by construction, so a loss here is a bug.
_SYNTHETIC = SyntheticClicks(
    (
        ("signal 28 events back", SyntheticLags(28)),
        ("interests visited long ago", SyntheticVisits(100)),
        ("eight interests", SyntheticVisits(64, interests=8, examples=30_000)),
    )
)
_FAR, _VISITS, _EIGHT = (name for name, _ in _SYNTHETIC.laws)
_SYNTHETIC_SETTINGS: Mapping[str, Setting] = {
    "batch": 64,
    "epochs": 20,
    "patience": 20,
    "width": 16,
    "hidden": "32",
    "dropout": 0.0,
    "weight_decay": 0.0,
    "table_std": 0.3,
}


def _reader(name: str, model: str = "mimn", **settings: Setting) -> Arm:
    sizes: Mapping[str, Setting] = {"usage_scale": 50.0} if model == "mimn" else {}
    attention = {"attention_hidden": "16"} if model in ("mimn", "din") else {}
    rates = {"learning_rate": (3e-3, 1e-2)}
    return Arm(name, model, {**_SYNTHETIC_SETTINGS, **attention, **sizes, **settings}, rates)


_READER, _ONE_SLOT = _reader("MIMN, 8 slots"), _reader("MIMN, 1 slot", slots=1)
_LAST_STATE = _reader("GRU, last state", "hpmn", splits="", state=16)
_control = partial(
    Claim,
    source="ours: clicks that depend on the order of two events long ago",
    reported="nothing",
    data=(_FAR,),
    metric="auc",
    experiment=_SYNTHETIC,
    group="control",
    in_quick=False,
    widenings=0,
)
_visits = partial(
    _control,
    source="ours: clicks that depend on the last visit to one interest of four",
    data=(_VISITS,),
)

CLAIMS = (
    _control(
        id="slots-reach-back",
        text="If a click depends on events 28 to 35 steps back, a memory of 8 slots is better than "
        "a single slot, which every event overwrites, by at least .1.",
        arms=(_READER, _ONE_SLOT),
        minimum=0.1,
        in_quick=True,
    ),
    _control(
        id="slots-reach-further-back-than-a-gru",
        text="If a click depends on events 28 to 35 steps back, a memory of 8 slots is better than "
        "the last state of a GRU of equal width, by at least .1.",
        arms=(_READER, _LAST_STATE),
        minimum=0.1,
    ),
    _visits(
        id="a-memory-reads-what-a-sum-cannot",
        text="If a click follows the last visit to the candidate's interest, a memory is better "
        "than sum pooling and DIN, which ignore order, by at least .2.",
        arms=(_READER, _reader("sum pooling", "sum-pool"), _reader("DIN", "din")),
        minimum=0.2,
    ),
    _visits(
        id="slots-keep-interests-apart",
        text="If a click follows the last visit to one of four interests, eight slots are better "
        "than one.",
        arms=(_READER, _ONE_SLOT, _LAST_STATE),
        group="visits",
    ),
    # The last items of four interests are four bits, which the controller's state also holds.
    _control(
        id="slots-keep-eight-interests-apart",
        text="If a click follows the last visit to one of eight interests, eight slots are better "
        "than one.",
        source="ours: clicks that depend on the last visit to one interest of eight",
        arms=tuple(
            dataclasses.replace(arm, grid={"learning_rate": (3e-3, 1e-2, 3e-2)})
            for arm in (_READER, _ONE_SLOT)
        ),
        data=(_EIGHT,),
        group="eight",
        seeds=10,
        halving=2,
    ),
)
