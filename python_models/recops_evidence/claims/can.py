"""CAN: Bian et al., CAN: Feature Co-Action Network for Click-Through Rate Prediction, 2022."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.claims._on_clicks import AS_GOOD, GRID, ONCE, SIZES
from recops_evidence.experiments.click_runs import ClickRuns, SyntheticClicks
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
    """Return CAN, its bases, the paper's rivals, and variants of its parts."""

    def arm(name: str, model: str = "can", /, **settings: Setting) -> Arm:
        net = {**SIZES, "width": width, **changes, **settings}
        unread = {"sum-pool": ["attention_hidden", "pairs"], "din": ["pairs"], "dien": ["pairs"]}
        for setting in unread.get(model, ()):
            net.pop(setting, None)
        return Arm(name, model, net, GRID)

    arms = (
        arm("sum pooling", "sum-pool"),
        arm("DIN", "din"),
        # A control for the number of parameters.
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
    in_quick=False,
)
_INDEPENDENCE = f"{_PAPER}, parameter independence"
_CONTROL = "our control, which the paper's claim implies"


def _headline(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """Return the claims on a million events."""
    claim = partial(_claim, group="headline", data=("ml-1m",), tuning_share=1 / 6)
    can = arms["CAN"]
    return (
        claim(
            id="can-beats-din-on-large-data",
            text="On a million events DIN with co-action ranks likes better than DIN.",
            arms=(can, arms["DIN"]),
        ),
        claim(
            id="can-beats-cartesian-on-large-data",
            text="On a million events DIN with co-action beats DIN with a table of pairs.",
            arms=(can, arms["Cartesian"]),
        ),
        claim(
            id="can-beats-products-on-large-data",
            text="On a million events it beats DIN with products of embeddings (PNN) from separate "
            "tables of equal width and initialization.",
            arms=(can, arms["product, own tables"]),
        ),
        claim(
            id="can-beats-shared-tables-on-large-data",
            text="On a million events co-action with separate tables beats co-action of the "
            "representations.",
            arms=(can, arms["CAN, shared tables"]),
            source=_INDEPENDENCE,
            reported="that it is mandatory",
        ),
        claim(
            id="can-beats-a-wider-din-on-large-data",
            text="The gain is not due to the number of parameters: it beats a DIN of four times "
            "the width.",
            arms=(can, arms["DIN, four times as wide"]),
            source=_CONTROL,
            reported=_NOTHING,
        ),
    )


def _baselines(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """Return the paper's comparison on a small data set."""
    claim = partial(_claim, group="baselines", data=("ml-100k",))
    can = arms["CAN"]
    return (
        claim(
            id="can-beats-din",
            text="DIN with co-action of candidate and history ranks clicks better than DIN.",
            arms=(can, arms["DIN"]),
            in_quick=True,
        ),
        claim(
            id="can-beats-cartesian",
            text="With DIN, co-action beats a table of pairs that occur at least twice in "
            "training.",
            arms=(can, arms["Cartesian"]),
        ),
        claim(
            id="can-beats-products",
            text="With DIN, co-action beats products of embeddings (PNN).",
            arms=(can, arms["product"]),
        ),
        claim(
            id="can-beats-products-of-own-tables",
            text="Co-action also beats products from separate tables of equal width and "
            "initialization.",
            arms=(can, arms["product, own tables"]),
            source=_CONTROL,
            reported=_NOTHING,
        ),
        claim(
            id="can-on-dien-beats-dien",
            text="Co-action improves DIEN with the auxiliary loss.",
            arms=(arms["CAN on DIEN"], arms["DIEN"]),
        ),
        claim(
            id="can-lifts-sum-pooling",
            text="Co-action improves sum pooling.",
            arms=(arms["CAN on sum pooling"], arms["sum pooling"]),
        ),
        claim(
            id="learning-the-co-action-helps",
            text="Learned tables of co-action beat tables frozen at their initialization.",
            arms=(can, arms["CAN, frozen tables"]),
            source=_CONTROL,
            reported=_NOTHING,
        ),
    )


def _ablations(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    claim = partial(
        _claim,
        source=f"{_PAPER}, its ablations",
        reported="only the order is known to us, from notes on the paper",
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


# Possible reasons for the losses of CAN in earlier runs, one by one.


def _epochs() -> tuple[Claim, ...]:
    """Return claims with a tuned initial scale of the tables, after one and three epochs."""
    # DIN's grid has the shape of CAN's, so both have the same number of trials.
    own = {"CAN": {"co_std": (0.01, 0.1, 0.3)}, "DIN": {"warmup_epochs": (0.1, 0.3, 1.0)}}
    grid = {name: values for name, values in GRID.items() if name != "dropout"}

    def arm(name: str, epochs: int) -> Arm:
        net = {**SIZES, "width": 12, "batch": 128, "epochs": epochs, "dropout": 0.3}
        return Arm(f"{name}, epochs {epochs}", name.lower(), net, {**grid, **own[name]})

    return tuple(
        _claim(
            id=f"can-beats-din-after-{duration}",
            text=f"With the scale of its tables tuned and batches of 128, CAN beats DIN after "
            f"{duration.replace('-', ' ')}.",
            arms=(arm("CAN", epochs), arm("DIN", epochs)),
            data=("ml-100k",),
            group="settle",
            source="ours: tanh is linear on tables with small initial values",
            reported=_NOTHING,
        )
        for epochs, duration in ((1, "one-epoch"), (3, "three-epochs"))
    )


# On Toys DIN learns slowly: its AUC on validation still rises after six epochs.
_LONGER: Mapping[str, Setting] = {"epochs": 24, "patience": 4}


def _sizes() -> tuple[Claim, ...]:
    """Return claims by the number of users."""
    arms = _arms(18, **_LONGER)
    return tuple(
        _claim(
            id=f"can-beats-din-on-{number}-users",
            text=f"On Toys with {number} users CAN beats DIN.",
            arms=(arms["CAN"], arms["DIN"]),
            data=("toys",),
            group="settle",
            experiment=ClickRuns(users, last=40),
            tuning_share=share,
            source="ours: small data leave rows of pairs untrained",
            reported=_NOTHING,
        )
        for users, number, share in (
            (3000, "3000", 1.0),
            (6000, "6000", 0.5),
            (12000, "12000", 0.25),
            (None, "all", 1 / 6),
        )
    )


def _pairs(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    """Return claims with co-action of items and of categories."""
    return tuple(
        _claim(
            id=f"can-of-items-and-categories-beats-{name}",
            text=f"On Toys, split by time, co-action of items and of categories beats {rival}.",
            arms=(arms["CAN"], arms[rival]),
            data=("toys-ctr",),
            group="settle",
            tuning_share=1 / 6,
        )
        for name, rival in (("din", "DIN"), ("products", "product, own tables"))
    )


# Only item pairs, because the year of films would carry signal about unseen pairs.
def _unseen(arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    claim = partial(
        _claim,
        source=f"{_PAPER}, its test on pairs that training does not hold",
        reported="only the order: Cartesian falls below NCF and DeepFM, CAN stays best",
        group="unseen",
        data=("ml-100k",),
        experiment=ClickRuns(unseen=True),
    )
    return (
        claim(
            id="can-beats-cartesian-on-unseen-pairs",
            text="If test has only pairs of candidate and history that training lacks, co-action "
            "beats a table of pairs.",
            arms=(arms["CAN"], arms["Cartesian"]),
        ),
        claim(
            id="cartesian-falls-below-products-on-unseen-pairs",
            text="On unseen pairs a table of pairs falls below products of embeddings.",
            arms=(arms["product"], arms["Cartesian"]),
        ),
        claim(
            id="can-beats-products-on-unseen-pairs",
            text="On unseen pairs co-action beats products of embeddings.",
            arms=(arms["CAN"], arms["product"]),
        ),
    )


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
        allowance=AS_GOOD,
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

# A history's item, year, genres and sign are 36 wide on ml-1m, its item, year and sign on ml-100k.
CLAIMS = (
    *_TABLES,
    *_headline(_arms(9, **ONCE)),
    *_baselines(_arms(12)),
    *_ablations(_arms(12)),
    *_epochs(),
    *_sizes(),
    # 93 % of its labels are clicks, so every event counts as a click; negatives are sampled.
    *_pairs(_arms(18, **_LONGER, feedback="implicit", pairs=_BOTH)),
    *_unseen(_arms(12, pairs="item:history_item")),
)
