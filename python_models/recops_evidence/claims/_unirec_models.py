"""UniRec compared with SASRec, the plain decoder, popularity and TIGER.

All arms of a claim have the same epochs and batch size; other settings are the model's defaults.
TIGER uses bfloat16, for time: its epoch on Beauty takes six times as long as UniRec's. It is
measured on two data sets, in ``recops reproduce tiger``. Beams are the defaults: 50 for TIGER and
100 for UniRec, where wider beams find no more among ten.

Tuning is shorter than elsewhere, for time: two seeds, four of the grid's nine points, one widening.
The comparison with TIGER on Beauty has one seed and no widening.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.experiments.ranking_runs import RankingRuns
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

PAPER = "arXiv 2604.12234"
_MODELS = (
    "HR@50 .537; SASRec .421, TIGER .437, OneRec-V2 .438; of orders .672; .548, .567, .582: on "
    "private items"
)
_PUBLISHED = (
    f"{_MODELS}. By others on these splits, HR@10 and NDCG@10: TIGER's paper (arXiv 2305.05065) "
    ".0648, .0384 on Beauty, .0712, .0432 on Toys; RPG (KDD 2025) .0809, .0464 and .0869, .0490"
)
_TABLE = f"{PAPER}, its table of models"


class Rankers:
    """Arms of claims on a kind of data.

    Args:
        training: training settings of all models.
        grid: grid of all models; empty: nothing is tuned.
        sizes: sizes of UniRec that differ from its defaults.
    """

    def __init__(
        self,
        training: Mapping[str, Setting],
        grid: Mapping[str, tuple[Setting, ...]],
        sizes: Mapping[str, Setting] | None = None,
    ) -> None:
        self._training, self._grid, self._sizes = training, grid, sizes or {}

    def arm(self, name: str, model: str, **settings: Setting) -> Arm:
        """Return a trained ranker."""
        return Arm(name, model, {**self._training, **settings}, self._grid)

    def unirec(self, name: str = "UniRec", **settings: Setting) -> Arm:
        """Return UniRec with its default settings, changed by the sizes and ``settings``."""
        return self.arm(name, "unirec", **{**self._sizes, **settings})

    def rivals(self, *names: str) -> tuple[Arm, ...]:
        """Return the rivals with ``names`` in order, then popularity."""
        known = {
            "SASRec": self.arm("SASRec", "sasrec"),
            "TIGER": self.arm("TIGER", "tiger", precision="bf16"),
            "plain decoder": self.unirec("plain decoder", attributes=""),
        }
        return *(known[name] for name in names), Arm("popularity", "popularity")


_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (1e-3, 2e-3, 4e-3),
    "dropout": (0.2, 0.4, 0.6),
}
# UniRec's sizes on films are those of the quickstart, selected on validation.
_OF_FILMS: Mapping[str, Setting] = {
    "heads": 2,
    "head_hidden": 128,
    "negatives": 1600,
    "item_loss": 4,
}
_FILMS = Rankers({"batch": 32, "epochs": 15, "patience": 4}, _GRID, _OF_FILMS)
# Ranking for all 22,000 users of Beauty takes longer than an epoch.
_SHOPS = Rankers({"batch": 64, "epochs": 15, "patience": 3, "validation_users": 2000}, _GRID)
_MANY = Rankers(
    {"batch": 64, "epochs": 4, "patience": 2, "warmup_epochs": 0.2, "validation_users": 2000},
    _GRID,
    _OF_FILMS,
)
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
_beats_tiger = partial(
    _headline, text="UniRec finds the next item, among ten, more often than TIGER."
)

HEADLINE = (
    _beats_sasrec(
        id="unirec-beats-sasrec-on-few-films",
        data=("ml-100k",),
        arms=(_FILMS.unirec(), *_FILMS.rivals("SASRec", "plain decoder")),
    ),
    _beats_sasrec(
        id="unirec-beats-sasrec",
        data=("beauty",),
        arms=(_SHOPS.unirec(), *_SHOPS.rivals("SASRec", "plain decoder")),
        tuning_share=0.3,
        in_quick=False,
    ),
    _beats_sasrec(
        id="unirec-beats-sasrec-among-toys",
        data=("toys",),
        arms=(_SHOPS.unirec(), *_SHOPS.rivals("SASRec")),
        tuning_share=0.3,
        in_quick=False,
    ),
    # Validation has 121 events there, so trials run on all users.
    _beats_sasrec(
        id="unirec-beats-sasrec-in-a-small-shop",
        data=("office",),
        arms=(_SHOPS.unirec(), *_SHOPS.rivals("SASRec")),
        in_quick=False,
    ),
    _beats_sasrec(
        id="unirec-beats-sasrec-on-places",
        data=("yelp",),
        arms=(_SHOPS.unirec(), *_SHOPS.rivals("SASRec")),
        tuning_share=0.2,
        in_quick=False,
    ),
    _beats_sasrec(
        id="unirec-beats-sasrec-on-many-films",
        data=("ml-1m",),
        arms=(_MANY.unirec(), *_MANY.rivals("SASRec")),
        tuning_share=0.15,
        in_quick=False,
    ),
)
TIGER_CLAIMS = (
    _beats_tiger(
        id="unirec-beats-tiger-on-few-films",
        data=("ml-100k",),
        arms=(_FILMS.unirec(), *_FILMS.rivals("TIGER")),
        tuning_share=0.3,
    ),
    _beats_tiger(
        id="unirec-beats-tiger",
        data=("beauty",),
        arms=(_SHOPS.unirec(), *_SHOPS.rivals("TIGER")),
        tuning_share=0.3,
        in_quick=False,
        tuning_seeds=1,
        halving=0,
        widenings=0,
    ),
)
