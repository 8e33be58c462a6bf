"""DIEN: Zhou et al., Deep Interest Evolution Network for Click-Through Rate Prediction, 2019."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.claims._on_clicks import GRID, ONCE, SIZES
from recops_evidence.experiments.click_runs import ClickRuns, SyntheticClicks
from recops_evidence.experiments.synthetic_interests import SyntheticInterests
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

_PAPER = "arXiv 1809.03672"
_ELSEWHERE = "5 runs each (its released code chooses the checkpoint on test); other data than here"

# Each arm also tunes a setting of its kind: the weight of the auxiliary loss, or the warm-up.
_WEIGHT = {"auxiliary_weight": (0.1, 0.3, 1.0)}
_WARM_UP = {"warmup_epochs": (0.1, 0.3, 1.0)}


def _arms(**changes: Setting) -> Mapping[str, Arm]:
    """Return the models that the paper compares, variants of its parts, and controls."""

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
    in_quick=False,
)


def _reported(electronics: str, books: str) -> str:
    return f"AUC {electronics} on Amazon Electronics, {books} on Amazon Books, {_ELSEWHERE}"


def _headline(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """Return the claims on a million events."""
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
            text="On a million events DIEN with the released code's update gate beats DIN.",
            source="ours, from ml-100k's parts; the paper's figures are of that code (inferred)",
            reported=_reported(".7792 against .7603", ".8453 against .7880"),
            arms=(arms["DIEN, released"], arms["DIN"]),
        ),
        claim(
            id="din-beats-sum-pooling-on-large-data",
            text="On a million events target attention to a history (DIN) beats its sum "
            "(BaseModel).",
            reported=_reported(".7603 against .7435", ".7880 against .7686"),
            arms=(arms["DIN"], arms["sum pooling"]),
        ),
        claim(
            id="the-auxiliary-loss-helps-on-large-data",
            text="On a million events DIEN is better with the auxiliary loss than without.",
            reported=_reported(".7792 against .7640", ".8453 against .7911"),
            arms=(arms["DIEN"], arms["AUGRU"]),
        ),
        claim(
            id="the-auxiliary-loss-is-not-all-on-large-data",
            text="On a million events DIEN is better than DIN with the same auxiliary loss.",
            source="our control",
            reported="nothing",
            arms=(arms["DIEN"], arms["DIN + auxiliary loss"]),
        ),
        claim(
            id="attention-moves-the-states-on-large-data",
            text="The candidate matters: on a million events DIEN is better than with uniform "
            "attention.",
            source="our control",
            reported="nothing",
            arms=(arms["DIEN"], arms["DIEN, uniform attention"]),
        ),
    )


def _parts(prefix: str, data: str, arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """Return the paper's claims about the parts of DIN and DIEN, and controls."""
    claim = partial(_claim, group=f"{prefix}parts", data=(data,))
    controlled = partial(claim, source="our control", reported="nothing")
    return (
        claim(
            id=f"{prefix}dien-beats-din",
            text="DIEN (AUGRU over a GRU with the auxiliary loss) ranks clicks better than DIN.",
            reported=_reported(".7792 against .7603", ".8453 against .7880"),
            arms=(arms["DIEN"], arms["DIN"]),
            in_quick=not prefix,
        ),
        claim(
            id=f"{prefix}din-beats-sum-pooling",
            text="Target attention to a history (DIN) ranks clicks better than its sum "
            "(BaseModel).",
            reported=_reported(".7603 against .7435", ".7880 against .7686"),
            arms=(arms["DIN"], arms["sum pooling"]),
            in_quick=not prefix,
        ),
        controlled(
            id=f"{prefix}din-beats-mean-pooling",
            text="The candidate matters: DIN with the weights of its paper (no softmax) is better "
            "than the mean.",
            arms=(arms["DIN, raw weights"], arms["mean pooling"]),
        ),
        claim(
            id=f"{prefix}the-auxiliary-loss-helps",
            text="With the auxiliary loss DIEN is better than without.",
            reported=_reported(".7792 against .7640", ".8453 against .7911"),
            arms=(arms["DIEN"], arms["AUGRU"]),
        ),
        controlled(
            id=f"{prefix}the-auxiliary-loss-is-not-all",
            text="The gain is not due to the auxiliary loss alone: DIEN is better than DIN with "
            "the same loss.",
            arms=(arms["DIEN"], arms["DIN + auxiliary loss"]),
        ),
        claim(
            id=f"{prefix}augru-beats-gru-and-attention",
            text="Without the auxiliary loss, attention inside the recurrence (AUGRU) is better "
            "than attention to its states.",
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
            text="Attention as the gate (AGRU) is better than attention to the inputs (AIGRU).",
            reported=_reported(".7628 against .7606", ".7890 against .7892"),
            arms=(arms["AGRU"], arms["AIGRU"]),
        ),
        controlled(
            id=f"{prefix}the-papers-update-beats-the-released-one",
            text="AUGRU with the paper's update gate is better than with the released code's.",
            arms=(arms["AUGRU"], arms["AUGRU, released"]),
        ),
        controlled(
            id=f"{prefix}an-mlp-scores-the-next-event-better",
            text="The released code's MLP makes a better auxiliary loss than inner products.",
            arms=(arms["DIEN, auxiliary MLP"], arms["DIEN"]),
        ),
    )


def _short_histories(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """Return the claims on Toys, the paper's kind of data: many users with few events."""
    claim = partial(_claim, group="toys", data=("toys-ctr",), tuning_share=1 / 6)
    return (
        claim(
            id="toys-dien-beats-din",
            text="On short histories DIEN ranks clicks better than DIN.",
            reported=_reported(".7792 against .7603", ".8453 against .7880"),
            arms=(arms["DIEN"], arms["DIN"]),
        ),
        claim(
            id="toys-the-auxiliary-loss-helps",
            text="On short histories DIEN is better with the auxiliary loss than without.",
            reported=_reported(".7792 against .7640", ".8453 against .7911"),
            arms=(arms["DIEN"], arms["AUGRU"]),
        ),
        claim(
            id="toys-the-auxiliary-loss-is-not-all",
            text="On short histories DIEN is better than DIN with the same auxiliary loss.",
            source="our control",
            reported="nothing",
            arms=(arms["DIEN"], arms["DIN + auxiliary loss"]),
        ),
    )


# Positive control: the mechanism exists by construction, so a loss here is a bug.
_CHAINS = SyntheticClicks((("interleaved interests", SyntheticInterests()),))
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
    in_quick=False,
)

_CONTROLS = (
    _control(
        id="dien-reads-interests-that-are-interleaved",
        text="If a click follows the last event of the candidate's interest, DIEN is better than "
        "DIN, which ignores order, by at least .1.",
        arms=(_CHAIN_DIEN, _chain("DIN", "din", attention_hidden="16")),
        minimum=0.1,
    ),
    _control(
        id="augru-reads-them-better-than-gru-and-attention",
        text="If a click follows the last event of the candidate's interest, attention inside the "
        "recurrence is better than attention to its states.",
        arms=(_CHAIN_DIEN, _chain("GRU + attention", "gru-attention", attention_hidden="16")),
    ),
)

# A state has the width of an event, 36 on all data sets.
CLAIMS = (
    *_headline(_arms(width=9, **ONCE)),
    *_parts("", "ml-100k", _arms(width=12)),
    *_parts("months-", "nyc-checkins", _arms(width=36)),
    # 93 % of its labels are clicks, so every event counts as a click; negatives are sampled.
    *_short_histories(_arms(width=18, epochs=2, feedback="implicit")),
    *_CONTROLS,
)
