"""HPMN: Ren et al., Lifelong Sequential Modeling with Personalized Memorization, SIGIR 2019."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.experiments.click_runs import SyntheticClicks
from recops_evidence.experiments.synthetic_lags import SyntheticLags
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

# Positive control: the mechanism exists by construction, so a loss here is a bug.
_LAGS = SyntheticClicks(tuple((f"signal {lag} events back", SyntheticLags(lag)) for lag in (1, 28)))
_NEAR, _FAR = (name for name, _ in _LAGS.laws)
_ON_LAGS: Mapping[str, Setting] = {
    "batch": 64,
    "epochs": 20,
    "patience": 20,
    "width": 16,
    "hidden": "32",
    "dropout": 0.0,
    "weight_decay": 0.0,
    "table_std": 0.3,
}


def _lagging(name: str, model: str = "hpmn", **settings: Setting) -> Arm:
    return Arm(name, model, {**_ON_LAGS, **settings}, {"learning_rate": (3e-3, 1e-2)})


_PERIODS = _lagging("HPMN, periods 1 to 64", splits="4,4,4")
_control = partial(
    Claim,
    source="ours: clicks that depend on the order of two events at a fixed distance",
    reported="nothing",
    metric="auc",
    experiment=_LAGS,
    group="control",
    in_quick=False,
    widenings=0,
)

CLAIMS = (
    _control(
        id="periods-reach-back",
        text="If a click depends on events 28 to 35 steps back, slots of periods 1 to 64 are "
        "better than a GRU's last state, by at least .1.",
        arms=(
            _PERIODS,
            _lagging("GRU, last state", splits=""),
            _lagging("GRUs, all periods 1", splits="1,1,1"),
        ),
        data=(_FAR,),
        minimum=0.1,
        in_quick=True,
    ),
    _control(
        id="periods-lose-nothing-nearby",
        text="If a click depends on the last event, they are as good as a GRU's last state, within "
        ".01.",
        arms=(_PERIODS, _lagging("GRU, last state", splits="")),
        data=(_NEAR,),
        allowance=0.01,
    ),
    _control(
        id="periods-read-what-a-sum-cannot",
        text="They are better than sum pooling, which ignores order, by at least .2.",
        arms=(_PERIODS, _lagging("sum pooling", "sum-pool")),
        data=(_NEAR, _FAR),
        minimum=0.2,
    ),
)
