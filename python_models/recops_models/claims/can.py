"""CAN: Bian et al., CAN: Feature Co-Action Network for Click-Through Rate Prediction, 2022."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_models.evidence.experiments.click_runs import ClickRuns, MadeUpClicks
from recops_models.evidence.experiments.synthetic_pairs import SyntheticPairs
from recops_models.evidence.harness.claim import Arm, Claim
from recops_models.evidence.harness.experiment import Setting

_PAPER = "arXiv 2011.05625"
_ORDER = "an order of models on Amazon Books and Taobao; its figures were not read by us"
_NOTHING = "nothing"
_DATA = ("ml-100k", "toys", "beauty")
_AS_GOOD = 0.003
"""Of AUC: differences that two seeds of one model have as well."""
_USERS = 3000
"""For time: every user of ml-100k, 15 % of those of Toys, 13 % of Beauty's."""

# Whatever defaults `recops train` has or comes to have; small nets and T = 10, for time.
_SETTINGS: Mapping[str, Setting] = {
    "batch": 1024,
    "epochs": 3,
    "patience": 3,
    "weight_decay": 0.0,
    "max_len": 10,
    "hidden": "64,32",
    "dropout": 0.3,
}
_DIN_SETTINGS: Mapping[str, Setting] = {**_SETTINGS, "attention_hidden": "16"}
_RATE = {"learning_rate": (3e-3, 1e-2)}
_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (1e-3, 3e-3, 1e-2),
    "dropout": (0.0, 0.3),
    "weight_decay": (0.0, 0.01),
}


def _can(name: str, /, **settings: Setting) -> Arm:
    return Arm(name, "can", {**_DIN_SETTINGS, **settings}, _GRID)


_CAN = _can("CAN")
_DIN = Arm("DIN", "din", _DIN_SETTINGS, _GRID)
_DIEN = Arm("DIEN", "dien", {**_DIN_SETTINGS, "auxiliary": "inner"}, _GRID)
_CAN_ON_DIEN = _can("CAN on DIEN", base="dien", auxiliary="inner")
_PRODUCT = _can("product", interaction="product")
_CARTESIAN = _can("Cartesian", interaction="cartesian")
# As many parameters as CAN on ml-100k, more on the others, whose users have wide rows too.
_WIDE = Arm("DIN, width 128", "din", {**_DIN_SETTINGS, "width": 128}, _GRID)
_SUM = Arm("sum pooling", "sum-pool", _SETTINGS, _GRID)
_CAN_ON_SUM = _can("CAN on sum pooling", base="sum-pool")
_SHARED = _can("CAN on sum pooling, shared tables", base="sum-pool", interaction="shared")

# On one seed, arms that are alike chose different rates.
_real = partial(Claim, data=_DATA, metric="auc", most_trials=8, halving=2)

# The headline: sizes near the paper's, large data, all users.
_LARGE: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 2,
    "patience": 2,
    "warmup_epochs": 0.25,
    "max_len": 50,
    "width": 9,
    "hidden": "200,80",
    "attention_hidden": "80,40",
}
"""The history's item, year, genres and sign are 36 wide."""
_LARGE_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (3e-4, 1e-3, 3e-3, 1e-2),
    "dropout": (0.0, 0.3),
    "weight_decay": (0.0, 0.01),
}


def _large(name: str, model: str = "can", **settings: Setting) -> Arm:
    return Arm(name, model, {**_LARGE, **settings}, _LARGE_GRID)


_LARGE_CAN, _LARGE_DIN = _large("CAN"), _large("DIN", "din")
# Each user's last 40 events by the clock are examples; all are in the history.
_headline = partial(
    Claim,
    source=f"{_PAPER}, its comparison of models",
    reported=_ORDER,
    group="headline",
    data=("ml-1m",),
    metric="auc",
    experiment=ClickRuns(last=40),
    glanced=False,
    most_trials=8,
    halving=2,
    tuning_share=1 / 6,
)

_HEADLINE = (
    _headline(
        id="can-beats-din-on-large-data",
        text="On a million events co-action beside DIN ranks likes better than DIN.",
        arms=(_LARGE_CAN, _LARGE_DIN),
    ),
    _headline(
        id="can-beats-cartesian-on-large-data",
        text="There it beats a table of pairs beside DIN.",
        arms=(_LARGE_CAN, _large("Cartesian", interaction="cartesian")),
    ),
    _headline(
        id="can-beats-products-on-large-data",
        text="There it beats products of embeddings (PNN) beside DIN.",
        arms=(_LARGE_CAN, _large("product", interaction="product")),
    ),
    _headline(
        id="can-beats-shared-tables-on-large-data",
        text="There co-action with tables of its own beats co-action of the representations.",
        arms=(_LARGE_CAN, _large("CAN, shared tables", interaction="shared")),
        source=f"{_PAPER}, parameter independence",
        reported="that it is mandatory",
    ),
    _headline(
        id="can-beats-a-wider-din-on-large-data",
        text="It is not the number of parameters: there it beats a DIN with more.",
        arms=(_LARGE_CAN, _large("DIN, width 36", "din", width=36)),
        source="a control of ours, which the paper's claim implies",
        reported=_NOTHING,
    ),
)

