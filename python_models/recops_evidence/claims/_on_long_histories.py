"""Users, sizes, rivals and tuning that the claims about long histories share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from recops_evidence.claims._shared_tuning import share_tuning
from recops_evidence.experiments.click_runs import ClickRuns
from recops_evidence.experiments.memory_runs import MemoryRuns
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

# Headline: sizes close to the paper's, users with long histories of which T events are read.
_LONG: Mapping[str, Setting] = {
    "batch": 256,
    "epochs": 6,
    "patience": 2,
    "warmup_epochs": 0.2,
    "max_len": 200,
    "targets_per_history": 10,
    "width": 9,
    "hidden": "200,80",
}
"""Item, year, genres and sign of ml-1m have width 36; item, skill and sign of assist2017 27. Ten
neighbouring examples share the beginning of their histories, which makes training of memories
faster and not worse on validation.
"""
_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (1e-3, 3e-3, 1e-2),
    "dropout": (0.0, 0.3),
    "weight_decay": (0.0, 0.01),
    "table_std": (0.01, 0.1),
}
TUNED_ON = {"ml-1m": 1 / 4, "assist2017": 1.0}
"""Shares of the users for trials. A quarter of ml-1m's users selects the same learning rate as all
users; on assist2017 a part of the users selects another one.
"""
_LONG_RUNS = ClickRuns(last=20, least_events=200, held_out=20)
"""Examples are the last 20 events of users with at least 200 events; histories have all events."""
PART_RUNS = MemoryRuns(last=20, least_events=100, held_out=20)


def long_arm(name: str, model: str, **settings: Setting) -> Arm:
    """Return an arm on long histories with the shared grid."""
    attention = {} if model in ("sum-pool", "hpmn") else {"attention_hidden": "80,40"}
    return Arm(name, model, {**_LONG, **attention, **settings}, _GRID)


def mimn(name: str, /, **settings: Setting) -> Arm:
    """Return a MIMN, by default with eight slots, whose usage scale is T."""
    chosen: dict[str, Setting] = {"max_len": 200, **settings}
    return long_arm(name, "mimn", **{"usage_scale": float(chosen["max_len"]), **chosen})


def hpmn(name: str, /, **settings: Setting) -> Arm:
    """Return an HPMN, by default with five slots of periods 1, 2, 4, 8 and 16."""
    return long_arm(name, "hpmn", **{"splits": "2,2,2,2", **settings})


MIMN, HPMN = mimn("MIMN"), hpmn("HPMN")
ONE_PERIOD = hpmn("GRUs, all periods 1", splits="1,1,1,1")
# Models that read the history at every request.
SUM = long_arm("sum pooling", "sum-pool")
DIN = long_arm("DIN", "din")
# With the released code's update gate, which has a higher AUC on ml-1m than the paper's.
DIEN = long_arm("DIEN, released gate", "dien", auxiliary="none", update="or")
ATTENTION = long_arm("GRU + attention", "gru-attention")

among_long_arms = partial(share_tuning, (MIMN, HPMN, ONE_PERIOD, SUM, DIN, DIEN, ATTENTION))
"""Compared arms first, then the others: the pages of MIMN and HPMN share their arms and tuning."""

headline_on_long = partial(
    Claim,
    group="headline",
    data=("ml-1m", "assist2017"),
    metric="auc",
    experiment=_LONG_RUNS,
    in_quick=False,
    most_trials=8,
    halving=2,
    widenings=1,
)


def by_share(claims: Iterable[Claim], shares: Mapping[str, float]) -> tuple[Claim, ...]:
    """Return one claim per data set of ``shares``, with its share of the users for trials."""
    return tuple(
        dataclasses.replace(claim, id=f"{claim.id}-on-{data}", data=(data,), tuning_share=share)
        for data, share in shares.items()
        for claim in claims
        if data in claim.data
    )


def over_months(claims: Sequence[Claim], *ids: str) -> tuple[Claim, ...]:
    """Return the claims with ``ids`` on check-ins of several months, with 24 epochs.

    Six epochs are too few there. Trials run on all users, because some large learning rates do well
    on a part of the users and fail on all.
    """
    more = {"epochs": 24, "patience": 4}
    return tuple(
        dataclasses.replace(
            claim,
            id=f"{claim.id}-over-months",
            arms=tuple(
                dataclasses.replace(arm, settings={**arm.settings, **more})
                for arm in claim.arms[:2]
            ),
            data=("nyc-checkins",),
            group="months",
        )
        for claim in claims
        if claim.id in ids
    )


def by_length(claim: partial[Claim], arms: Mapping[int, Arm]) -> tuple[Claim, ...]:
    """Return claims that a history of up to 1,000 events ranks better than the last 50.

    Args:
        claim: claim with source and reported figures.
        arms: arms by the number of events that they read: 50, 200 and 1,000.
    """
    longer = claim(
        id="a-longer-history-helps",
        text="For users with at least 500 events, a memory of up to 1,000 events ranks better than "
        "a memory of the last 50.",
        arms=(arms[1000], arms[50], arms[200]),
        data=("assist2017", "ml-1m"),
        experiment=ClickRuns(last=20, least_events=500, held_out=20),
        group="lengths",
        seeds=3,
    )
    return by_share([longer], TUNED_ON)
