"""CAN: Bian et al., CAN: Feature Co-Action Network for Click-Through Rate Prediction, 2022."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.claims._on_clicks import AS_GOOD, GRID, ONCE, SIZES
from recops_evidence.experiments.click_runs import ClickRuns, MadeUpClicks
from recops_evidence.experiments.synthetic_pairs import SyntheticPairs
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

_PAPER = "arXiv 2011.05625"
_ORDER = "an order of models on Amazon Books and Taobao; its figures were not read by us"
_NOTHING = "nothing"

_BOTH = "item:history_item,category:history_category"
_FIRST: Mapping[str, Setting] = {
    "network": "4,4,4,4,4,4,4,4,4",
    "bias": "true",
    "orders": 2,
    "concat_hidden": "false",
}


def _arms(width: int, **changes: Setting) -> Mapping[str, Arm]:
    """CAN, its bases, what the paper compares it with, its parts and controls."""

    def arm(name: str, model: str = "can", /, **settings: Setting) -> Arm:
        net = {**SIZES, "width": width, **changes, **settings}
        unread = {"sum-pool": ["attention_hidden", "pairs"], "din": ["pairs"], "dien": ["pairs"]}
        for setting in unread.get(model, ()):
            net.pop(setting, None)
        return Arm(name, model, net, GRID)

    arms = (
        arm("sum pooling", "sum-pool"),
        arm("DIN", "din"),
        # On ml-1m it has 329,000 parameters more than DIN, CAN 658,000.
        arm("DIN, four times as wide", "din", width=4 * width),
        arm("DIEN", "dien", auxiliary="inner"),
        arm("CAN"),
        arm("CAN on sum pooling", base="sum-pool"),
        arm("CAN on DIEN", base="dien", auxiliary="inner"),
        arm("product", interaction="product"),
        arm("product, own tables", interaction="own-product"),
        arm("Cartesian", interaction="cartesian"),
        arm("CAN, shared tables", interaction="shared"),
        arm("CAN, frozen tables", interaction="frozen"),
        *(arm(f"CAN, orders {orders}", orders=orders) for orders in (1, 2, 4)),
        *(
            arm(f"CAN, layers {layers}", network=network)
            for layers, network in ((1, "16,8"), (4, "16,8,8,8,4"))
        ),
        arm("CAN, no activation", co_activation="none"),
        arm("CAN, last layer", concat_hidden="false"),
        arm("CAN, first version", **_FIRST),
    )
    return {each.name: each for each in arms}


_claim = partial(
    Claim,
    source=f"{_PAPER}, its comparison of models",
    reported=_ORDER,
    metric="auc",
    experiment=ClickRuns(last=40),
    most_trials=8,
    halving=2,
    glanced=False,
)
_INDEPENDENCE = f"{_PAPER}, parameter independence"
_CONTROL = "a control of ours, which the paper's claim implies"


def _headline(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """On a million events: six arms."""
    claim = partial(_claim, group="headline", data=("ml-1m",), tuning_share=1 / 6)
    can = arms["CAN"]
    return (
        claim(
            id="can-beats-din-on-large-data",
            text="On a million events co-action beside DIN ranks likes better than DIN.",
            arms=(can, arms["DIN"]),
        ),
        claim(
            id="can-beats-cartesian-on-large-data",
            text="There it beats a table of pairs beside DIN.",
            arms=(can, arms["Cartesian"]),
        ),
        claim(
            id="can-beats-products-on-large-data",
            text="There it beats products of embeddings (PNN) whose tables are their own, as wide "
            "and begun as its own are, beside DIN.",
            arms=(can, arms["product, own tables"]),
        ),
        claim(
            id="can-beats-shared-tables-on-large-data",
            text="There co-action with tables of its own beats co-action of the representations.",
            arms=(can, arms["CAN, shared tables"]),
            source=_INDEPENDENCE,
            reported="that it is mandatory",
        ),
        claim(
            id="can-beats-a-wider-din-on-large-data",
            text="It is not the number of parameters: there it beats a DIN four times as wide.",
            arms=(can, arms["DIN, four times as wide"]),
            source=_CONTROL,
            reported=_NOTHING,
        ),
    )


def _baselines(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """The paper's comparison, where a training takes seconds."""
    claim = partial(_claim, group="baselines", data=("ml-100k",))
    can = arms["CAN"]
    return (
        claim(
            id="can-beats-din",
            text="Co-action of candidate and history, beside DIN, ranks clicks better than DIN.",
            arms=(can, arms["DIN"]),
            glanced=True,
        ),
        claim(
            id="can-beats-cartesian",
            text="Co-action beats a table of pairs (met twice or more in training), both beside "
            "DIN.",
            arms=(can, arms["Cartesian"]),
        ),
        claim(
            id="can-beats-products",
            text="Co-action beats products of embeddings (PNN), both beside DIN.",
            arms=(can, arms["product"]),
        ),
        claim(
            id="can-beats-products-of-own-tables",
            text="It beats them where they have tables of their own as well, as wide and begun as "
            "its own are.",
            arms=(can, arms["product, own tables"]),
            source=_CONTROL,
            reported=_NOTHING,
        ),
        claim(
            id="can-on-dien-beats-dien",
            text="Co-action lifts DIEN, whose interest evolves with the auxiliary loss.",
            arms=(arms["CAN on DIEN"], arms["DIEN"]),
        ),
        claim(
            id="can-lifts-sum-pooling",
            text="Co-action lifts sum pooling.",
            arms=(arms["CAN on sum pooling"], arms["sum pooling"]),
        ),
        claim(
            id="learning-the-co-action-helps",
            text="It is what co-action learns: its tables beat tables frozen as they were drawn.",
            arms=(can, arms["CAN, frozen tables"]),
            source=_CONTROL,
            reported=_NOTHING,
        ),
    )


