"""UniRec's claims about parts: attributes, codes, decoding context, width, rewards, scenes.

Nothing is tuned: every arm has UniRec's defaults except for one change, and SASRec is untuned too.
Beauty has fewer epochs, for time. The league compares tuned rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from recops_evidence.claims._unirec_rankers import PAPER, Rankers
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
    *others: Mapping[str, Setting],
    data: Sequence[str] = tuple(_PARTS),
    metric: str = "hr@50",
    source: str = _ABLATION,
    group: str = "parts",
    experiment: RankingRuns = _RUNS,
    has_rivals: bool = True,
) -> tuple[Claim, ...]:
    """Return one claim per data set; each arm is UniRec with some settings, which are its name."""
    claims = []
    for where in data:
        rankers = _PARTS[where]
        arms = [rankers.unirec(_named(settings), **settings) for settings in (first, second)]
        arms += [rankers.unirec(_named(settings), **settings) for settings in others]
        claims.append(
            Claim(
                id=f"{name}-on-{where}",
                text=text,
                source=source,
                reported=reported,
                arms=(*arms, *(rankers.rivals(sasrec=True) if has_rivals else ())),
                data=(where,),
                metric=metric,
                experiment=experiment,
                group=group,
                in_quick=False,
                seeds=3,
            )
        )
    return tuple(claims)


def _named(settings: Mapping[str, Setting]) -> str:
    text = ", ".join(
        f"{name} {'none' if value == '' else value}" for name, value in settings.items()
    )
    return f"UniRec, {text}" if text else "UniRec"


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
        "The items' attributes help more than the same attributes permuted over items.",
        {},
        _SHUFFLED,
        _NOTHING,
        _NO_ATTRIBUTE,
        source="ours: the control of the claim before",
    ),
    *one_change(
        "a-second-attribute-helps",
        "Two attributes help more than the first alone.",
        {"attributes": "class,release_year"},
        {},
        _CHAIN,
        data=("ml-100k",),
    ),
    *one_change(
        "a-second-attribute-helps",
        "Two attributes help more than the first alone.",
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

# Rewards and preferences need ratings. Their control continues with next tokens for the same time.
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
            f"{text} find liked items more often than an equally long next-token training.",
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

# New items are inserted after training, with codes of the trained tokenizer; ml-100k only, for
# time.
_CONTENT: Mapping[str, Setting] = {**_NO_ATTRIBUTE, "codes_of": "content"}
_of_new_items = partial(
    one_change,
    reported=_NOTHING,
    data=("ml-100k",),
    metric="hr@10",
    source="ours",
    group="new-items",
    experiment=NewItemRuns(),
    has_rivals=False,
)
NEW_ITEMS = (
    *_of_new_items(
        "new-items-are-found-by-their-codes",
        "Codes from content transfer to items that came after training: these are found more often "
        "than with permuted codes.",
        _CONTENT,
        {**_NO_ATTRIBUTE, "codes_of": "chance"},
    ),
    *_of_new_items(
        "codes-of-content-alone-find-new-items",
        "New items are found more often by codes from content alone than by codes from content and "
        "co-occurrence, which new items lack.",
        _CONTENT,
        _NO_ATTRIBUTE,
    ),
)

_SCENES = SceneRuns(SyntheticScenes())
_OF_SCENES = Rankers({"batch": 64, "epochs": 15, "patience": 4, "task": "scene"}, {})
CONTROLS = (
    Claim(
        id="knowing-the-scene-it-finds-more",
        text="If the same users want different items in two scenes, a model that knows the scene "
        "finds more than a model that does not.",
        source="ours: only the scene determines the kind of item",
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
