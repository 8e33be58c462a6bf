"""UniRec's claims of parts: attributes, codes, decoding context, width, rewards, scenes.

Nothing is tuned: every arm has the sizes of UniRec's defaults but for what it is to show. Rate and
dropout lie near the best of UniRec's trials in the headline, on both data sets, so that SASRec
stands beside it untuned; on Beauty there are fewer epochs, for time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from recops_evidence.claims._unirec_models import PAPER, Rankers
from recops_evidence.experiments.new_item_runs import NewItemRuns
from recops_evidence.experiments.ranking_runs import RankingRuns, SceneRuns
from recops_evidence.experiments.synthetic_scenes import SyntheticScenes
from recops_evidence.harness.claim import Claim
from recops_evidence.harness.experiment import Setting

_RUNS = RankingRuns()
_NOTHING = "nothing"
_ABLATION = f"{PAPER}, its ablations"
_WIDTHS = "HR@50 .397, .477, .537, .557 with d = 64, 128, 256, 512, on private items"

_TRAINING: Mapping[str, Setting] = {"batch": 64, "learning_rate": 0.004, "dropout": 0.2}
_PARTS = {
    "ml-100k": Rankers({**_TRAINING, "epochs": 15, "patience": 4}, {}),
    "beauty": Rankers({**_TRAINING, "epochs": 5, "patience": 3, "validation_users": 2000}, {}),
}


def one_change(
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
    experiment: RankingRuns = _RUNS,
    rivals: Sequence[str] = ("SASRec",),
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
                arms=(*arms, *(rankers.rivals(*rivals) if rivals else ())),
                data=(where,),
                metric=metric,
                experiment=experiment,
                group=group,
                glanced=False,
                seeds=3,
            )
        )
    return tuple(claims)


def _named(settings: Mapping[str, Setting]) -> str:
    told = ", ".join(
        f"{name} {'none' if value == '' else value}" for name, value in settings.items()
    )
    return f"UniRec, {told}" if told else "UniRec"


def _wide(width: int) -> Mapping[str, Setting]:
    return {"width": width, "expert_hidden": width, "head_hidden": width}


_NO_ATTRIBUTE: Mapping[str, Setting] = {"attributes": ""}
_SHUFFLED: Mapping[str, Setting] = {"shuffle_attributes": "true"}
_CHAIN = (
    "HR@50 .537 with two attributes, .515 with the first alone, .517 with the second, .471 with a "
    "coarser one, .458 without, on private items"
)
PARTS = (
    *one_change(
        "an-attribute-helps",
        "An attribute before the codes finds the next item more often than the codes alone.",
        {},
        _NO_ATTRIBUTE,
        _CHAIN,
        _SHUFFLED,
    ),
    *one_change(
        "an-attribute-is-more-than-a-longer-path",
        "The items' own attributes do more than the same ones dealt at random.",
        {},
        _SHUFFLED,
        _NOTHING,
        _NO_ATTRIBUTE,
        source="ours: the control of the claim before",
    ),
    *one_change(
        "a-second-attribute-helps",
        "Two attributes do more than the first alone.",
        {"attributes": "class,release_year"},
        {},
        _CHAIN,
        data=("ml-100k",),
    ),
    *one_change(
        "a-second-attribute-helps",
        "Two attributes do more than the first alone.",
        {"attributes": "attributes:0,attributes:1"},
        {},
        _CHAIN,
        data=("beauty",),
    ),
    *one_change(
        "balanced-codes-help",
        "Codes under a capacity find the next item more often than plain residual k-means.",
        {"method": "balanced-rq"},
        {"method": "rq-kmeans"},
        "HR@50 .537 and .481, on private items with 4 000 codes a level",
    ),
    *one_change(
        "the-content-summary-helps",
        "A summary of the pairs of tokens decoded so far helps.",
        {"hash_width": 8},
        {"hash_width": 0},
        "HR@50 .537 and .485 without, on private items",
    ),
    *one_change(
        "width-helps",
        "A decoder of width 128 finds more than one of 64.",
        _wide(128),
        _wide(64),
        _WIDTHS,
    ),
)

# Rewards and preferences need events that say more than others: ratings. Their control goes on as
# long with next tokens.
_GOING_ON: Mapping[str, Setting] = {"align": "rft", "reward_strength": 0.0}
_ALIGNED: dict[str, Mapping[str, Setting]] = {how: {"align": how} for how in ("rft", "dpo", "both")}
ALIGNMENT = (
    *(
        claim
        for how, text in (
            ("rft", "Rewards"),
            ("dpo", "Preferences"),
            ("both", "Rewards and preferences together"),
        )
        for claim in one_change(
            f"align-{how}-helps",
            f"{text} find liked items more often than as much more of next tokens.",
            _ALIGNED[how],
            _GOING_ON,
            _NOTHING,
            {"align": "none"},
            data=("ml-100k",),
            metric="hr@10_liked",
            source=f"{PAPER}, its alignment by RFT and DPO",
            group="alignment",
        )
    ),
)

# New items take their places after training, by codes of the tokenizer that it left. On ml-100k
# alone, for time.
_CONTENT: Mapping[str, Setting] = {**_NO_ATTRIBUTE, "codes_of": "content"}
_of_new_items = partial(
    one_change,
    reported=_NOTHING,
    data=("ml-100k",),
    metric="hr@10",
    source="ours",
    group="new-items",
    experiment=NewItemRuns(),
    rivals=(),
)
NEW_ITEMS = (
    *_of_new_items(
        "new-items-are-found-by-their-codes",
        "Codes of content carry what was learnt over to items that came after training: they are "
        "found more often than with one another's codes.",
        _CONTENT,
        {**_NO_ATTRIBUTE, "codes_of": "chance"},
    ),
    *_of_new_items(
        "codes-of-content-alone-find-new-items",
        "New items are found more often by codes of content alone than by codes of content and "
        "company, of which they have none.",
        _CONTENT,
        _NO_ATTRIBUTE,
    ),
)

_SCENES = SceneRuns(SyntheticScenes())
_OF_SCENES = Rankers({"batch": 64, "epochs": 15, "patience": 4, "task": "scene"}, {})
CONTROLS = (
    Claim(
        id="told-of-the-scene-it-finds-more",
        text="Where the same users want opposite things in two scenes, one model that is told the "
        "scene finds more than one that is not.",
        source="ours: scenes are all that tells what is wanted",
        reported="HR@50 .400 with a BOS a task, .395 jointly without, .386 by one model a scene; "
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
