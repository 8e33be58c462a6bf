"""AGE: Wu et al., Adversarial Gradient Driven Exploration for Deep Click-Through Rate Prediction,
2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from recops_models.claims._beside import beside
from recops_models.evidence.experiments.bandit_runs import BanditRuns
from recops_models.evidence.experiments.logged_bandit import LoggedBandit
from recops_models.evidence.harness.claim import Arm, Claim
from recops_models.evidence.harness.experiment import Setting

_PAPER = "arXiv 2112.11136"
_NOTHING = "nothing"
_TABLE = "clicks on Yahoo! R6B by replay, all of the data"

# Every policy has the same rates to choose from, and three strengths; greedy, which has none,
# three weight decays. λ is relative to the 64 requests of a round.
_RATES = (0.01, 0.03)
_UNMOVED: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": _RATES,
    "weight_decay": (0.001, 0.01, 0.1),
}


def _grid(*strengths: float) -> Mapping[str, tuple[Setting, ...]]:
    return {"learning_rate": _RATES, "strength": strengths}


def _age(name: str, model: str = "age-ucb", **settings: Setting) -> Arm:
    return Arm(name, model, settings, _grid(0.03, 0.1, 0.3))


_GREEDY = Arm("greedy", "greedy", {}, _UNMOVED)
_EPSILON = Arm("ε-greedy", "epsilon-greedy", {}, _grid(0.01, 0.03, 0.1), {"strength": 1.0})
_TS = Arm("TS", "ts", {}, _grid(0.3, 1.0, 3.0))
_UCB = Arm("UCB", "ucb", {}, _grid(1.0, 3.0, 10.0))
_AGE_TS = _age("AGE-TS", "age-ts", gate="dgu")
_AGE_UCB = _age("AGE-UCB", gate="dgu")
_OPEN_TS = _age("AGE-TS, no gate", "age-ts")
_OPEN_UCB = _age("AGE-UCB, no gate")
_FGM = _age("AGE-UCB, no gate, FGM", direction="fgm")
_SHUFFLED = _age("AGE-UCB, no gate, δ shuffled", control="shuffled")
_GAUSSIAN = _age("AGE-UCB, no gate, δ Gaussian", control="gaussian")
_AIMLESS = _age("AGE-UCB, no gate, random direction", control="random-direction")

_SERVING = (_AGE_TS, _AGE_UCB, _TS, _UCB, _EPSILON, _GREEDY)
_IN_PARTS = (_OPEN_TS, _OPEN_UCB, _FGM, _SHUFFLED, _GAUSSIAN, _AIMLESS)
_ARMS = {
    "arrivals": _SERVING,
    "unlucky": (*_SERVING, *_IN_PARTS),
    "ml-1m": (*_SERVING, *_IN_PARTS),
}
_EVERY = tuple(_ARMS)
_WITH_PARTS = ("unlucky", "ml-1m")


def _claims(
    name: str,
    text: str,
    first: Arm,
    second: Arm,
    *,
    source: str,
    reported: str,
    group: str,
    worlds: Sequence[str] = _EVERY,
    metric: str = "reward",
) -> tuple[Claim, ...]:
    """One claim a world. Policies are chosen by what they earn, whatever is then compared; one seed
    tells little there, of four trials of a policy five are asked.
    """
    return tuple(
        Claim(
            id=f"{name}-in-{world}",
            text=text,
            source=source,
            reported=reported,
            arms=beside(_ARMS[world], first, second),
            data=(world,),
            metric=metric,
            experiment=BanditRuns(),
            chosen_by="reward",
            group=group,
            seeds=30,
            tuning_seeds=5,
            halving=4,
        )
        for world in worlds
    )


_control = partial(_claims, reported=_NOTHING, group="control", worlds=("unlucky",))
_CONTROL = (
    *_control(
        "exploring-pays",
        "Where better items begin with scores near 0, an upper bound beats greedy.",
        _UCB,
        _GREEDY,
        source="ours: a world in which exploring must pay, whoever does it",
    ),
    *_control(
        "age-explores",
        "There AGE-UCB, without a gate, beats greedy as well.",
        _OPEN_UCB,
        _GREEDY,
        source="ours: who loses here, does not explore",
    ),
)

_baseline = partial(_claims, group="baselines", source=f"{_PAPER}, its table of clicks")
_BASELINES = (
    *_baseline(
        "age-ts-beats-greedy",
        "AGE-TS earns more clicks than the model alone.",
        _AGE_TS,
        _GREEDY,
        reported=f"50,111 ± 709 beside 39,149 ± 748 (+28.0 %), {_TABLE}",
    ),
    *_baseline(
        "age-ucb-beats-greedy",
        "AGE-UCB earns more clicks than the model alone.",
        _AGE_UCB,
        _GREEDY,
        reported=f"47,874 ± 1,085 beside 39,149 ± 748 (+22.3 %), {_TABLE}",
    ),
    *_baseline(
        "age-ts-beats-ts",
        "AGE-TS earns more than Thompson sampling with the same uncertainty.",
        _AGE_TS,
        _TS,
        reported=f"not this one: 50,111 beside ensemble-TS 43,429 and GP-TS 44,070, {_TABLE}",
    ),
    *_baseline(
        "age-ucb-beats-ucb",
        "AGE-UCB earns more than an upper bound with the same uncertainty.",
        _AGE_UCB,
        _UCB,
        reported=f"not this one: 47,874 beside ensemble-UCB 31,986 and GP-UCB 36,192, {_TABLE}",
    ),
    *_baseline(
        "age-ts-beats-age-ucb",
        "With AGE, Thompson sampling earns more than an upper bound.",
        _AGE_TS,
        _AGE_UCB,
        reported=f"50,111 beside 47,874, {_TABLE}",
    ),
)

_mechanism = partial(
    _claims, group="mechanism", worlds=_WITH_PARTS, source=f"{_PAPER}, its ablations"
)
_MECHANISM = (
    *_mechanism(
        "the-direction-matters",
        "The gradient's direction earns more than a random one of equal norm.",
        _OPEN_UCB,
        _AIMLESS,
        reported="without the direction 44,638 instead of 50,111 (−10.9 %), AGE-TS",
    ),
    *_mechanism(
        "the-uncertainty-matters",
        "δ of a row earns more than that of another row.",
        _OPEN_UCB,
        _SHUFFLED,
        reported="a Gaussian δ 45,677 instead of 50,111 (−8.9 %), AGE-TS",
    ),
    *_mechanism(
        "pgd-beats-fgm",
        "Projected steps earn more than one gradient.",
        _OPEN_UCB,
        _FGM,
        reported="50,111 beside 48,698 (+2.9 %), AGE-TS",
    ),
    *_mechanism(
        "the-gate-helps-ucb",
        "The gate helps AGE-UCB.",
        _AGE_UCB,
        _OPEN_UCB,
        reported="without it 38,327 instead of 47,874 (−19.9 %)",
    ),
    *_mechanism(
        "the-gate-helps-ts",
        "The gate helps AGE-TS.",
        _AGE_TS,
        _OPEN_TS,
        reported="without it 47,387 instead of 50,111 (−5.4 %)",
    ),
)

_FAIR = _claims(
    "its-logs-teach-more",
    "A learner that does not explore earns more when fed with AGE-TS's log than with the greedy "
    "one's.",
    _AGE_TS,
    _GREEDY,
    source=f"{_PAPER}, its online test in fair buckets",
    reported="clicks a page view +6.4 %, AGE-TS",
    group="fair",
    metric="fair_reward",
)

_LOGGED = (
    Claim(
        id="age-ts-beats-greedy-on-logs",
        text="On the Open Bandit logs AGE-TS is worth more clicks than the model alone.",
        source="ours: the only public log of a random policy at hand",
        reported=_NOTHING,
        arms=(_AGE_TS, _GREEDY, _TS),
        data=("open-bandit",),
        metric="snips",
        experiment=LoggedBandit(),
        group="logs",
        glanced=False,
        seeds=30,
        halving=2,
    ),
)

CLAIMS = (*_CONTROL, *_BASELINES, *_MECHANISM, *_FAIR, *_LOGGED)
