"""MIMN: Pi et al., Practice on Long Sequential User Behavior Modeling for CTR Prediction, 2019."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial

from recops_evidence.claims._on_clicks import AS_GOOD
from recops_evidence.claims._on_long_histories import (
    ATTENTION,
    DIEN,
    DIN,
    MIMN,
    PART_RUNS,
    SUM,
    TUNED_ON,
    among_long_arms,
    by_length,
    by_share,
    headline_on_long,
    long_arm,
    mimn,
    over_months,
)
from recops_evidence.experiments.click_runs import ClickRuns, SyntheticClicks
from recops_evidence.experiments.synthetic_lags import SyntheticLags
from recops_evidence.experiments.synthetic_visits import SyntheticVisits
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

_PAPER = "arXiv 1905.09248"
_ELSEWHERE = (
    "3 runs each, with the candidate in Taobao's histories (confirmed); other data than here"
)


_headline = partial(headline_on_long, source=f"{_PAPER}, AUC on the public data sets")


def _reported(taobao: str, books: str) -> str:
    return (
        f"AUC .9179 against {taobao} on Taobao, .7593 against {books} on Amazon Books, {_ELSEWHERE}"
    )


_CLAIMED = (
    _headline(
        id="mimn-beats-sum-pooling",
        text="A memory of 8 slots ranks better than the sum of the history.",
        reported=_reported(".8709", ".7367"),
        arms=among_long_arms(MIMN, SUM),
        in_quick=True,
    ),
    _headline(
        id="mimn-beats-din",
        text="MIMN ranks better than DIN, which reads every event with the candidate.",
        reported=_reported(".8833", ".7419"),
        arms=among_long_arms(MIMN, DIN),
    ),
    _headline(
        id="mimn-beats-dien",
        text="MIMN ranks better than DIEN with the released code's gate and no auxiliary loss.",
        reported=_reported(".9081", ".7481"),
        arms=among_long_arms(MIMN, DIEN),
    ),
    _headline(
        id="mimn-beats-gru-and-attention",
        text="MIMN ranks better than attention to the states of two GRUs.",
        source=f"{_PAPER}, AUC on the public data sets, row ARNN (inferred: the closest row)",
        reported=_reported(".9066", ".7420"),
        arms=among_long_arms(MIMN, ATTENTION),
    ),
)

_HEADLINE = by_share(_CLAIMED, TUNED_ON)

# Ablations read half of the events, of more users.
_SMALL: Mapping[str, Setting] = {"max_len": 100}
_BASE = mimn("MIMN", **_SMALL)


def _variant(name: str, /, **settings: Setting) -> Arm:
    return mimn(name, **{**_SMALL, **settings})


_ablation = partial(
    Claim,
    source=f"{_PAPER}, its ablations",
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
_controlled = partial(_ablation, source="our control", reported="nothing")
_BY_SLOTS = {slots: _variant(f"MIMN, {slots} slots", slots=slots) for slots in (2, 16)}
# The paper's row has neither writes moved by usage nor a regulariser.
_PLAIN = _variant("MIMN, no utilization", utilization="none", utilization_weight=0.0)
_HALVES = (
    _variant("MIMN, no regulariser", utilization_weight=0.0),
    _variant("MIMN, regulariser alone", utilization="none"),
)
_MUR = f"AUC .9112 against .9070 on Taobao, .7551 against .7486 on Amazon Books, {_ELSEWHERE}"
_MIU = f"AUC .9179 against .9112 on Taobao, .7593 against .7551 on Amazon Books, {_ELSEWHERE}"

_ABLATIONS = (
    _ablation(
        id="more-slots-help",
        text="Eight slots rank better than two.",
        reported="nothing on two; 4, 6 and 8 without the memory's additions have AUC .9046, .9052 "
        f"and .9070 on Taobao, .7522, .7503 and .7486 on Amazon Books, {_ELSEWHERE}",
        arms=(_BASE, _BY_SLOTS[2], _BY_SLOTS[16]),
    ),
    _ablation(
        id="utilization-helps",
        text="Writes moved by usage, as in the released code, are better than plain writes.",
        reported=_MUR,
        arms=(_BASE, _PLAIN, *_HALVES),
    ),
    _ablation(
        id="the-papers-utilization-helps",
        text="Writes weighted by usage, as in the paper, are better than plain writes.",
        reported=_MUR,
        arms=(_variant("MIMN, utilization paper", utilization="paper"), _PLAIN),
    ),
    _controlled(
        id="utilization-spreads-writes",
        text="Utilization spreads writes more evenly over slots: the variance of their shares is "
        "lower.",
        source="ours: the purpose of utilization",
        arms=(_BASE, _PLAIN, *_HALVES),
        metric="usage_variance",
        chosen_by="auc",
        direction="lower",
    ),
    _ablation(
        id="channels-help",
        text="MIMN is better with one channel per slot, of which the most read is updated.",
        reported=_MIU,
        arms=(_BASE, _variant("MIMN, no channels", induction_topk=0)),
    ),
    _controlled(
        id="choosing-channels-helps",
        text="The choice of a channel matters: updating one is better than updating all.",
        arms=(_BASE, _variant("MIMN, all channels move", induction_topk=8)),
    ),
    _controlled(
        id="static-keys-help",
        text="Static keys, which only the released code has, are better than none.",
        arms=(_BASE, _variant("MIMN, no static keys", key_memory="false")),
    ),
    _controlled(
        id="means-beat-sums",
        text="As input next to the memory, the mean of the events is better than their sum (the "
        "paper).",
        arms=(_BASE, _variant("MIMN, sums", pool="sum")),
    ),
    _controlled(
        id="the-candidate-may-stay-out",
        text="A memory without the candidate is as good as a memory with the candidate as its last "
        "event, within .003.",
        arms=(_BASE, _variant("MIMN, candidate last", compat="target")),
        allowance=AS_GOOD,
    ),
)

_MONTHS = over_months(
    _ABLATIONS,
    "more-slots-help",
    "utilization-helps",
    "channels-help",
    "the-candidate-may-stay-out",
)

_BY_LENGTH = {length: mimn(f"MIMN, T = {length}", max_len=length) for length in (50, 200, 1000)}
_LENGTHS = by_length(
    partial(
        _ablation,
        source=f"{_PAPER}, its industrial data",
        reported="AUC +.6 % from 100 to 1,000 events, of its base model; other data than here",
    ),
    _BY_LENGTH,
)

_UNORDERED = (
    _controlled(
        id="without-order-a-memory-gains-nothing",
        text="If events have no order, their mean is as good as a memory, within .005.",
        arms=(
            long_arm("mean pooling", "din", attention_weights="uniform", **_SMALL),
            _BASE,
        ),
        data=("anime",),
        allowance=0.005,
        experiment=ClickRuns(users=1000, last=10, least_events=50, held_out=10),
        group="unordered",
    ),
)

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

_CONTROLS = (
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

CLAIMS = (*_CONTROLS, *_HEADLINE, *_ABLATIONS, *_MONTHS, *_LENGTHS, *_UNORDERED)
