"""DIEN: Zhou et al., Deep Interest Evolution Network for Click-Through Rate Prediction, 2019."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_models.evidence.experiments.click_runs import ClickRuns, MadeUpClicks
from recops_models.evidence.experiments.synthetic_interests import SyntheticInterests
from recops_models.evidence.experiments.training import TRAINING
from recops_models.evidence.harness.claim import Arm, Claim
from recops_models.evidence.harness.experiment import Setting

_PAPER = "arXiv 1809.03672"
_ELSEWHERE = "5 runs each (its released code chooses the checkpoint on test); other data than here"

# Whatever defaults `recops train` has or comes to have.
_SETTINGS = {"batch": 512, "epochs": 10, "patience": 2}
_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (1e-3, 3e-3, 1e-2),
    "dropout": (0.0, 0.3),
    "weight_decay": (0.0, 0.01),
}
_DIN = Arm("DIN", "din", _SETTINGS, _GRID)
_SUM = Arm("sum pooling", "sum-pool", _SETTINGS, _GRID)
_MEAN = Arm("mean pooling", "din", {**_SETTINGS, "attention_weights": "uniform"}, _GRID)
_DATA = ("ml-100k", "lastfm", "toys-ctr")

_claim = partial(Claim, metric="auc", experiment=TRAINING, most_trials=8, halving=2)
_ATTENTION = (
    _claim(
        id="din-beats-sum-pooling",
        text="Target attention to a history (DIN) ranks clicks better than its sum (BaseModel).",
        source=f"{_PAPER}, AUC on the public data sets, rows BaseModel and DIN",
        reported=(
            "AUC .7603 ± .0003 against .7435 ± .0013 on Amazon Electronics (+.0168), "
            ".7880 ± .0022 against .7686 ± .0025 on Amazon Books (+.0194), 5 runs each (its "
            "released code chooses the checkpoint on test); neither data set is used here"
        ),
        arms=(_DIN, _SUM),
        data=_DATA,
    ),
    _claim(
        id="din-beats-mean-pooling",
        text="It is the candidate that counts: DIN ranks better than uniform attention too.",
        source="a control of ours, which the paper's claim implies: softmax weights are a mean's",
        reported="nothing",
        arms=(_DIN, _MEAN),
        data=_DATA,
    ),
)

# Small nets, for time: five or ten seconds a training on ml-100k.
_SMALL: Mapping[str, Setting] = {
    "batch": 1024,
    "epochs": 3,
    "patience": 3,
    "max_len": 20,
    "width": 8,
    "hidden": "64,32",
}


def _evolution(prefix: str, data: tuple[str, ...], **changes: Setting) -> tuple[Claim, ...]:
    """What the paper says of the parts of DIEN, and what it leaves to ask."""

    def arm(name: str, model: str, **settings: Setting) -> Arm:
        attention = {} if model == "sum-pool" else {"attention_hidden": "16"}
        return Arm(name, model, {**_SMALL, **changes, **attention, **settings}, _GRID)

    def dien(name: str, evolution: str, auxiliary: str = "none", **settings: Setting) -> Arm:
        return arm(name, "dien", evolution=evolution, auxiliary=auxiliary, **settings)

    base, din = arm("sum pooling", "sum-pool"), arm("DIN", "din")
    gru = arm("GRU + attention", "gru-attention")
    aigru, agru, augru = (dien(cell.upper(), cell) for cell in ("aigru", "agru", "augru"))
    released = dien("AUGRU, released", "augru", update="or")
    full = dien("DIEN", "augru", "inner")
    full_released = dien("DIEN, released update", "augru", "inner", update="or")
    full_mlp = dien("DIEN, auxiliary MLP", "augru", "mlp", auxiliary_hidden="32")
    din_too = dien("DIN + auxiliary loss", "none", "inner", extractor="none")

    claim = partial(
        _claim,
        source=f"{_PAPER}, AUC on the public data sets and its ablation",
        data=data,
        group=f"{prefix}evolution",
        glanced=False,
    )
    ours = partial(claim, source="a control of ours", reported="nothing")

    def reported(electronics: str, books: str) -> str:
        return f"AUC {electronics} on Amazon Electronics, {books} on Amazon Books, {_ELSEWHERE}"

    return (
        claim(
            id=f"{prefix}dien-beats-din",
            text="DIEN (AUGRU upon a GRU with the auxiliary loss) ranks clicks better than DIN.",
            reported=reported(".7792 against .7603", ".8453 against .7880"),
            arms=(full, din),
            glanced=not prefix,
        ),
        claim(
            id=f"{prefix}the-auxiliary-loss-helps",
            text="With the auxiliary loss DIEN is better than without.",
            reported=reported(".7792 against .7640", ".8453 against .7911"),
            arms=(full, augru),
        ),
        ours(
            id=f"{prefix}the-auxiliary-loss-is-not-all",
            text="DIEN is better than DIN with the same auxiliary loss upon its events: it is not "
            "that loss alone.",
            arms=(full, din_too),
        ),
        ours(
            id=f"{prefix}the-auxiliary-loss-helps-din",
            text="With the auxiliary loss upon its events DIN is better than without.",
            arms=(din_too, din),
        ),
        claim(
            id=f"{prefix}augru-beats-gru-and-attention",
            text="Attention inside the recurrence (AUGRU) is better than upon its states, without "
            "the auxiliary loss.",
            reported=reported(".7640 against .7605", ".7911 against .7890"),
            arms=(augru, gru),
        ),
        claim(
            id=f"{prefix}gru-and-attention-is-as-good-as-din",
            text="Two GRUs under the attention lose nothing to DIN, within .002.",
            reported=reported(".7605 against .7603", ".7890 against .7880"),
            arms=(gru, din, base),
            allowance=0.002,
        ),
        ours(
            id=f"{prefix}the-papers-update-beats-the-released-one",
            text="AUGRU as the paper writes it is better than as its code has it.",
            arms=(augru, released),
        ),
        claim(
            id=f"{prefix}the-auxiliary-loss-helps-the-released-update",
            text="The auxiliary loss makes the released code's AUGRU better too.",
            reported="the paper's figures are of the released code (inferred)",
            arms=(full_released, released),
        ),
        claim(
            id=f"{prefix}augru-beats-agru",
            text="Scaling the update gate (AUGRU) is better than replacing it (AGRU).",
            reported=reported(".7640 against .7628", ".7911 against .7890"),
            arms=(augru, agru),
        ),
        claim(
            id=f"{prefix}agru-beats-aigru",
            text="Attention as the gate (AGRU) is better than upon the inputs (AIGRU).",
            reported=reported(".7628 against .7606", ".7890 against .7892"),
            arms=(agru, aigru),
        ),
        ours(
            id=f"{prefix}an-mlp-scores-the-next-event-better",
            text="The released code's MLP makes a better auxiliary loss than inner products.",
            arms=(full_mlp, full),
        ),
    )


# The headline: sizes near the paper's, large data, all users.
_LARGE: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 2,
    "patience": 2,
    "max_len": 50,
    "width": 9,
    "hidden": "200,80",
    "attention_hidden": "80,40",
}
"""The history's item, year, genres and sign are 36 wide, and so are the states."""
_LARGE_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (3e-4, 1e-3, 3e-3, 1e-2),
    "dropout": (0.0, 0.3),
    "weight_decay": (0.0, 0.01),
}
# What is an arm's own is tuned too: the weight of the auxiliary loss, or else the warm-up.
_WEIGHT = {"auxiliary_weight": (0.1, 0.3, 1.0)}
_WARM_UP = {"warmup_epochs": (0.1, 0.3, 1.0)}


