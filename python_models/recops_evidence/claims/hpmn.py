"""HPMN: Ren et al., Lifelong Sequential Modeling with Personalized Memorization, SIGIR 2019."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

from recops_evidence.claims._on_clicks import AS_GOOD
from recops_evidence.claims._on_long_histories import (
    DIEN,
    DIN,
    HPMN,
    ONE_PERIOD,
    PART_RUNS,
    SUM,
    TUNED_ON,
    among_long_arms,
    by_length,
    by_share,
    headline_on_long,
    hpmn,
    long_arm,
    over_months,
)
from recops_evidence.experiments.click_runs import ClickRuns, SyntheticClicks
from recops_evidence.experiments.synthetic_lags import SyntheticLags
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

_PAPER = "arXiv 1905.00758"
_ABSTRACT = "that it is better, on three other data sets; we did not read the figures"


_headline = partial(headline_on_long, source=f"{_PAPER}, its abstract", reported=_ABSTRACT)

_CLAIMED = (
    _headline(
        id="hpmn-beats-sum-pooling",
        text="HPMN, with slots of periods 1 to 16 events, ranks better than the sum of the "
        "history.",
        arms=among_long_arms(HPMN, SUM),
        in_quick=True,
    ),
    _headline(
        id="hpmn-beats-din",
        text="HPMN ranks better than DIN, which reads every event with the candidate.",
        arms=among_long_arms(HPMN, DIN),
    ),
    _headline(
        id="hpmn-beats-dien",
        text="HPMN ranks better than DIEN with the released code's gate and no auxiliary loss.",
        arms=among_long_arms(HPMN, DIEN),
    ),
    _headline(
        id="hpmn-beats-a-stack-of-grus",
        text="The periods matter: HPMN ranks better than slots that are updated at every event.",
        arms=among_long_arms(HPMN, ONE_PERIOD),
        source="our control, which the paper's claim implies",
        reported="nothing",
    ),
)

_HEADLINE = by_share(_CLAIMED, TUNED_ON)

# Ablations read half of the events, of more users.
_SMALL: Mapping[str, Setting] = {"max_len": 100}
_BASE = hpmn("HPMN", **_SMALL)


def _variant(name: str, /, **settings: Setting) -> Arm:
    return hpmn(name, **{**_SMALL, **settings})


_COVARIANCE_WEIGHTS = (1.28e-4, 1.28e-3, 1.28e-2)
"""One tenth of the released strength, that strength, and ten times that strength."""


def _six_trials(name: str, grid: Mapping[str, Sequence[Setting]], **settings: Setting) -> Arm:
    """Arm tuned over two learning rates and the three values of ``grid``."""
    arm = _variant(name, table_std=1.0, weight_decay=0.01, **settings)
    return dataclasses.replace(arm, grid={"learning_rate": (3e-3, 1e-2), **grid})


_ablation = partial(
    Claim,
    source="our control, of the released code's sizes",
    reported="nothing",
    group="ablations",
    data=("assist2017",),
    metric="auc",
    experiment=PART_RUNS,
    in_quick=False,
    most_trials=4,
    halving=2,
    tuning_seeds=2,
    widenings=1,
)

_ABLATIONS = (
    _ablation(
        id="more-slots-help",
        text="Five slots rank better than one, a GRU's last state.",
        arms=(
            _BASE,
            _variant("HPMN, 1 slot", splits=""),
            _variant("HPMN, 3 slots", splits="2,2"),
        ),
    ),
    _ablation(
        id="wider-periods-help",
        text="Periods of 1, 3, 9, 27 and 81 events rank better than periods of 1, 2, 4, 8 and 16.",
        arms=(
            _variant("HPMN, splits of 3", splits="3,3,3,3"),
            _BASE,
            _variant("HPMN, splits of 5", splits="5,5,5,5"),
        ),
    ),
    _ablation(
        id="more-hops-help",
        text="Reading in three hops is better than in one.",
        arms=(
            _BASE,
            *(_variant(f"HPMN, hops {hops}", hops=hops) for hops in (1, 2, 4)),
        ),
    ),
    _ablation(
        id="the-covariance-loss-helps",
        text="A covariance loss of 10⁻³ is better than none.",
        arms=(
            _variant("HPMN, covariance 1e-3", covariance="squared", covariance_weight=1e-3),
            _variant("HPMN, covariance 0", covariance_weight=0.0),
            _BASE,
        ),
    ),
    _ablation(
        id="the-released-covariance-loss-helps",
        text="The released code's covariance loss, its weight chosen on validation, is better than "
        "none.",
        source="arXiv 1905.00758, its released code: a weight of 10⁻⁵ on a sum over 128 users",
        arms=(
            _six_trials("HPMN, covariance", {"covariance_weight": _COVARIANCE_WEIGHTS}),
            _six_trials("HPMN, covariance 0", {"dropout": (0.0, 0.3, 0.6)}, covariance_weight=0.0),
        ),
        most_trials=None,
        halving=0,
        widenings=0,
    ),
    _ablation(
        id="the-candidate-may-stay-out",
        text="A memory without the candidate is as good as a memory with the candidate as its last "
        "event (the released code), within .003.",
        arms=(_BASE, _variant("HPMN, candidate last", compat="target")),
        allowance=AS_GOOD,
    ),
)

_MONTHS = over_months(
    _ABLATIONS, "more-slots-help", "wider-periods-help", "the-candidate-may-stay-out"
)

_BY_LENGTH = {length: hpmn(f"HPMN, T = {length}", max_len=length) for length in (50, 200, 1000)}
_LENGTHS = by_length(
    partial(
        _ablation,
        source=f"{_PAPER}, its abstract",
        reported=_ABSTRACT,
    ),
    _BY_LENGTH,
)

_UNORDERED = (
    _ablation(
        id="without-order-a-memory-gains-nothing",
        text="If events have no order, their mean is as good as a memory, within .005.",
        arms=(long_arm("mean pooling", "din", attention_weights="uniform", **_SMALL), _BASE),
        data=("anime",),
        allowance=0.005,
        experiment=ClickRuns(users=1000, last=10, least_events=50, held_out=10),
        group="unordered",
    ),
)

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

_CONTROLS = (
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

CLAIMS = (*_CONTROLS, *_HEADLINE, *_ABLATIONS, *_MONTHS, *_LENGTHS, *_UNORDERED)
