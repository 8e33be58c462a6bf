"""Runs that are residual k-means with and without a capacity: how exposure lies on the codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_evidence.experiments.exposed_items import (
    ExposedItems,
    real_exposed_items,
    synthetic_exposed_items,
)
from recops_evidence.experiments.item_runs import ItemRuns, fit_and_save
from recops_evidence.harness.experiment import Metrics, Run
from recops_models.callbacks import Callbacks
from recops_models.tokenizers import Tokenizer, make_tokenizer, sid_metrics
from recops_models.tokenizers.diagnosis.paths import number_paths
from recops_models.tokenizers.diagnosis.retention import retention
from recops_models.tokenizers.methods.balanced_rq import BalancedRQ, BalancedSettings, capacity_of
from recops_models.tokenizers.usage import held_by_top, spread

SYNTHETIC = "synthetic-exposure"
"""The data set that is drawn anew for every seed."""
_LEVELS, _CODES = 3, 32


@dataclass(frozen=True)
class Balancing(ItemRuns[ExposedItems]):
    """Fits ``rq-kmeans`` or ``balanced-rq``, three levels of 32 codes, and weighs its codes.

    An arm's setting ``weights`` says what ``balanced-rq`` balances: ``exposure`` or ``items``. Real
    items are described by their content alone; an item's exposure is its number of training events.
    The codes are those of the catalogue, all items assigned together; a code beyond its capacity
    is an AssertionError.
    """

    synthetic = SYNTHETIC

    def config(self, run: Run) -> dict[str, object]:
        """The method with all its settings, what it balances, the data and the seed."""
        tokenizer, weights = _tokenizer(run)
        data = {"data": run.data, "seed": run.seed, "quick": run.quick}
        return {**data, "method": run.model, "weights": weights, **tokenizer.config()}

    def _draw(self, seed: int) -> ExposedItems:
        return synthetic_exposed_items(seed)

    def _read(self, data: str) -> ExposedItems:
        return real_exposed_items(data)

    def _measure(
        self, run: Run, items: ExposedItems, folder: Path, callbacks: Callbacks
    ) -> Metrics:
        tokenizer, kind = _tokenizer(run)
        weights = items.exposure if kind == "exposure" else torch.ones(len(items.exposure))
        ids = torch.arange(len(items.vectors))
        fit_and_save(
            tokenizer, items.vectors, ids, folder, callbacks, seed=run.seed, weights=weights
        )
        codes = tokenizer.encode(items.vectors, weights=weights)
        if isinstance(tokenizer, BalancedRQ):
            assert_capacity(codes, weights, tokenizer.vocab_sizes, tokenizer.settings)
        return metrics_of(tokenizer, items, codes)


def assert_capacity(
    codes: Tensor, weights: Tensor, sizes: tuple[int, ...], settings: BalancedSettings
) -> None:
    """Whether every load ``V_k = Σ_{i: z_i = k} w̃_i`` is within its capacity, to the last bit.

    Args:
        codes: ``[N, L]``.
        weights: ``[N]``, what was balanced, before clipping.
        sizes: codes per level.
        settings: slack and clip.

    Raises:
        AssertionError: one is not; it is named.
    """
    for level, size in enumerate(sizes):
        clipped, capacity = capacity_of(weights, size, settings.slack, settings.clip)
        loads = _loads(codes[:, level].numpy(), clipped, size)
        fullest = int(loads.argmax())
        if loads[fullest] > capacity:
            raise AssertionError(
                f"level {level}, code {fullest} carries {loads[fullest]}, beyond {capacity}"
            )


def metrics_of(tokenizer: Tokenizer, items: ExposedItems, codes: Tensor) -> Metrics:
    """How much was lost, and how exposure lies on codes, prefixes and paths.

    Exposure is clipped as ``balanced-rq`` clips it by default, w̃ = min(w, ρ τ C), for all methods
    alike; C = Σ w̃ / K.

    Returns:
        ``nmse`` (unexplained variance) and its logarithm ``ln_nmse``, ``nmse@l`` with the codes up
        to level l; ``gini@l`` of the exposure on level l's codes, ``ln_gini@l``, and ``gini``,
        their mean over levels; ``prefixes@1%``, the share of exposure on the fullest 1 % of all K²
        two-code prefixes, the empty ones counted among them (5 and 10 % too), and ``paths@1%`` of
        all K³ paths; ``used_paths@1%``, on the fullest 1 % of the paths in use (5 and 10 % too);
        ``fullest``, the largest load of any level over τ C; ``over_capacity``, codes of all levels
        beyond τ C; ``no_collision_rate``; ``clipped_items``; ``infeasible_items``, those with
        w > τ C; ``raw_gini``, as ``gini`` of exposure that is not clipped; where there are held-out
        pairs ``retention@20``, what retrieval among decoded vectors keeps of that among vectors.
    """
    measure = BalancedSettings()
    sizes, numbers = tokenizer.vocab_sizes, codes.numpy()
    found = sid_metrics(tokenizer, items.vectors, codes)
    clipped, _ = capacity_of(items.exposure, _CODES, measure.slack, measure.clip)
    capacity = measure.slack * float(clipped.double().sum()) / _CODES
    loads, raw = (
        [_loads(numbers[:, level], exposure, size) for level, size in enumerate(sizes)]
        for exposure in (clipped, items.exposure)
    )
    ginis = [spread(of_level, len(of_level))["gini"] for of_level in loads]
    prefixes, paths = (_path_loads(numbers[:, :length], clipped, sizes) for length in (2, _LEVELS))
    kept: Metrics = {}
    if len(items.pairs):
        decoded, path = tokenizer.decode(codes), number_paths(numbers)
        rates = retention(items.vectors, decoded, path, items.pairs.numpy(), (20,))
        kept = {"retention@20": rates["20"]["retention"]}
    return {
        **kept,
        "nmse": found["error_share"],
        "ln_nmse": _log(found["error_share"]),
        **{f"nmse@{level}": of["error_share"] for level, of in enumerate(found["levels"][:-1])},
        **{f"gini@{level}": gini for level, gini in enumerate(ginis)},
        **{f"ln_gini@{level}": _log(gini) for level, gini in enumerate(ginis)},
        "gini": float(np.mean(ginis)),
        **{f"prefixes@{top}": held for top, held in held_by_top(prefixes).items()},
        "paths@1%": held_by_top(paths)["1%"],
        **{f"used_paths@{top}": held for top, held in held_by_top(paths[paths > 0]).items()},
        "fullest": float(max(of_level.max() for of_level in loads) / capacity),
        "over_capacity": float(sum((of_level > capacity).sum() for of_level in loads)),
        "no_collision_rate": found["unique_sids"] / found["items"],
        "clipped_items": float((clipped < items.exposure).sum()),
        "infeasible_items": float((items.exposure > capacity).sum()),
        "raw_gini": float(np.mean([spread(of_level, len(of_level))["gini"] for of_level in raw])),
    }


def _tokenizer(run: Run) -> tuple[Tokenizer, str]:
    """The unfitted tokenizer, and what it balances."""
    settings = dict(run.settings)
    weights = settings.pop("weights", "items")
    if weights not in ("items", "exposure"):
        raise ValueError(f"weights must be items or exposure, got {weights!r}")
    return make_tokenizer(run.model, _LEVELS, _CODES, settings), weights


def _path_loads(
    codes: NDArray[np.integer], exposure: Tensor, sizes: tuple[int, ...]
) -> NDArray[np.float64]:
    """The exposure on each of the Π K_l paths, those without items among them."""
    shape = sizes[: codes.shape[1]]
    return _loads(np.ravel_multi_index(tuple(codes.T), shape), exposure, int(np.prod(shape)))


def _loads(place: NDArray[np.integer], exposure: Tensor, places: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(place, exposure.double().numpy(), places), dtype=np.float64)


def _log(value: float) -> float | None:
    return float(np.log(value)) if value > 0 else None
