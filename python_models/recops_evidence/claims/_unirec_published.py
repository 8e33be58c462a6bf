"""UniRec as published, compared with the defaults of this project.

The first arm has the defaults, the second ``--preset paper``: the network, the codes, two
attributes and, where events have levels, both stages after next tokens. Both arms have the same
sizes, data, epochs and tuning trials. The paper's sizes take too long for two cores. The shop data
has no ratings, so that rewards and preferences are left out there. For time nothing is tuned on it:
both arms are trained as those of the claims of parts are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.claims._unirec_rankers import PAPER, Rankers
from recops_evidence.experiments.ranking_runs import RankingRuns
from recops_evidence.harness.claim import Claim
from recops_evidence.harness.experiment import Setting
from recops_models.recipes.unirec import recipe

_GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (2.5e-3, 8e-3),
    "dropout": (0.1, 0.3),
}
_PRESET: Mapping[str, Setting] = {
    name: ",".join(value) if isinstance(value, tuple) else str(value)
    for name, value in recipe.preset("paper").items()
}
_FILMS = Rankers({"batch": 64, "epochs": 10, "patience": 4}, _GRID)
_SHOPS = Rankers(
    {
        "batch": 64,
        "learning_rate": 0.004,
        "dropout": 0.2,
        "epochs": 5,
        "patience": 3,
        "validation_users": 2000,
    },
    {},
)
_default_beats_preset = partial(
    Claim,
    text="UniRec's defaults find the next item, among ten, more often than UniRec as published.",
    source=f"ours: {PAPER} has neither scores of whole items nor self-attention over events",
    reported="nothing",
    metric="hr@10",
    chosen_by="ndcg@10",
    experiment=RankingRuns(),
    group="published",
    in_quick=False,
    seeds=3,
    tuning_seeds=1,
    widenings=0,
)

PUBLISHED = (
    _default_beats_preset(
        id="defaults-beat-the-published-system-on-ml-100k",
        arms=(
            _FILMS.unirec("UniRec, defaults"),
            _FILMS.unirec("UniRec, preset paper", **_PRESET),
            *_FILMS.rivals(),
        ),
        data=("ml-100k",),
        tuning_share=0.5,
    ),
    _default_beats_preset(
        id="defaults-beat-the-published-system-on-beauty",
        arms=(
            _SHOPS.unirec("UniRec, defaults"),
            _SHOPS.unirec("UniRec, preset paper, no alignment", **{**_PRESET, "align": "none"}),
            *_SHOPS.rivals(),
        ),
        data=("beauty",),
    ),
)
