"""DIEN: Zhou et al., Deep Interest Evolution Network for Click-Through Rate Prediction, 2019."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.claims._on_clicks import GRID, ONCE, SIZES
from recops_evidence.experiments.click_runs import ClickRuns, MadeUpClicks
from recops_evidence.experiments.synthetic_interests import SyntheticInterests
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

_PAPER = "arXiv 1809.03672"
_ELSEWHERE = "5 runs each (its released code chooses the checkpoint on test); other data than here"

# What is an arm's own is tuned too: the weight of the auxiliary loss, or else the warm-up.
_WEIGHT = {"auxiliary_weight": (0.1, 0.3, 1.0)}
_WARM_UP = {"warmup_epochs": (0.1, 0.3, 1.0)}


def _arms(**changes: Setting) -> Mapping[str, Arm]:
    """The models that the paper compares, its parts, and what they are controlled by."""

    def arm(name: str, model: str, **settings: Setting) -> Arm:
        own = _WEIGHT if settings.get("auxiliary", "none") != "none" else _WARM_UP
        net = {**SIZES, **changes, **settings}
        if model == "sum-pool":
            del net["attention_hidden"]
        return Arm(name, model, net, {**GRID, **own})

    def dien(name: str, evolution: str, auxiliary: str = "none", **settings: Setting) -> Arm:
        return arm(name, "dien", evolution=evolution, auxiliary=auxiliary, **settings)

    arms = (
        arm("sum pooling", "sum-pool"),
        arm("mean pooling", "din", attention_weights="uniform"),
        arm("DIN", "din"),
        arm("DIN, raw weights", "din", attention_weights="raw"),
        arm("GRU + attention", "gru-attention"),
        *(dien(cell.upper(), cell) for cell in ("aigru", "agru", "augru")),
        dien("AUGRU, released", "augru", update="or"),
        dien("DIEN", "augru", "inner"),
        dien("DIEN, released", "augru", "inner", update="or"),
        dien("DIEN, uniform attention", "augru", "inner", attention_weights="uniform"),
        dien("DIEN, auxiliary MLP", "augru", "mlp", auxiliary_hidden="100,50"),
        dien("DIN + auxiliary loss", "none", "inner", extractor="none"),
    )
    return {each.name: each for each in arms}


_claim = partial(
    Claim,
    source=f"{_PAPER}, AUC on the public data sets and its ablation",
    metric="auc",
    experiment=ClickRuns(last=40),
    most_trials=8,
    halving=2,
    glanced=False,
)


def _reported(electronics: str, books: str) -> str:
    return f"AUC {electronics} on Amazon Electronics, {books} on Amazon Books, {_ELSEWHERE}"


def _headline(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """On a million events: six arms."""
    claim = partial(_claim, group="headline", data=("ml-1m",), tuning_share=1 / 6)
    return (
        claim(
            id="dien-beats-din-on-large-data",
            text="On a million events DIEN ranks likes better than DIN.",
            reported=_reported(".7792 against .7603", ".8453 against .7880"),
            arms=(arms["DIEN"], arms["DIN"]),
        ),
        claim(
            id="dien-as-released-beats-din-on-large-data",
            text="There DIEN beats DIN where its update gate is what the released code computes.",
            source="ours, from ml-100k's parts; the paper's figures are of that code (inferred)",
            reported=_reported(".7792 against .7603", ".8453 against .7880"),
            arms=(arms["DIEN, released"], arms["DIN"]),
        ),
        claim(
            id="din-beats-sum-pooling-on-large-data",
            text="There target attention to a history (DIN) beats its sum (BaseModel).",
            reported=_reported(".7603 against .7435", ".7880 against .7686"),
            arms=(arms["DIN"], arms["sum pooling"]),
        ),
        claim(
            id="the-auxiliary-loss-helps-on-large-data",
            text="There DIEN is better with the auxiliary loss than without.",
            reported=_reported(".7792 against .7640", ".8453 against .7911"),
            arms=(arms["DIEN"], arms["AUGRU"]),
        ),
        claim(
            id="the-auxiliary-loss-is-not-all-on-large-data",
            text="There DIEN is better than DIN with the same auxiliary loss upon its events.",
            source="a control of ours",
            reported="nothing",
            arms=(arms["DIEN"], arms["DIN + auxiliary loss"]),
        ),
        claim(
            id="attention-moves-the-states-on-large-data",
            text="It is the candidate that counts: there DIEN is better than with uniform "
            "attention.",
            source="a control of ours",
            reported="nothing",
            arms=(arms["DIEN"], arms["DIEN, uniform attention"]),
        ),
    )


def _parts(prefix: str, data: str, arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """What the paper says of the parts of DIN and DIEN, and what it leaves to ask."""
    claim = partial(_claim, group=f"{prefix}parts", data=(data,))
    ours = partial(claim, source="a control of ours", reported="nothing")
    return (
        claim(
            id=f"{prefix}dien-beats-din",
            text="DIEN (AUGRU upon a GRU with the auxiliary loss) ranks clicks better than DIN.",
            reported=_reported(".7792 against .7603", ".8453 against .7880"),
            arms=(arms["DIEN"], arms["DIN"]),
            glanced=not prefix,
        ),
        claim(
            id=f"{prefix}din-beats-sum-pooling",
            text="Target attention to a history (DIN) ranks clicks better than its sum "
            "(BaseModel).",
            reported=_reported(".7603 against .7435", ".7880 against .7686"),
            arms=(arms["DIN"], arms["sum pooling"]),
            glanced=not prefix,
        ),
        ours(
            id=f"{prefix}din-beats-mean-pooling",
            text="It is the candidate that counts: DIN with the weights of its paper (no softmax) "
            "is better than the mean.",
            arms=(arms["DIN, raw weights"], arms["mean pooling"]),
        ),
        claim(
            id=f"{prefix}the-auxiliary-loss-helps",
            text="With the auxiliary loss DIEN is better than without.",
            reported=_reported(".7792 against .7640", ".8453 against .7911"),
            arms=(arms["DIEN"], arms["AUGRU"]),
        ),
        ours(
            id=f"{prefix}the-auxiliary-loss-is-not-all",
            text="DIEN is better than DIN with the same auxiliary loss upon its events: it is not "
            "that loss alone.",
            arms=(arms["DIEN"], arms["DIN + auxiliary loss"]),
        ),
        claim(
            id=f"{prefix}augru-beats-gru-and-attention",
            text="Attention inside the recurrence (AUGRU) is better than upon its states, without "
            "the auxiliary loss.",
            reported=_reported(".7640 against .7605", ".7911 against .7890"),
            arms=(arms["AUGRU"], arms["GRU + attention"]),
        ),
        claim(
            id=f"{prefix}augru-beats-agru",
            text="Scaling the update gate (AUGRU) is better than replacing it (AGRU).",
            reported=_reported(".7640 against .7628", ".7911 against .7890"),
            arms=(arms["AUGRU"], arms["AGRU"]),
        ),
        claim(
            id=f"{prefix}agru-beats-aigru",
            text="Attention as the gate (AGRU) is better than upon the inputs (AIGRU).",
            reported=_reported(".7628 against .7606", ".7890 against .7892"),
            arms=(arms["AGRU"], arms["AIGRU"]),
        ),
        ours(
            id=f"{prefix}the-papers-update-beats-the-released-one",
            text="AUGRU as the paper writes it is better than as its code has it.",
            arms=(arms["AUGRU"], arms["AUGRU, released"]),
        ),
        ours(
            id=f"{prefix}an-mlp-scores-the-next-event-better",
            text="The released code's MLP makes a better auxiliary loss than inner products.",
            arms=(arms["DIEN, auxiliary MLP"], arms["DIEN"]),
        ),
    )


def _short_histories(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """Toys, the paper's kind of data: many users of few events, all of them clicks."""
    claim = partial(_claim, group="toys", data=("toys-ctr",), tuning_share=1 / 6)
    return (
        claim(
            id="toys-dien-beats-din",
            text="Where histories are short, DIEN ranks clicks better than DIN.",
            reported=_reported(".7792 against .7603", ".8453 against .7880"),
            arms=(arms["DIEN"], arms["DIN"]),
        ),
        claim(
            id="toys-the-auxiliary-loss-helps",
            text="There DIEN is better with the auxiliary loss than without.",
            reported=_reported(".7792 against .7640", ".8453 against .7911"),
            arms=(arms["DIEN"], arms["AUGRU"]),
        ),
        claim(
            id="toys-the-auxiliary-loss-is-not-all",
            text="There DIEN is better than DIN with the same auxiliary loss upon its events.",
            source="a control of ours",
            reported="nothing",
            arms=(arms["DIEN"], arms["DIN + auxiliary loss"]),
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

# A state is as wide as an event, 36 everywhere: of item, year, genres and sign on ml-1m, of item,
# year and sign on ml-100k, of item and category on toys-ctr, of places alone on nyc-checkins.
CLAIMS = (
    *_headline(_arms(width=9, **ONCE)),
    *_parts("", "ml-100k", _arms(width=12)),
    *_parts("months-", "nyc-checkins", _arms(width=36)),
    # Its labels are 93 % clicks: every event is one here, beside items never met.
    *_short_histories(_arms(width=18, epochs=2, feedback="implicit")),
    *_CONTROLS,
)
