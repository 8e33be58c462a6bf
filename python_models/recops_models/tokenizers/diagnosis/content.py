"""What a diagnosis holds, as ``diagnosis.json`` lays it out."""

from __future__ import annotations

from typing import TypedDict

from typing_extensions import NotRequired

from recops.state.trie import Branching
from recops_models.tokenizers.usage import CodeUsage, Spread


class NoiseFigures(TypedDict):
    """A level's codebook seen with noise of σ = ρ · spread."""

    rho: float
    sigma: float
    overlap: float
    k_eff: float
    distribution_penalty: float
    geometry_penalty: float


class FlipRates(TypedDict):
    """Shares of items whose codes change under noise ρ: of each level, and of any of them."""

    rho: float
    levels: list[float]
    path: float


class LevelFigures(CodeUsage):
    """One level."""

    error_share: NotRequired[float]
    spread: NotRequired[float]
    noise: NotRequired[list[NoiseFigures]]


class PathFigures(Spread):
    """How items, or exposure, are spread over whole paths."""

    top_share: dict[str, float]


class Collisions(TypedDict):
    """How many items share their path."""

    unique_sid: int
    no_collision_rate: float
    uniquely_identified_item_rate: float
    collision_rate: float
    max_collision: int


class ItemPathFigures(Collisions, PathFigures):
    """Paths by items."""


class ExposureFigures(TypedDict):
    """Levels and paths where every item counts its exposure."""

    levels: list[LevelFigures]
    paths: PathFigures


class HitRates(TypedDict):
    """Of item-to-item search by the vectors and by what codes decode to, and their ratio."""

    vectors: float
    decoded: float
    retention: float | None


class Behaviour(TypedDict):
    """What codes keep of items that were engaged with together."""

    pairs: int
    hit_rate: dict[str, HitRates]
    sid_auc: float
    vector_auc: float


class StepEntropy(TypedDict):
    """H(x_t | x_<t) of one step in bits, by three estimators; see
    :func:`~recops_models.tokenizers.diagnosis.step_entropy.step_entropies`.
    """

    plug_in: float
    miller_madow: float
    held_out: float


class ChainEntropies(TypedDict):
    """What attributes before the codes are worth.

    ``none``, ``attributes`` and ``shuffled`` have one entry a code step: without attributes, with
    them, and with the same attributes dealt to items at random. ``gain`` and ``shuffled_gain`` tell
    by how much each estimator falls, summed over the code steps.
    """

    none: list[StepEntropy]
    attributes: list[StepEntropy]
    shuffled: list[StepEntropy]
    gain: StepEntropy
    shuffled_gain: StepEntropy


class Diagnosis(TypedDict):
    """See :func:`~recops_models.tokenizers.diagnosis.diagnose`."""

    items: int
    levels: list[LevelFigures]
    paths: ItemPathFigures
    branching: list[Branching]
    exposure: NotRequired[ExposureFigures]
    error_share: NotRequired[float]
    greedy_share: NotRequired[float]
    flips: NotRequired[list[FlipRates]]
    behaviour: NotRequired[Behaviour]
    chain: NotRequired[ChainEntropies]
    missing: dict[str, str]
