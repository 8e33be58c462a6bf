"""CAN: Bian et al., CAN: Feature Co-Action Network for Click-Through Rate Prediction, 2022."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.experiments.click_runs import ClickRuns, SyntheticClicks
from recops_evidence.experiments.synthetic_pairs import SyntheticPairs
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

_NOTHING = "nothing"
_AS_GOOD = 0.003
"""Margin of AUC within which models count as equally good; seeds of one model differ as much."""

_SYNTHETIC = SyntheticClicks(
    (
        ("rank 4, pairs met 49 times", SyntheticPairs(64, 4)),
        ("rank 4, pairs met 3 times", SyntheticPairs(256, 4)),
        ("full rank, pairs met 49 times", SyntheticPairs(64, None)),
        ("rank 4, pairs unseen", SyntheticPairs(64, 4, unseen=True)),
        ("full rank, pairs unseen", SyntheticPairs(64, None, unseen=True)),
    )
)
_LOW, _LOW_RARE, _FULL, _LOW_UNSEEN, _FULL_UNSEEN = (name for name, _ in _SYNTHETIC.laws)
_ON_TABLES: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 20,
    "patience": 3,
    "weight_decay": 0.0,
    "hidden": "64,32",
    "dropout": 0.0,
}
_RATE = {"learning_rate": (3e-3, 1e-2)}
_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT = (
    Arm(
        name,
        "can",
        {**_ON_TABLES, "attention_hidden": "16", "base": "sum-pool", "interaction": interaction},
        _RATE,
    )
    for name, interaction in (
        ("CAN", "coaction"),
        ("Cartesian", "cartesian"),
        ("product", "product"),
    )
)
_TABLE_DIN = Arm("DIN", "din", {**_ON_TABLES, "attention_hidden": "16"}, _RATE)
_table = partial(
    Claim,
    source="ours: clicks that depend on pairs alone",
    reported=_NOTHING,
    metric="auc",
    group="tables",
    experiment=_SYNTHETIC,
)

_TABLES = (
    _table(
        id="can-is-as-good-as-cartesian-at-low-rank",
        text="If clicks follow a table of rank 4 and pairs are frequent, co-action is as good as a "
        "table of pairs, to within .003.",
        arms=(_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_LOW,),
        allowance=_AS_GOOD,
    ),
    _table(
        id="can-beats-cartesian-on-rare-pairs",
        text="At rank 4, co-action is better than a table of pairs if a pair occurs three times.",
        arms=(_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_LOW_RARE,),
    ),
    _table(
        id="cartesian-beats-can-at-full-rank",
        text="At full rank with frequent pairs, a table of pairs is better than co-action.",
        arms=(_TABLE_CARTESIAN, _TABLE_CAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_FULL,),
    ),
    _table(
        id="can-beats-products-of-pairs",
        text="Co-action beats products of embeddings at every rank.",
        arms=(_TABLE_CAN, _TABLE_PRODUCT),
        data=(_LOW, _LOW_RARE, _FULL),
    ),
    _table(
        id="can-knows-unseen-pairs-at-low-rank",
        text="On pairs that training lacks, co-action is better than a table of pairs by at least "
        ".1 if the rank is 4.",
        arms=(_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_LOW_UNSEEN,),
        minimum=0.1,
    ),
    _table(
        id="nobody-knows-unseen-pairs-at-full-rank",
        text="On pairs that training lacks, co-action is no better at full rank, to within .01.",
        arms=(_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_FULL_UNSEEN,),
        direction="lower",
        allowance=0.01,
    ),
)

# Sizes close to the paper's. Only item pairs, because the year of films would carry signal about
# unseen pairs. A history's item, year and sign are 36 wide.
_SIZES: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 3,
    "patience": 2,
    "warmup_epochs": 0.3,
    "max_len": 50,
    "width": 12,
    "hidden": "200,80",
    "attention_hidden": "80,40",
    "pairs": "item:history_item",
}
_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (1e-3, 3e-3, 1e-2, 3e-2),
    "dropout": (0.0, 0.3),
    "weight_decay": (0.0, 0.01),
}
_UNSEEN = (
    Claim(
        id="can-beats-cartesian-on-unseen-pairs",
        text="If test has only pairs of candidate and history that training lacks, co-action "
        "beats a table of pairs.",
        source="arXiv 2011.05625, its test on pairs that training does not hold",
        reported="only the order: Cartesian falls below NCF and DeepFM, CAN stays best",
        arms=(
            Arm("CAN", "can", _SIZES, _GRID),
            Arm("Cartesian", "can", {**_SIZES, "interaction": "cartesian"}, _GRID),
        ),
        data=("ml-100k",),
        metric="auc",
        experiment=ClickRuns(unseen=True),
        group="unseen",
        in_quick=False,
        most_trials=8,
        halving=2,
    ),
)

CLAIMS = (*_TABLES, *_UNSEEN)
