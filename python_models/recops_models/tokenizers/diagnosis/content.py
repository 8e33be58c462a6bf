"""Contents of a diagnosis, with the layout of ``diagnosis.json``."""

from __future__ import annotations

from typing import TypedDict

from typing_extensions import NotRequired

from recops.state.trie import Branching
from recops_models.tokenizers.usage import CodeUsage, Spread


class NoiseFigures(TypedDict):
    """Metrics of a level's codebook under noise of σ = ρ · spread."""

    rho: float
    sigma: float
    overlap: float
    k_eff: float
    distribution_penalty: float
    geometry_penalty: float


class FlipRates(TypedDict):
    """Shares of items whose codes change under noise ρ: per level, and at any level (``path``)."""

    rho: float
    levels: list[float]
    path: float


class LevelFigures(CodeUsage):
    """Metrics of one level."""

    error_share: NotRequired[float]
    spread: NotRequired[float]
    noise: NotRequired[list[NoiseFigures]]


class PathFigures(Spread):
    """Evenness of items, or of exposure, over paths."""

    top_share: dict[str, float]


class Collisions(TypedDict):
    """Collisions of items on paths."""

    unique_sid: int
    no_collision_rate: float
    uniquely_identified_item_rate: float
    collision_rate: float
    max_collision: int


class ItemPathFigures(Collisions, PathFigures):
    """Collisions and evenness of items over paths."""


class ExposureFigures(TypedDict):
    """Metrics of levels and paths with items weighted by exposure."""

    levels: list[LevelFigures]
    paths: PathFigures


class HitRates(TypedDict):
    """Hit rates of item-to-item search with original and decoded vectors, and their ratio."""

    vectors: float
    decoded: float
    retention: float | None


class Behaviour(TypedDict):
    """Similarity of codes for items that users interact with in sequence."""

    pairs: int
    hit_rate: dict[str, HitRates]
    sid_auc: float
    vector_auc: float


class StepEntropy(TypedDict):
    """Entropy H(x_t | x_<t) of one step in bits, by three estimators.

    See :func:`~recops_models.tokenizers.diagnosis.step_entropy.step_entropies`.
    """

    plug_in: float
    miller_madow: float
    held_out: float


class ChainEntropies(TypedDict):
    """Entropy of the codes with and without attributes before them.

    ``none``, ``attributes`` and ``shuffled`` have one entry per code: without attributes, with
    them, and with attributes shuffled between items. ``gain`` and ``shuffled_gain`` are the
    decrease of each estimator, summed over the codes.
    """

    none: list[StepEntropy]
    attributes: list[StepEntropy]
    shuffled: list[StepEntropy]
    gain: StepEntropy
    shuffled_gain: StepEntropy


class DiagnosisFigures(TypedDict):
    """Result of :func:`~recops_models.tokenizers.diagnosis.diagnose`."""

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
