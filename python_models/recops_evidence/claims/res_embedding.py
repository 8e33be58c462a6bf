"""Res-embedding for Deep Learning Based Click-Through Rate Prediction Modeling, DLP-KDD 2019."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.claims._shared_tuning import share_tuning
from recops_evidence.experiments.synthetic_delays import SyntheticDelays
from recops_evidence.experiments.table_runs import DelayRuns, TableRuns
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

_PAPER = "arXiv 1906.10304"
_ABSTRACT = f"{_PAPER}, its abstract; we did not have the paper"
_BETTER = "that it is significantly better on several public data sets; no figure"
_THEOREM = "that a smaller radius of the vectors of one domain generalises better"
_NOTHING = "nothing"
_CONTROL_SOURCE = "our control, which the paper's claim implies"
_FORMS = "ours: forms that the paper is said to have, second-hand and unverified"

_NET = ("width", "hidden", "attention_hidden", "dropout")


def _under(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return settings with the names of the base's settings."""
    return {f"base.{name}" if name in _NET else name: value for name, value in settings.items()}


# Synthetic clicks that follow the assumptions of the theorem.
_SMALL: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 20,
    "patience": 4,
    "weight_decay": 0.0,
    "tables": "adam",
    "hidden": "64,32",
    "attention_hidden": "16",
}
_RATE = {"learning_rate": (1e-3, 3e-3, 1e-2)}
_DELAYS = DelayRuns(
    (
        ("interest delays", SyntheticDelays()),
        ("interest delays, few clicks", SyntheticDelays(examples=6000)),
        ("interest delays, items apart", SyntheticDelays(items=20, new=4, quality=2.0)),
    )
)
_USUAL, _FEW, _DIFFERENT = (name for name, _ in _DELAYS.laws)


def _small(name: str, **settings: Setting) -> Arm:
    return Arm(name, "res-embedding", {**_under(_SMALL), **settings}, _RATE)


_SMALL_PLAIN = Arm("plain", "din", _SMALL, _RATE)
_SMALL_WIDE = Arm("plain, width 32", "din", {**_SMALL, "width": 32}, _RATE)
_BY_DECAY = {decay: _small(f"residual, λ = {decay}", residual_decay=decay) for decay in (0, 10, 30)}
_SMALL_CENTRE = _small("centre alone", residual="false")
_SMALL_RANDOM = _small("random neighbours", residual_decay=10, graph="random")
_on_delays = partial(share_tuning, (*_BY_DECAY.values(), _SMALL_PLAIN, _SMALL_WIDE, _SMALL_RANDOM))
_control = partial(
    Claim,
    source=_ABSTRACT,
    reported=_NOTHING,
    group="control",
    data=(_USUAL,),
    metric="auc",
    experiment=_DELAYS,
    halving=2,
    widenings=1,
)

_CONTROL = (
    _control(
        id="residuals-beat-plain-rows-on-delays",
        text="If interests last for several events, rows of centre and residual beat plain rows.",
        arms=_on_delays(_BY_DECAY[10], _SMALL_PLAIN),
        data=(_USUAL, _FEW),
        reported=_BETTER,
    ),
    _control(
        id="residuals-beat-wide-rows-on-delays",
        text="They beat plain rows of twice the width, which have the same number of parameters.",
        arms=_on_delays(_BY_DECAY[10], _SMALL_WIDE),
        data=(_USUAL, _FEW),
        source=_CONTROL_SOURCE,
    ),
    _control(
        id="neighbours-matter-on-delays",
        text="There they beat the same rows with neighbours drawn at random, item by item.",
        arms=_on_delays(_BY_DECAY[10], _SMALL_RANDOM),
        data=(_USUAL, _FEW),
        source=_CONTROL_SOURCE,
    ),
    _control(
        id="decay-shrinks-the-radius",
        text="Decay of residuals reduces the radius of a domain relative to the distance of "
        "domains: λ = 30 compared with none.",
        arms=_on_delays(_BY_DECAY[30], _BY_DECAY[0]),
        metric="radius_ratio",
        chosen_by="auc",
        direction="lower",
        reported=_THEOREM,
    ),
    _control(
        id="a-small-radius-narrows-the-gap",
        text="Decay of residuals narrows the gap in log-loss between training and test: λ = 30 "
        "compared with none.",
        arms=_on_delays(_BY_DECAY[30], _BY_DECAY[0]),
        metric="gap",
        chosen_by="auc",
        direction="lower",
        reported=_THEOREM,
    ),
    _control(
        id="a-small-radius-ranks-better",
        text="Decay of residuals raises AUC on test: λ = 30 compared with none.",
        arms=_on_delays(_BY_DECAY[30], _BY_DECAY[0]),
        reported=_THEOREM,
    ),
    _control(
        id="small-is-not-zero",
        text="If items of a domain differ, residuals beat centres alone.",
        arms=(_BY_DECAY[10], _SMALL_CENTRE, _BY_DECAY[0], _SMALL_PLAIN),
        data=(_DIFFERENT,),
        reported="that residuals are small",
    ),
    _control(
        id="new-items-begin-at-their-centre",
        text="Items without training events rank better at the centre of the items they were first "
        "met with (five times each) than with a random graph.",
        arms=_on_delays(_BY_DECAY[10], _SMALL_RANDOM),
        metric="auc_new",
        chosen_by="auc",
        source="ours",
    ),
)

