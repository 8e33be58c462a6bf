"""KEEP: Zhang et al., KEEP: An Industrial Pre-Training Framework for Online Recommendation via
Knowledge Extraction and Plugging, 2022. KEEP-style: the plug's design is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.claims._nets import of_net
from recops_evidence.experiments.synthetic_domains import SyntheticDomains
from recops_evidence.experiments.transfer import SHUFFLED, DomainSource, Transfer
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import ArmSettings, Setting

_PAPER = "arXiv 2208.10174"
_REPORTED = "online, in display ads: CTR +5.4 %, RPM +4.7 %; we did not read its offline tables"
_NOTHING = "nothing"

_SLIGHT, _STRONG, _STREAM = "domains, shift .3", "domains, shift .8", "a stream of two groups"
_LAWS = (
    (_SLIGHT, SyntheticDomains(0.3, users=600, items=320)),
    (_STRONG, SyntheticDomains(0.8, users=600, items=320)),
    (_STREAM, SyntheticDomains(0.3, users=600, items=320, of_small=80, slices=12)),
)
"""Two fifths of the users and items, for time; impressions per user and item are unchanged."""


def _pairs(*settings: Mapping[str, Setting]) -> ArmSettings:
    joined = {name: str(value) for part in settings for name, value in part.items()}
    return tuple(sorted(joined.items()))


_NET: Mapping[str, Setting] = {"hidden": "64,32", "attention_hidden": 16}
_TRAINING: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 4,
    "patience": 1,
    "warmup_epochs": 0.25,
    "weight_decay": 0.0,
}


class _Arms:
    """Arms of one experiment.

    Args:
        examples: settings of examples, the same for all arms.
        training: settings of training, the same for all arms.
        grid: grid of DIN; KEEP's grid has the dotted names of its base.
    """

    def __init__(
        self,
        examples: Mapping[str, Setting],
        training: Mapping[str, Setting],
        grid: Mapping[str, tuple[Setting, ...]],
    ) -> None:
        self._same, self._grid = {**examples, **training}, grid

    def keep(self, name: str = "KEEP", /, **settings: Setting) -> Arm:
        """Return KEEP: DIN with a plug."""
        names = {"dropout": "base.dropout"}
        grid = {names.get(setting, setting): values for setting, values in self._grid.items()}
        return Arm(name, "keep", {**self._same, **of_net("base", _NET), **settings}, grid)

    def din(self, name: str, way: str, /, **settings: Setting) -> Arm:
        """Return DIN with a way of using the super-domain."""
        return Arm(name, "din", {**self._same, **_NET, "way": way, **settings}, self._grid)


# Synthetic clicks: the mechanism exists by construction.

_SYNTHETIC: Mapping[str, Setting] = {
    "max_len": 5,
    "running_rates": "false",
    "rare_count": 1,
    "rare_share": 0.0,
}
_EXTRACTION: Mapping[str, Setting] = {
    "extractor.tower_hidden": 64,
    "extractor.attention_hidden": 16,
    "extracting.epochs": 4,
    "extracting.patience": 1,
}
_HALVES: Mapping[str, Setting] = {
    "domain_column": "domain",
    "domain": "small",
    "validation": 0.25,
    "test": 0.25,
}
_CONTROL = Transfer(
    DomainSource(
        cuts=(
            *((name, _pairs(_HALVES, {"until": 0.8})) for name in (_SLIGHT, _STRONG)),
            (_STREAM, _pairs(_HALVES, {"until": 232 / (232 + 160), "slices": 12, "passes": 3})),
        ),
        laws=_LAWS,
    ),
    extraction=_pairs(
        _SYNTHETIC, _EXTRACTION, {"extracting.batch": 512, "extracting.learning_rate": 1e-2}
    ),
    pretraining=_pairs(_SYNTHETIC, _NET, {**_TRAINING, "learning_rate": 1e-2}),
)
_TOYS = _Arms(_SYNTHETIC, _TRAINING, {"learning_rate": (1e-3, 3e-3, 1e-2)})
_KEEP, _BASE = _TOYS.keep(), _TOYS.din("base", "base")
_ZERO, _MIXED, _FINE = (
    _TOYS.din(name, way)
    for name, way in (
        ("super-domain alone", "zero-shot"),
        ("mixed training", "mixed"),
        ("fine-tuned", "fine-tune"),
    )
)
_synthetic = partial(
    Claim,
    source="ours: tastes that two domains share in part",
    reported=_NOTHING,
    metric="auc",
    group="control",
    experiment=_CONTROL,
    widenings=1,
)

_CONTROLS = (
    _synthetic(
        id="keep-lifts-the-base",
        text="If tastes transfer, knowledge improves a model of the small domain by at least .008.",
        arms=(_KEEP, _BASE, _ZERO, _MIXED, _FINE),
        data=(_SLIGHT,),
        minimum=0.008,
    ),
    _synthetic(
        id="keep-lifts-the-base-under-shift",
        text="Knowledge improves the model if the domains differ much, too.",
        arms=(_KEEP, _BASE, _ZERO, _MIXED, _FINE),
        data=(_STRONG,),
    ),
    _synthetic(
        id="keep-beats-mixed-training-under-shift",
        text="If the domains differ much, KEEP beats training on both domains at once.",
        arms=(_KEEP, _MIXED),
        data=(_STRONG,),
        source=f"{_PAPER}, its introduction",
    ),
    _synthetic(
        id="meaning-is-what-helps",
        text="The content of the knowledge matters, not the number of columns: it beats knowledge "
        "of other users and items.",
        arms=(_KEEP, _TOYS.keep("KEEP, shuffled", knowledge=SHUFFLED), _BASE),
        data=(_SLIGHT,),
    ),
    _synthetic(
        id="keep-beats-a-larger-base",
        text="The gain is not due to the number of parameters: KEEP beats a base with at least "
        "that number.",
        arms=(_KEEP, _TOYS.din("base, wide", "base", width=48, hidden="128,64"), _BASE),
        data=(_SLIGHT,),
    ),
    *(
        _synthetic(
            id=f"keep-beats-fine-tuning-on-{items}-items",
            text=f"After a stream of twelve slices with two of six groups of items, KEEP ranks "
            f"items {description} better than the fine-tuned model.",
            arms=(_KEEP, _FINE, _BASE),
            data=(_STREAM,),
            metric=f"auc_{items}",
            minimum=minimum,
            group="stream",
            source=f"{_PAPER}, its introduction: fine-tuning forgets under incremental updates",
        )
        for items, description, minimum in (
            ("never", "that the stream lacks", 0.01),
            ("streamed", "of the stream", 0.0),
        )
    ),
)

# Real data.

_READ: Mapping[str, Setting] = {"max_len": 20}
_LEARN: Mapping[str, Setting] = {**_TRAINING, "epochs": 3}
_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (1e-3, 3e-3),
    "dropout": (0.0, 0.3),
    "weight_decay": (0.0, 0.01),
}
_FROM: Mapping[str, Setting] = {
    **_EXTRACTION,
    "extracting.batch": 1024,
    "extracting.epochs": 2,
    "extracting.learning_rate": 3e-3,
}


_SETTLE: Mapping[str, Setting] = {"epochs": 20, "patience": 5}
"""Longer training for Toys, where three epochs are too few on validation."""


def _transfer(
    cut: Mapping[str, Setting],
    data: str,
    extraction: Mapping[str, Setting] = _FROM,
    **more: Setting,
) -> Transfer:
    examples = {**_READ, **more}
    pretraining = {**_LEARN, "batch": 1024, "epochs": 2, "learning_rate": 3e-3}
    return Transfer(
        DomainSource(((data, _pairs(cut)),)),
        _pairs(examples, extraction),
        _pairs(examples, _NET, pretraining),
    )


# Trials run on all users: a sixth of the users selects a learning rate that is too high for all.
_FILMS = _Arms(_READ, {**_LEARN, "epochs": 12, "patience": 3}, _GRID)
_FILM_KEEP, _FILM_BASE = _FILMS.keep(), _FILMS.din("base", "base")
_FILM_CUT: Mapping[str, Setting] = {"domain_column": "genres", "domain": "Sci-Fi", "until": 0.7}
_headline = partial(
    Claim,
    source=f"{_PAPER}, its comparison of models",
    reported=_REPORTED,
    metric="auc",
    group="headline",
    data=("ml-1m",),
    experiment=_transfer(_FILM_CUT, "ml-1m"),
    in_quick=False,
    most_trials=6,
    halving=2,
    widenings=1,
)

_HEADLINE = (
    _headline(
        id="keep-lifts-science-fiction",
        text="DIN with knowledge from earlier ratings of all genres ranks later likes of science "
        "fiction better than DIN.",
        arms=(_FILM_KEEP, _FILM_BASE),
    ),
    _headline(
        id="keep-beats-mixed-training-on-science-fiction",
        text="KEEP ranks them better than DIN trained on both domains at once.",
        arms=(_FILM_KEEP, _FILMS.din("mixed training", "mixed")),
    ),
    _headline(
        id="keep-beats-fine-tuning-on-science-fiction",
        text="KEEP ranks them better than DIN trained on all genres and fine-tuned on this one.",
        arms=(_FILM_KEEP, _FILMS.din("fine-tuned", "fine-tune")),
    ),
    _headline(
        id="meaning-is-what-helps-science-fiction",
        text="The content of the knowledge matters, not the number of columns: it beats knowledge "
        "of other users and items.",
        arms=(_FILM_KEEP, _FILMS.keep("KEEP, shuffled", knowledge=SHUFFLED)),
        source="our control, which the paper's claim implies",
        reported=_NOTHING,
    ),
    _headline(
        id="keep-beats-a-larger-base-on-science-fiction",
        text="The gain is not due to the number of parameters: KEEP beats a base with at least "
        "that number.",
        arms=(_FILM_KEEP, _FILMS.din("base, wide", "base", width=48, hidden="128,64")),
        source="our control, which the paper's claim implies",
        reported=_NOTHING,
    ),
)

_users = partial(_headline, group="users")
_USERS = (
    _users(
        id="known-users-gain",
        text="For users with events in the window, KEEP ranks likes better than DIN.",
        arms=(_FILM_KEEP, _FILM_BASE),
        metric="auc_met",
    ),
    _users(
        id="users-with-little-gain",
        text="For users with few training events of the small domain, KEEP ranks likes better than "
        "DIN.",
        arms=(_FILM_KEEP, _FILM_BASE),
        metric="auc_few",
        reported="that users of a sub-domain have few impressions: 29 a month, of 236 in all",
    ),
    _users(
        id="a-longer-past-does-not-do-it",
        text="KEEP beats DIN that is also trained on the earlier events of the small domain.",
        arms=(_FILM_KEEP, _FILMS.din("base, long", "long")),
        source="our control: the window is of other domains, and of longer ago",
        reported=_NOTHING,
    ),
)

_plugs = partial(_headline, source="ours: three forms of a plug", reported=_NOTHING, group="plugs")
_PLUGS = tuple(
    claim
    for arms, data, experiment in (
        (_TOYS, _SLIGHT, _CONTROL),
        (_FILMS, "ml-1m", _transfer(_FILM_CUT, "ml-1m")),
    )
    for claim in (
        _plugs(
            id=f"{kind}-is-as-good-as-adding-{'made-up' if data == _SLIGHT else 'films'}",
            text=f"A plug that {action} is as good as one that adds, to within .005.",
            arms=(arms.keep(f"KEEP, {kind}", plug=kind), arms.keep()),
            data=(data,),
            experiment=experiment,
            allowance=0.005,
        )
        for kind, action in (("concat", "feeds the layer"), ("gate", "gates its units"))
    )
)

_IMPLICIT = _Arms(
    {**_READ, "feedback": "implicit"},
    {**_LEARN, **_SETTLE},
    {**_GRID, "learning_rate": (3e-3, 1e-2)},
)
_others = partial(_headline, source=f"{_PAPER}, its comparison of models", group="others")
_OTHERS = (
    _others(
        id="keep-lifts-toys",
        text="DIN with knowledge from purchases of all categories ranks purchases of one category "
        "above popular items of it better than DIN.",
        arms=(
            _IMPLICIT.keep(),
            _IMPLICIT.din("base", "base"),
            _IMPLICIT.keep("KEEP, shuffled", knowledge=SHUFFLED),
            _IMPLICIT.din("base, long", "long"),
        ),
        data=("toys-ctr",),
        experiment=_transfer(
            {"domain_column": "category", "domain": "8", "until": 0.6},
            "toys-ctr",
            {**_FROM, "extracting.epochs": 8, "extracting.patience": 2},
            feedback="implicit",
        ),
    ),
    _others(
        id="keep-lifts-play",
        text="DIN with knowledge from half of each user's games ranks which of the others were "
        "played better than DIN. The split is not by time.",
        arms=(
            _FILMS.keep(),
            _FILM_BASE,
            _FILMS.keep("KEEP, shuffled", knowledge=SHUFFLED),
            _FILMS.din("mixed training", "mixed"),
        ),
        data=("steam",),
        experiment=_transfer({"cut": "order", "until": 0.5}, "steam"),
    ),
    _others(
        id="keep-lifts-horror-of-known-users",
        text="With knowledge of every user from the first seven tenths of their events, KEEP ranks "
        "likes of horror among the others better than DIN. The split is not by time.",
        arms=(
            _FILMS.keep(),
            _FILM_BASE,
            _FILMS.keep("KEEP, shuffled", knowledge=SHUFFLED),
            _FILMS.din("fine-tuned", "fine-tune"),
        ),
        data=("ml-1m",),
        experiment=_transfer(
            {"domain_column": "genres", "domain": "Horror", "until": 0.7, "cut": "order"}, "ml-1m"
        ),
    ),
)

CLAIMS = (*_CONTROLS, *_HEADLINE, *_USERS, *_PLUGS, *_OTHERS)