_baseline = partial(
    _real,
    source=f"{_PAPER}, its comparison of models",
    reported=_ORDER,
    group="baselines",
    experiment=ClickRuns(_USERS),
)

_BASELINES = (
    _baseline(
        id="can-beats-din",
        text="Co-action of candidate and history, beside DIN, ranks clicks better than DIN.",
        arms=(_CAN, _DIN),
    ),
    _baseline(
        id="can-beats-cartesian",
        text="Co-action beats a table of pairs (met twice or more in training), both beside DIN.",
        arms=(_CAN, _CARTESIAN),
    ),
    _baseline(
        id="cartesian-beats-din",
        text="A table of pairs lifts DIN.",
        arms=(_CARTESIAN, _DIN),
    ),
    _baseline(
        id="can-beats-products",
        text="Co-action beats products of embeddings (PNN), both beside DIN.",
        arms=(_CAN, _PRODUCT),
    ),
    _baseline(
        id="can-beats-a-wider-din",
        text="It is not the number of parameters: co-action beats a DIN with as many or more.",
        arms=(_CAN, _WIDE),
        source="a control of ours, which the paper's claim implies",
        reported=_NOTHING,
    ),
    _baseline(
        id="can-on-dien-beats-dien",
        text="Co-action lifts DIEN, whose interest evolves with the auxiliary loss.",
        arms=(_CAN_ON_DIEN, _DIEN),
    ),
    _baseline(
        id="can-beats-dien",
        text="Co-action beside DIN, which has no recurrence, beats DIEN.",
        arms=(_CAN, _DIEN),
        source="ours",
        reported=_NOTHING,
    ),
    _baseline(
        id="can-lifts-sum-pooling",
        text="Co-action lifts sum pooling.",
        arms=(_CAN_ON_SUM, _SUM),
    ),
    _baseline(
        id="independence-helps",
        text="Co-action with tables of its own beats co-action of the representations.",
        arms=(_CAN_ON_SUM, _SHARED),
        source=f"{_PAPER}, parameter independence",
        reported="that it is mandatory",
    ),
)

_ablation = partial(
    _real,
    source=f"{_PAPER}, its ablations",
    reported="the order alone is known to us, from notes on the paper",
    group="ablations",
    experiment=ClickRuns(_USERS),
)
_BY_ORDERS = {orders: _can(f"CAN, orders {orders}", orders=orders) for orders in (1, 2, 4)}
_BY_LAYERS = {
    layers: _can(f"CAN, layers {layers}", network=network)
    for layers, network in ((1, "16,8"), (3, "16,8,8,4"), (4, "16,8,8,8,4"))
}
_FIRST = _can(
    "CAN, 8 layers of 4 × 4 + 4, order 2, last layer",
    network="4,4,4,4,4,4,4,4,4",
    bias="true",
    orders=2,
    concat_hidden="false",
)

_ABLATIONS = (
    _ablation(
        id="a-second-order-helps",
        text="Two orders beat one.",
        arms=(_BY_ORDERS[2], _BY_ORDERS[1]),
    ),
    _ablation(
        id="more-orders-add-little",
        text="Two orders are as good as three (the released code), to within .003.",
        arms=(_BY_ORDERS[2], _CAN, _BY_ORDERS[4]),
        allowance=_AS_GOOD,
    ),
    _ablation(
        id="depth-adds-little",
        text="Two layers are as good as four, to within .003.",
        arms=(_CAN, _BY_LAYERS[4], _BY_LAYERS[3]),
        allowance=_AS_GOOD,
    ),
    _ablation(
        id="one-layer-is-enough",
        text="One layer, which is linear, is as good as two, to within .003.",
        arms=(_BY_LAYERS[1], _CAN),
        allowance=_AS_GOOD,
        source="ours: the first outputs are then powers' bilinear forms",
        reported=_NOTHING,
    ),
    _ablation(
        id="activations-are-alike",
        text="SELU is as good as tanh, to within .003.",
        arms=(_can("CAN, SELU", co_activation="selu"), _CAN),
        allowance=_AS_GOOD,
    ),
    _ablation(
        id="an-activation-helps",
        text="Tanh beats no activation.",
        arms=(_CAN, _can("CAN, no activation", co_activation="none")),
        source="ours",
        reported=_NOTHING,
    ),
    _ablation(
        id="all-layers-help",
        text="The outputs of all layers beat those of the last alone.",
        arms=(_CAN, _can("CAN, last layer", concat_hidden="false"), _FIRST),
        source=f"{_PAPER}, what its revision changed",
        reported=_NOTHING,
    ),
)

