"""UniRec: generative recommendation with an attribute prefix, Shopee, 2026."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from recops_models.evidence.experiments.balancing import SYNTHETIC, Balancing
from recops_models.evidence.experiments.ranking_runs import RankingRuns, SceneRuns
from recops_models.evidence.experiments.synthetic_scenes import SyntheticScenes
from recops_models.evidence.harness.claim import Arm, Claim
from recops_models.evidence.harness.experiment import Setting

_PAPER = "arXiv 2604.12234"
_PRIVATE = "on private items with 4 000 codes a level"
_TOP_PATHS = (
    "the top 1 % of full paths hold 57.33 % of exposure plain and 26.04 % balanced, 5 % 81.73 and "
    f"67.55, 10 % 86.62 and 77.77, {_PRIVATE}"
)
# What follows from the constraint (no code above τ times the mean, and so a Gini of exposure of at
# most 1 − 1/τ on every level) is tested, and no claim.
_OURS = "ours, from a toy of one seed"
_NOTHING = "nothing"
# Whatever defaults `recops tokenize` has or comes to have.
_CAPACITY = {"slack": 1.05, "clip": 0.25}
_PLAIN = Arm("plain", "rq-kmeans")
_ITEMS = Arm("item-balanced", "balanced-rq", {"weights": "items", **_CAPACITY})
_EXPOSURE = Arm("exposure-balanced", "balanced-rq", {"weights": "exposure", **_CAPACITY})
_LOOSE = Arm("exposure-balanced, τ = 1.2", "balanced-rq", {**_EXPOSURE.settings, "slack": 1.2})


def _capacity(
    name: str,
    text: str,
    metric: str,
    reported: str,
    *,
    arms: Sequence[Arm] = (_EXPOSURE, _PLAIN),
    data: tuple[str, ...] = (SYNTHETIC, "ml-100k", "beauty"),
    direction: Literal["higher", "lower"] = "lower",
    allowance: float = 0.0,
    source: str = _PAPER,
    group: str = "capacity",
) -> Claim:
    return Claim(
        id=name,
        text=text,
        source=source,
        reported=reported,
        arms=tuple(arms),
        data=data,
        metric=metric,
        direction=direction,
        allowance=allowance,
        group=group,
        glanced=SYNTHETIC in data,
        experiment=Balancing(),
    )


_CAPACITY_CLAIMS = (
    _capacity(
        "top-prefixes-hold-less",
        "Less exposure lies on the fullest 1 % of two-code prefixes, empty ones counted.",
        "prefixes@1%",
        "plain: the top 10 % of prefixes hold 87.90 % of exposure; .209 to .112 on 1 % in a toy of "
        "ours",
    ),
    _capacity(
        "top-paths-hold-less",
        "Less exposure lies on the fullest 1 % of all full paths, empty ones counted.",
        "paths@1%",
        _TOP_PATHS,
    ),
    _capacity(
        "top-paths-in-use-hold-less",
        "Less exposure lies on the fullest 1 % of the full paths that have items.",
        "used_paths@1%",
        _TOP_PATHS,
    ),
    _capacity(
        "reconstruction-costs-little",
        "The capacity raises the reconstruction error by less than 5 %.",
        "ln_nmse",
        ".3447 to .3509 (+1.8 %), and to +.2 % with τ = 1.2",
        arms=(_EXPOSURE, _PLAIN, _ITEMS, _LOOSE),
        allowance=math.log(1.05),
        source=_OURS,
    ),
    _capacity(
        "retrieval-costs-little",
        "Among decoded vectors the next item is found as often as without the capacity, to within "
        "5 % of what the vectors find (20 nearest).",
        "retention@20",
        _NOTHING,
        data=("ml-100k", "beauty"),
        direction="higher",
        arms=(_EXPOSURE, _PLAIN, _ITEMS, _LOOSE),
        allowance=0.05,
        source="ours: what a capacity is not to cost",
        group="retrieval",
    ),
)


# Recommending. All arms of a claim are trained as long, in batches as large; what a model's own
# defaults say beside that is part of it.

_MODELS = (
    "HR@50 .537; SASRec .421, TIGER .437, OneRec-V2 .438; of orders .672 beside .548, .567, .582: "
    "on private items"
)
_PUBLISHED = (
    f"{_MODELS}. By others on these splits, HR@10 and NDCG@10: TIGER's paper (arXiv 2305.05065) "
    ".0648, .0384 on Beauty, .0712, .0432 on Toys; RPG (KDD 2025) .0809, .0464 and .0869, .0490"
)
_TABLE = f"{_PAPER}, its table of models"
_ABLATION = f"{_PAPER}, its ablations"
_WIDTHS = "HR@50 .397, .477, .537, .557 with d = 64, 128, 256, 512, on private items"


class _Rankers:
    """The arms of claims on some data.

    Args:
        training: how all that learn are trained.
        grid: theirs; nothing is tuned where it is empty.
    """

    def __init__(
        self,
        training: Mapping[str, Setting],
        grid: Mapping[str, tuple[Setting, ...]],
    ) -> None:
        self._training, self._grid = training, grid

    def arm(self, name: str, model: str, **settings: Setting) -> Arm:
        """A ranker that learns."""
        return Arm(name, model, {**self._training, **settings}, self._grid)

    def unirec(self, name: str = "UniRec", **settings: Setting) -> Arm:
        """As ``recops train unirec`` has it, but for ``settings``."""
        return self.arm(name, "unirec", **settings)

    def rivals(self, *names: str) -> tuple[Arm, ...]:
        """Those of ``names``, in their order, then popularity, which has nothing to tune."""
        known = {
            "SASRec": self.arm("SASRec", "sasrec"),
            "TIGER": self.arm("TIGER", "tiger"),
            "plain decoder": self.unirec("plain decoder", attributes=""),
        }
        return *(known[name] for name in names), Arm("popularity", "popularity")


_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (1e-3, 2e-3, 4e-3),
    "dropout": (0.2, 0.4, 0.6),
}
_FILMS = _Rankers({"batch": 64, "epochs": 20, "patience": 4}, _GRID)
_SHOPS = _Rankers({"batch": 64, "epochs": 15, "patience": 3}, _GRID)
_MANY = _Rankers({"batch": 64, "epochs": 4, "patience": 2, "warmup_epochs": 0.2}, _GRID)
_ALL = ("SASRec", "TIGER", "plain decoder")
_headline = partial(
    Claim,
    source=_TABLE,
    reported=_PUBLISHED,
    metric="hr@10",
    chosen_by="ndcg@10",
    experiment=RankingRuns(),
    group="headline",
    seeds=3,
    most_trials=4,
    tuning_seeds=2,
    halving=2,
    widenings=1,
)
_beats_sasrec = partial(
    _headline,
    text="UniRec finds the next item, among ten, more often than SASRec with a full softmax.",
)
_beats_tiger = partial(_headline, text="UniRec finds it more often than TIGER.", glanced=False)

_HEADLINE = (
    _beats_sasrec(
        id="unirec-beats-sasrec-on-few-films",
        data=("ml-100k",),
        arms=(_FILMS.unirec(), *_FILMS.rivals(*_ALL)),
    ),
    _beats_sasrec(
        id="unirec-beats-sasrec",
        data=("beauty", "toys", "office"),
        arms=(_SHOPS.unirec(), *_SHOPS.rivals(*_ALL)),
        tuning_share=0.3,
        glanced=False,
    ),
    _beats_sasrec(
        id="unirec-beats-sasrec-on-places",
        data=("yelp",),
        arms=(_SHOPS.unirec(), *_SHOPS.rivals("SASRec")),
        tuning_share=0.2,
        glanced=False,
    ),
    _beats_sasrec(
        id="unirec-beats-sasrec-on-many-films",
        data=("ml-1m",),
        arms=(_MANY.unirec(), *_MANY.rivals("SASRec")),
        tuning_share=0.15,
        glanced=False,
    ),
    _beats_tiger(
        id="unirec-beats-tiger-on-few-films",
        data=("ml-100k",),
        arms=(_FILMS.unirec(), *_FILMS.rivals("TIGER", "SASRec", "plain decoder")),
    ),
    _beats_tiger(
        id="unirec-beats-tiger",
        data=("beauty", "toys", "office"),
        arms=(_SHOPS.unirec(), *_SHOPS.rivals("TIGER", "SASRec", "plain decoder")),
        tuning_share=0.3,
    ),
)

# Ablations. Nothing is tuned: every arm has UniRec's defaults but for what it is to show, and fewer
# epochs on Beauty, for time.

_PARTS = {
    "ml-100k": _Rankers({"batch": 64, "epochs": 20, "patience": 4}, {}),
    "beauty": _Rankers({"batch": 64, "epochs": 8, "patience": 3}, {}),
}


def _part(
    name: str,
    text: str,
    first: Mapping[str, Setting],
    second: Mapping[str, Setting],
    reported: str,
    *beside: Mapping[str, Setting],
    data: Sequence[str] = tuple(_PARTS),
    metric: str = "hr@50",
    source: str = _ABLATION,
    group: str = "parts",
) -> tuple[Claim, ...]:
    """One claim a data set; an arm is UniRec with some settings, which name it."""
    claims = []
    for where in data:
        rankers = _PARTS[where]
        arms = [rankers.unirec(_named(settings), **settings) for settings in (first, second)]
        arms += [rankers.unirec(_named(settings), **settings) for settings in beside]
        claims.append(
            Claim(
                id=f"{name}-on-{where}",
                text=text,
                source=source,
                reported=reported,
                arms=(*arms, *rankers.rivals("SASRec")),
                data=(where,),
                metric=metric,
                experiment=RankingRuns(),
                group=group,
                glanced=False,
                seeds=3,
            )
        )
    return tuple(claims)


def _named(settings: Mapping[str, Setting]) -> str:
    told = ", ".join(f"{name} {value or 'none'}" for name, value in settings.items())
    return f"UniRec, {told}" if told else "UniRec"


def _wide(width: int) -> Mapping[str, Setting]:
    return {"width": width, "expert_hidden": width, "head_hidden": width}


_NO_ATTRIBUTE: Mapping[str, Setting] = {"attributes": ""}
_SHUFFLED: Mapping[str, Setting] = {"shuffle_attributes": "true"}
_CHAIN = (
    "HR@50 .537 with two attributes, .515 with the second alone, .471 with a coarser one, .458 "
    "without, on private items"
)
_PARTS_CLAIMS = (
    *_part(
        "an-attribute-helps",
        "An attribute before the codes finds the next item more often than the codes alone.",
        {},
        _NO_ATTRIBUTE,
        _CHAIN,
        _SHUFFLED,
    ),
    *_part(
        "an-attribute-is-more-than-a-longer-path",
        "The items' own attributes do more than the same ones dealt at random.",
        {},
        _SHUFFLED,
        _NOTHING,
        _NO_ATTRIBUTE,
        source="ours: the control of the claim before",
    ),
    *_part(
        "a-second-attribute-helps",
        "Two attributes do more than one.",
        {"attributes": "class,release_year"},
        {"attributes": "class"},
        _CHAIN,
        data=("ml-100k",),
    ),
    *_part(
        "a-second-attribute-helps",
        "Two attributes do more than one.",
        {"attributes": "attributes:0,attributes:1"},
        {"attributes": "attributes:0"},
        _CHAIN,
        data=("beauty",),
    ),
    *_part(
        "balanced-codes-help",
        "Codes under a capacity find the next item more often than plain residual k-means.",
        {"method": "balanced-rq"},
        {"method": "rq-kmeans"},
        "HR@50 .537 and .481, on private items with 4 000 codes a level",
    ),
    *_part(
        "the-content-summary-helps",
        "A summary of the pairs of tokens decoded so far helps.",
        {"hash_width": 8},
        {"hash_width": 0},
        "HR@50 .537 and .485 without, on private items",
    ),
    *_part(
        "width-helps",
        "A decoder of width 128 finds more than one of 64.",
        _wide(128),
        _wide(64),
        _WIDTHS,
        _wide(256),
    ),
)

# Rewards and preferences need events that say more than others: ratings. Their control goes on as
# long with next tokens.
_GOING_ON: Mapping[str, Setting] = {"align": "rft", "reward_strength": 0.0}
_ALIGNED: dict[str, Mapping[str, Setting]] = {how: {"align": how} for how in ("rft", "dpo", "both")}
_ALIGNMENT_CLAIMS = (
    *(
        claim
        for how, text in (
            ("rft", "Rewards"),
            ("dpo", "Preferences"),
            ("both", "Rewards and preferences together"),
        )
        for claim in _part(
            f"align-{how}-helps",
            f"{text} find liked items more often than as much more of next tokens.",
            _ALIGNED[how],
            _GOING_ON,
            _NOTHING,
            {"align": "none"},
            data=("ml-100k",),
            metric="hr@10_liked",
            source=f"{_PAPER}, its alignment by RFT and DPO",
            group="alignment",
        )
    ),
)

_SCENES = SceneRuns(SyntheticScenes())
_OF_SCENES = _Rankers({"batch": 64, "epochs": 15, "patience": 4, "task": "scene"}, {})
_CONTROLS = (
    Claim(
        id="told-of-the-scene-it-finds-more",
        text="Where the same users want opposite things in two scenes, one model that is told the "
        "scene finds more than one that is not.",
        source="ours: scenes are all that tells what is wanted",
        reported="HR@50 .400 with a BOS a task, .395 jointly without, .386 by one model a scene, on "
        "private items",
        arms=(
            _OF_SCENES.unirec("UniRec, a BOS a scene", bos="table"),
            _OF_SCENES.unirec("UniRec, one BOS", bos="shared"),
        ),
        data=(_SCENES.name,),
        metric="hr@10",
        experiment=_SCENES,
        group="control",
        seeds=3,
        minimum=0.05,
    ),
)

CLAIMS = (
    *_CAPACITY_CLAIMS,
    *_HEADLINE,
    *_PARTS_CLAIMS,
    *_ALIGNMENT_CLAIMS,
    *_CONTROLS,
)