def _ablations(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    claim = partial(
        _claim,
        source=f"{_PAPER}, its ablations",
        reported="the order alone is known to us, from notes on the paper",
        group="ablations",
        data=("ml-100k",),
    )
    can = arms["CAN"]
    return (
        claim(
            id="a-second-order-helps",
            text="Two orders beat one.",
            arms=(arms["CAN, orders 2"], arms["CAN, orders 1"]),
        ),
        claim(
            id="more-orders-add-little",
            text="Two orders are as good as three (the released code), to within .003.",
            arms=(arms["CAN, orders 2"], can, arms["CAN, orders 4"]),
            allowance=AS_GOOD,
        ),
        claim(
            id="depth-adds-little",
            text="Two layers are as good as four, to within .003.",
            arms=(can, arms["CAN, layers 4"]),
            allowance=AS_GOOD,
        ),
        claim(
            id="one-layer-is-enough",
            text="One layer, which is linear, is as good as two, to within .003.",
            arms=(arms["CAN, layers 1"], can),
            allowance=AS_GOOD,
            source="ours: the first outputs are then powers' bilinear forms",
            reported=_NOTHING,
        ),
        claim(
            id="an-activation-helps",
            text="Tanh beats no activation.",
            arms=(can, arms["CAN, no activation"]),
            source="ours",
            reported=_NOTHING,
        ),
        claim(
            id="all-layers-help",
            text="The outputs of all layers beat those of the last alone.",
            arms=(can, arms["CAN, last layer"], arms["CAN, first version"]),
            source=f"{_PAPER}, what its revision changed",
            reported=_NOTHING,
        ),
    )


# ---- Why CAN lost in earlier runs of ours: what may decide, one by one.


def _epochs() -> tuple[Claim, ...]:
    """The scale at which tables begin, beside decay and rate, after one epoch and after three."""
    # DIN's grid has the shape of CAN's: equal budgets.
    own = {"CAN": {"co_std": (0.01, 0.1, 0.3)}, "DIN": {"warmup_epochs": (0.1, 0.3, 1.0)}}
    grid = {name: values for name, values in GRID.items() if name != "dropout"}

    def arm(name: str, epochs: int) -> Arm:
        net = {**SIZES, "width": 12, "batch": 128, "epochs": epochs, "dropout": 0.3}
        return Arm(f"{name}, epochs {epochs}", name.lower(), net, {**grid, **own[name]})

    return tuple(
        _claim(
            id=f"can-beats-din-after-{told}",
            text=f"With the scale of its tables tuned and batches of 128, CAN beats DIN after "
            f"{told.replace('-', ' ')}.",
            arms=(arm("CAN", epochs), arm("DIN", epochs)),
            data=("ml-100k",),
            group="settle",
            source="ours: tables that begin small leave tanh a straight line",
            reported=_NOTHING,
        )
        for epochs, told in ((1, "one-epoch"), (3, "three-epochs"))
    )


# On Toys DIN learns slowly: AUC on validation .51 to .63 after two epochs under three seeds, .69
# and .72 after six under two of them, .75 after 24 under one, where CAN's .72 and .73 stay.
_LONGER: Mapping[str, Setting] = {"epochs": 24, "patience": 4}


def _sizes() -> tuple[Claim, ...]:
    """By how many users are there."""
    arms = _arms(18, **_LONGER)
    return tuple(
        _claim(
            id=f"can-beats-din-on-{told}-users",
            text=f"On Toys with {told} users CAN beats DIN.",
            arms=(arms["CAN"], arms["DIN"]),
            data=("toys",),
            group="settle",
            experiment=ClickRuns(users, last=40),
            tuning_share=share,
            source="ours: small data leave rows of pairs untrained",
            reported=_NOTHING,
        )
        for users, told, share in (
            (3000, "3000", 1.0),
            (6000, "6000", 0.5),
            (12000, "12000", 0.25),
            (None, "all", 1 / 6),
        )
    )


def _pairs(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """Items and categories, each with those of the history."""
    return tuple(
        _claim(
            id=f"can-of-items-and-categories-beats-{told}",
            text=f"On Toys by the clock co-action of items and of categories beats {rival}.",
            arms=(arms["CAN"], arms[rival]),
            data=("toys-ctr",),
            group="settle",
            tuning_share=1 / 6,
        )
        for told, rival in (("din", "DIN"), ("products", "product, own tables"))
    )


# The year, where films have one, would tell of pairs that are unseen.
def _unseen(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    claim = partial(
        _claim,
        source=f"{_PAPER}, its test on pairs that training does not hold",
        reported="the order alone: Cartesian falls below NCF and DeepFM, CAN stays best",
        group="unseen",
        data=("ml-100k",),
        experiment=ClickRuns(unseen=True),
    )
    return (
        claim(
            id="can-beats-cartesian-on-unseen-pairs",
            text="Where no pair of candidate and history was seen in training, co-action beats a "
            "table of pairs.",
            arms=(arms["CAN"], arms["Cartesian"]),
        ),
        claim(
            id="cartesian-falls-below-products-on-unseen-pairs",
            text="There a table of pairs falls below products of embeddings.",
            arms=(arms["product"], arms["Cartesian"]),
        ),
        claim(
            id="can-beats-products-on-unseen-pairs",
            text="There co-action beats products of embeddings.",
            arms=(arms["CAN"], arms["product"]),
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
    experiment=_MADE_UP,
)

_TABLES = (
    _table(
        id="can-is-as-good-as-cartesian-at-low-rank",
        text="Where clicks follow a table of pairs of rank 4, co-action is as good as a table of "
        "pairs that are met often, to within .003.",
        arms=(_TABLE_CAN, _TABLE_CARTESIAN, _TABLE_PRODUCT, _TABLE_DIN),
        data=(_LOW,),
        allowance=AS_GOOD,
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

# A history's item, year, genres and sign are 36 wide on ml-1m, its item, year and sign on ml-100k.
CLAIMS = (
    *_TABLES,
    *_headline(_arms(9, **ONCE)),
    *_baselines(_arms(12)),
    *_ablations(_arms(12)),
    *_epochs(),
    *_sizes(),
    # Its labels are 93 % clicks: every event is one here, beside items never met.
    *_pairs(_arms(18, **_LONGER, feedback="implicit", pairs=_BOTH)),
    *_unseen(_arms(12, pairs="item:history_item")),
)