# The year, where films have one, would tell of pairs that are unseen.
_PAIR: Mapping[str, Setting] = {"pairs": "item:history_item", "max_len": 50}
_UNSEEN_CAN, _UNSEEN_PRODUCT, _UNSEEN_CARTESIAN = (
    Arm(arm.name, arm.model, {**arm.settings, **_PAIR}, arm.grid)
    for arm in (_CAN, _PRODUCT, _CARTESIAN)
)
_unseen = partial(
    _real,
    source=f"{_PAPER}, its test on pairs that training does not hold",
    reported="the order alone: Cartesian falls below NCF and DeepFM, CAN stays best",
    group="unseen",
    experiment=ClickRuns(_USERS, unseen=True),
)

_UNSEEN = (
    _unseen(
        id="can-beats-cartesian-on-unseen-pairs",
        text="Where no pair of candidate and history was seen in training, co-action beats a table "
        "of pairs.",
        arms=(_UNSEEN_CAN, _UNSEEN_CARTESIAN),
    ),
    _unseen(
        id="cartesian-falls-below-products-on-unseen-pairs",
        text="There a table of pairs falls below products of embeddings.",
        arms=(_UNSEEN_PRODUCT, _UNSEEN_CARTESIAN),
    ),
    _unseen(
        id="can-beats-products-on-unseen-pairs",
        text="There co-action beats products of embeddings.",
        arms=(_UNSEEN_CAN, _UNSEEN_PRODUCT),
    ),
)

_MADE_UP = MadeUpClicks(
    (
        ("rank 4, pairs met 49 times", SyntheticPairs(64, 4)),
        ("rank 4, pairs met 3 times", SyntheticPairs(256, 4)),
        ("full rank, pairs met 49 times", SyntheticPairs(64, None)),
        ("rank 4, pairs unseen", SyntheticPairs(64, 4, unseen=True)),
        ("full rank, pairs unseen", SyntheticPairs(64, None, unseen=True)),
    )
)
_LOW, _LOW_RARE, _FULL, _LOW_UNSEEN, _FULL_UNSEEN = (name for name, _ in _MADE_UP.laws)
_ON_TABLES: Mapping[str, Setting] = {
    **{name: value for name, value in _SETTINGS.items() if name != "max_len"},
    "batch": 512,
    "epochs": 20,
    "dropout": 0.0,
}
_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT = (
    Arm(arm.name, "can", {**_ON_TABLES, **sizes, "base": "sum-pool"}, _RATE)
    for arm, sizes in (
        (_CAN, {}),
        (_CARTESIAN, {"interaction": "cartesian"}),
        (_PRODUCT, {"interaction": "product"}),
    )
)
_TABLE_DIN = Arm("DIN", "din", {**_ON_TABLES, "attention_hidden": "16"}, _RATE)
_table = partial(
    Claim,
    source="ours: clicks that depend on pairs alone",
    reported=_NOTHING,
    metric="auc",
    group="tables",
    experiment=_MADE_UP,
)

_TABLES = (
    _table(
        id="can-is-as-good-as-cartesian-at-low-rank",
        text="Where clicks follow a table of pairs of rank 4, co-action is as good as a table of "
        "pairs that are met often, to within .003.",
        arms=(_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_LOW,),
        allowance=_AS_GOOD,
    ),
    _table(
        id="can-beats-cartesian-on-rare-pairs",
        text="It is better where a pair is met three times.",
        arms=(_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_LOW_RARE,),
    ),
    _table(
        id="cartesian-beats-can-at-full-rank",
        text="Where the table has full rank and pairs are met often, a table of pairs is better.",
        arms=(_TABLE_CARTESIAN, _TABLE_CAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_FULL,),
    ),
    _table(
        id="can-beats-products-of-pairs",
        text="Co-action beats products of embeddings, whatever the rank.",
        arms=(_TABLE_CAN, _TABLE_PRODUCT),
        data=(_LOW, _LOW_RARE, _FULL),
    ),
    _table(
        id="can-knows-unseen-pairs-at-low-rank",
        text="On pairs that no training example holds, co-action is better than a table of pairs, "
        "which knows none of them, by .1 or more where the rank is 4.",
        arms=(_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_LOW_UNSEEN,),
        minimum=0.1,
    ),
    _table(
        id="nobody-knows-unseen-pairs-at-full-rank",
        text="It is no better, to within .01, where the rank is full.",
        arms=(_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_FULL_UNSEEN,),
        direction="lower",
        allowance=0.01,
    ),
)

CLAIMS = (*_TABLES, *_HEADLINE, *_BASELINES, *_ABLATIONS, *_UNSEEN)