def _large(name: str, model: str, **settings: Setting) -> Arm:
    own = _WEIGHT if settings.get("auxiliary", "none") != "none" else _WARM_UP
    return Arm(name, model, {**_LARGE, **settings}, {**_LARGE_GRID, **own})


_LARGE_DIEN = _large("DIEN", "dien", auxiliary="inner")
_LARGE_DIN = _large("DIN", "din")
# Each user's last 40 events by the clock are examples; all are in the history.
_headline = partial(
    Claim,
    source=f"{_PAPER}, AUC on the public data sets and its ablation",
    group="headline",
    data=("ml-1m",),
    metric="auc",
    experiment=ClickRuns(last=40),
    glanced=False,
    most_trials=8,
    halving=2,
    tuning_share=1 / 6,
)
_ours = partial(_headline, source="a control of ours", reported="nothing")

_HEADLINE = (
    _headline(
        id="dien-beats-din-on-large-data",
        text="On a million events DIEN ranks likes better than DIN.",
        reported=f"AUC .7792 against .7603 on Amazon Electronics, {_ELSEWHERE}",
        arms=(_LARGE_DIEN, _LARGE_DIN),
    ),
    _headline(
        id="din-beats-mean-pooling-on-large-data",
        text="There DIN, with the weights of its paper (no softmax), ranks better than their mean.",
        reported="nothing: DIN is held against a sum",
        arms=(
            _large("DIN, raw weights", "din", attention_weights="raw"),
            _large("mean pooling", "din", attention_weights="uniform"),
        ),
    ),
    _headline(
        id="the-auxiliary-loss-helps-on-large-data",
        text="There DIEN is better with the auxiliary loss than without.",
        reported=f"AUC .7792 against .7640 on Amazon Electronics, {_ELSEWHERE}",
        arms=(_LARGE_DIEN, _large("AUGRU", "dien", auxiliary="none")),
    ),
    _ours(
        id="attention-moves-the-states-on-large-data",
        text="It is the candidate that counts: there DIEN is better than with uniform attention.",
        arms=(
            _LARGE_DIEN,
            _large("DIEN, uniform", "dien", auxiliary="inner", attention_weights="uniform"),
        ),
    ),
)