# Shops have short histories and many rare items, so plain rows learn slowly. Trials run on all
# users, because a part of the users selects other learning rates.
_SHOP: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 16,
    "patience": 3,
    "weight_decay": 0.0,
    "max_len": 50,
    "width": 16,
    "hidden": "200,80",
    "attention_hidden": "80,40",
    "dropout": 0.3,
    "tables": "adam",
}
_SHOPS = ("grocery", "beauty", "toys")


def _shop(name: str, **settings: Setting) -> Arm:
    return Arm(name, "res-embedding", {**_under(_SHOP), "residual_decay": 10, **settings}, _RATE)


_SHOP_RESIDUAL = _shop("residual, λ = 10, m = 20, k = 1")
_SHOP_PLAIN = Arm("plain", "din", _SHOP, _RATE)
_SHOP_WIDE = Arm("plain, width 32", "din", {**_SHOP, "width": 32}, _RATE)
_SHOP_RANDOM = _shop("random neighbours", graph="random")
_in_shops = partial(share_tuning, (_SHOP_RESIDUAL, _SHOP_PLAIN, _SHOP_WIDE, _SHOP_RANDOM))
_shops = partial(
    Claim,
    source=_CONTROL_SOURCE,
    reported=_NOTHING,
    group="shops",
    data=_SHOPS,
    metric="auc",
    experiment=TableRuns(),
    in_quick=False,
    halving=2,
    widenings=1,
)
# Only on the smallest shop.
_ablation = partial(
    _shops, group="ablations", source="ours", data=("grocery",), seeds=3, tuning_seeds=2
)

_SHOP_CLAIMS = (
    _shops(
        id="neighbours-matter-in-shops",
        text="In shops, rows of centre and residual rank purchases better than the same rows with "
        "neighbours drawn at random, item by item.",
        arms=_in_shops(_SHOP_RESIDUAL, _SHOP_RANDOM),
    ),
    _shops(
        id="the-radius-is-smaller-in-shops",
        text="Items of one category are closer together, relative to the distance of categories, "
        "than with plain rows.",
        arms=_in_shops(_SHOP_RESIDUAL, _SHOP_PLAIN),
        metric="radius_ratio",
        chosen_by="auc",
        direction="lower",
        source=_ABSTRACT,
        reported=_THEOREM,
    ),
    _shops(
        id="rare-items-begin-at-their-centre-in-shops",
        text="Items with one training event have no row. They rank better at the centre of the "
        "items they occur with than with a random graph.",
        arms=_in_shops(_SHOP_RESIDUAL, _SHOP_RANDOM),
        metric="auc_seldom",
        chosen_by="auc",
        source="ours",
    ),
    _shops(
        id="the-gap-is-narrower-in-shops",
        text="The gap in log-loss between training and test is narrower than with plain rows.",
        arms=_in_shops(_SHOP_RESIDUAL, _SHOP_PLAIN),
        metric="gap",
        chosen_by="auc",
        direction="lower",
        source=_ABSTRACT,
        reported=_THEOREM,
    ),
)

_WIDER = {k: _shop(f"k = {k}", window=k) for k in (3, 5)}
_ABLATIONS = (
    _ablation(
        id="decay-helps-in-grocery",
        text="Residuals that decay (λ = 10) beat residuals that do not.",
        arms=(
            _SHOP_RESIDUAL,
            *(_shop(f"λ = {decay}", residual_decay=decay) for decay in (0, 1, 30)),
        ),
    ),
    _ablation(
        id="residuals-add-to-centres-in-grocery",
        text="Residuals add to centres.",
        arms=(_SHOP_RESIDUAL, _shop("centre alone", residual="false")),
    ),
    _ablation(
        id="many-neighbours-help-in-grocery",
        text="Twenty neighbours beat five.",
        arms=(
            _SHOP_RESIDUAL,
            _shop("m = 5", neighbours=5),
            _shop("m = 50", neighbours=50),
        ),
    ),
    _ablation(
        id="a-wider-window-helps-in-grocery",
        text="A window of three events beats a window of one.",
        arms=(_WIDER[3], _SHOP_RESIDUAL, _WIDER[5]),
    ),
    _ablation(
        id="symmetric-weights-help-in-grocery",
        text="The weights of a graph convolution beat a plain average.",
        arms=(_shop("gcn", weights="gcn"), _SHOP_RESIDUAL),
        source=_FORMS,
    ),
    _ablation(
        id="attention-helps-in-grocery",
        text="Attention to neighbours beats a plain average.",
        arms=(_shop("attention", weights="attention"), _SHOP_RESIDUAL),
        source=_FORMS,
    ),
)

CLAIMS = (*_CONTROL, *_SHOP_CLAIMS, *_ABLATIONS)
