"""AGE: Wu et al., Adversarial Gradient Driven Exploration for Deep Click-Through Rate Prediction,
2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

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
_EPSILON = Arm("ε-greedy", "epsilon-greedy", {}, _grid(0.01, 0.03, 0.1))
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

_EVERY = ("arrivals", "unlucky", "ml-1m")
_claim = partial(
    Claim,
    metric="reward",
    experiment=BanditRuns(),
    data=_EVERY,
    seeds=30,
    halving=2,
)

_CONTROL = (
    _claim(
        id="exploring-pays",
        text="Where better items begin with scores near 0, an upper bound beats greedy.",
        source="ours: a world in which exploring must pay, whoever does it",
        reported=_NOTHING,
        arms=(_UCB, _GREEDY, _TS, _EPSILON),
        data=("unlucky",),
        group="control",
    ),
    _claim(
        id="age-explores",
        text="There AGE-UCB, without a gate, beats greedy as well.",
        source="ours: who loses here, does not explore",
        reported=_NOTHING,
        arms=(_OPEN_UCB, _GREEDY, _UCB),
        data=("unlucky",),
        group="control",
    ),
)

_baseline = partial(_claim, group="baselines", source=f"{_PAPER}, its table of clicks")
_BASELINES = (
    _baseline(
        id="age-ts-beats-greedy",
        text="AGE-TS earns more clicks than the model alone.",
        reported=f"50,111 ± 709 beside 39,149 ± 748 (+28.0 %), {_TABLE}",
        arms=(_AGE_TS, _GREEDY, _EPSILON),
    ),
    _baseline(
        id="age-ucb-beats-greedy",
        text="AGE-UCB earns more clicks than the model alone.",
        reported=f"47,874 ± 1,085 beside 39,149 ± 748 (+22.3 %), {_TABLE}",
        arms=(_AGE_UCB, _GREEDY),
    ),
    _baseline(
        id="age-ts-beats-ts",
        text="AGE-TS earns more than Thompson sampling with the same uncertainty.",
        reported=f"not this one: 50,111 beside ensemble-TS 43,429 and GP-TS 44,070, {_TABLE}",
        arms=(_AGE_TS, _TS),
    ),
    _baseline(
        id="age-ucb-beats-ucb",
        text="AGE-UCB earns more than an upper bound with the same uncertainty.",
        reported=f"not this one: 47,874 beside ensemble-UCB 31,986 and GP-UCB 36,192, {_TABLE}",
        arms=(_AGE_UCB, _UCB),
    ),
    _baseline(
        id="age-ts-beats-age-ucb",
        text="With AGE, Thompson sampling earns more than an upper bound.",
        reported=f"50,111 beside 47,874, {_TABLE}",
        arms=(_AGE_TS, _AGE_UCB),
    ),
)

_mechanism = partial(
    _claim, group="mechanism", data=("unlucky", "ml-1m"), source=f"{_PAPER}, its ablations"
)
_MECHANISM = (
    _mechanism(
        id="the-direction-matters",
        text="The gradient's direction earns more than a random one of equal norm.",
        reported="without the direction 44,638 instead of 50,111 (−10.9 %), AGE-TS",
        arms=(_OPEN_UCB, _AIMLESS),
    ),
    _mechanism(
        id="the-uncertainty-matters",
        text="δ of a row earns more than that of another row.",
        reported="a Gaussian δ 45,677 instead of 50,111 (−8.9 %), AGE-TS",
        arms=(_OPEN_UCB, _SHUFFLED, _GAUSSIAN),
    ),
    _mechanism(
        id="pgd-beats-fgm",
        text="Projected steps earn more than one gradient.",
        reported="50,111 beside 48,698 (+2.9 %), AGE-TS",
        arms=(_OPEN_UCB, _FGM),
    ),
    _mechanism(
        id="the-gate-helps-ucb",
        text="The gate helps AGE-UCB.",
        reported="without it 38,327 instead of 47,874 (−19.9 %)",
        arms=(_AGE_UCB, _OPEN_UCB),
    ),
    _mechanism(
        id="the-gate-helps-ts",
        text="The gate helps AGE-TS.",
        reported="without it 47,387 instead of 50,111 (−5.4 %)",
        arms=(_AGE_TS, _OPEN_TS),
    ),
)

_FAIR = (
    _claim(
        id="its-logs-teach-more",
        text="A learner that does not explore earns more when fed with AGE-TS's log than with the "
        "greedy one's.",
        source=f"{_PAPER}, its online test in fair buckets",
        reported="clicks a page view +6.4 %, AGE-TS",
        arms=(_AGE_TS, _GREEDY, _TS),
        metric="fair_reward",
        group="fair",
    ),
)

_LOGGED = (
    _claim(
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
    ),
)

CLAIMS = (*_CONTROL, *_BASELINES, *_MECHANISM, *_FAIR, *_LOGGED)