# The mechanism is there by construction: whoever loses here is at fault.
_CHAINS = MadeUpClicks((("interleaved interests", SyntheticInterests()),))
_ON_CHAINS: Mapping[str, Setting] = {
    "batch": 256,
    "epochs": 20,
    "patience": 20,
    "width": 16,
    "hidden": "32",
    "dropout": 0.0,
    "weight_decay": 0.0,
}


def _chain(name: str, model: str, **settings: Setting) -> Arm:
    return Arm(name, model, {**_ON_CHAINS, **settings}, {"learning_rate": (3e-3, 1e-2)})


_CHAIN_DIEN = _chain("DIEN", "dien", auxiliary="none", attention_hidden="16")
_control = partial(
    Claim,
    source="ours: clicks that depend on the order of one interest among others",
    reported="nothing",
    data=tuple(name for name, _ in _CHAINS.laws),
    metric="auc",
    experiment=_CHAINS,
    group="control",
    glanced=False,
)

_CONTROLS = (
    _control(
        id="dien-reads-interests-that-are-interleaved",
        text="Where a click follows the last event of the candidate's own interest, DIEN is better "
        "than DIN, which reads no order, by .1 or more.",
        arms=(_CHAIN_DIEN, _chain("DIN", "din", attention_hidden="16")),
        minimum=0.1,
    ),
    _control(
        id="augru-reads-them-better-than-gru-and-attention",
        text="There attention inside the recurrence is better than upon its states.",
        arms=(_CHAIN_DIEN, _chain("GRU + attention", "gru-attention", attention_hidden="16")),
    ),
)

CLAIMS = (
    *_ATTENTION,
    *_HEADLINE,
    *_evolution("", ("ml-100k", "lastfm")),
    # Its labels are 93 % clicks: every event is one here, beside items never met.
    *_evolution("toys-", ("toys-ctr",), feedback="implicit"),
    *_CONTROLS,
)
