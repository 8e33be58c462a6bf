"""DIEN: Zhou et al., Deep Interest Evolution Network for Click-Through Rate Prediction, 2019."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.experiments.click_runs import SyntheticClicks
from recops_evidence.experiments.synthetic_interests import SyntheticInterests
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

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
)

CLAIMS = (
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
        in_quick=False,
    ),
)
