"""Residual k-means with and without a capacity: distribution of exposure over codes."""

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
"""Name of the synthetic data, drawn per seed."""
_LEVELS, _CODES = 3, 32


@dataclass(frozen=True)
class Balancing(ItemRuns[ExposedItems]):
    """Fits of ``rq-kmeans`` or ``balanced-rq`` with three levels of 32 codes.

    An arm's setting ``weights`` names what ``balanced-rq`` balances: ``exposure`` or ``items``.
    Vectors of real items come from their content only. An item's exposure is its number of training
    events. All items are assigned together; a code above its capacity is an AssertionError.
    """

    synthetic = SYNTHETIC

    def config(self, run: Run) -> dict[str, object]:
        """Return the method with all settings, the balanced quantity, the data and the seed."""
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
    """Check that every load ``V_k = Σ_{i: z_i = k} w̃_i`` is within its capacity, to the last bit.

    Args:
        codes: ``[N, L]``.
        weights: ``[N]``, the balanced quantity before clipping.
        sizes: codes per level.
        settings: slack and clip.

    Raises:
        AssertionError: a load exceeds its capacity.
    """
    for level, size in enumerate(sizes):
        clipped, capacity = capacity_of(weights, size, settings.slack, settings.clip)
        loads = _loads(codes[:, level].numpy(), clipped, size)
        fullest = int(loads.argmax())
        if loads[fullest] > capacity:
            raise AssertionError(
                f"level {level}, code {fullest}: load must be ≤ {capacity}, got {loads[fullest]}"
            )


def metrics_of(tokenizer: Tokenizer, items: ExposedItems, codes: Tensor) -> Metrics:
    """Return the quantization error and the distribution of exposure.

    For all methods, exposure is clipped like in ``balanced-rq`` by default: w̃ = min(w, ρ τ C) with
    C = Σ w̃ / K.

    Returns:
        - ``nmse`` (unexplained variance), its logarithm ``ln_nmse``, and ``nmse@l`` with the codes
          up to level l;
        - ``gini@l`` of exposure over the codes of level l, ``ln_gini@l``, and ``gini``, the mean
          over levels; ``raw_gini`` is ``gini`` without clipping;
        - ``prefixes@1%``: share of exposure on the fullest 1 % of all K² two-code prefixes,
          including empty ones (also 5 % and 10 %); ``paths@1%`` of all K³ paths;
          ``used_paths@1%`` of the paths in use (also 5 % and 10 %);
        - ``fullest``: largest load divided by τ C; ``over_capacity``: number of codes above τ C;
        - ``no_collision_rate``, ``clipped_items``, and ``infeasible_items`` with w > τ C;
        - with held-out pairs ``retention@20``: hit rate among decoded vectors divided by that among
          vectors.
    """
    measure = BalancedSettings()
    sizes, numbers = tokenizer.vocab_sizes, codes.numpy()
    overall = sid_metrics(tokenizer, items.vectors, codes)
    clipped, _ = capacity_of(items.exposure, _CODES, measure.slack, measure.clip)
    capacity = measure.slack * float(clipped.double().sum()) / _CODES
    loads, raw = (
        [_loads(numbers[:, level], exposure, size) for level, size in enumerate(sizes)]
        for exposure in (clipped, items.exposure)
    )
    ginis = [spread(level_loads, len(level_loads))["gini"] for level_loads in loads]
    prefixes, paths = (_path_loads(numbers[:, :length], clipped, sizes) for length in (2, _LEVELS))
    retained: Metrics = {}
    if len(items.pairs):
        decoded, path = tokenizer.decode(codes), number_paths(numbers)
        rates = retention(items.vectors, decoded, path, items.pairs.numpy(), (20,))
        retained = {"retention@20": rates["20"]["retention"]}
    return {
        **retained,
        "nmse": overall["error_share"],
        "ln_nmse": _log(overall["error_share"]),
        **{f"nmse@{level}": of["error_share"] for level, of in enumerate(overall["levels"][:-1])},
        **{f"gini@{level}": gini for level, gini in enumerate(ginis)},
        **{f"ln_gini@{level}": _log(gini) for level, gini in enumerate(ginis)},
        "gini": float(np.mean(ginis)),
        **{f"prefixes@{top}": held for top, held in held_by_top(prefixes).items()},
        "paths@1%": held_by_top(paths)["1%"],
        **{f"used_paths@{top}": held for top, held in held_by_top(paths[paths > 0]).items()},
        "fullest": float(max(level_loads.max() for level_loads in loads) / capacity),
        "over_capacity": float(sum((level_loads > capacity).sum() for level_loads in loads)),
        "no_collision_rate": overall["unique_sids"] / overall["items"],
        "clipped_items": float((clipped < items.exposure).sum()),
        "infeasible_items": float((items.exposure > capacity).sum()),
        "raw_gini": float(np.mean([spread(level, len(level))["gini"] for level in raw])),
    }


def _tokenizer(run: Run) -> tuple[Tokenizer, str]:
    """Return the unfitted tokenizer and the balanced quantity."""
    settings = dict(run.settings)
    weights = settings.pop("weights", "items")
    if weights not in ("items", "exposure"):
        raise ValueError(f"weights must be items or exposure, got {weights!r}")
    return make_tokenizer(run.model, _LEVELS, _CODES, settings), weights


def _path_loads(
    codes: NDArray[np.integer], exposure: Tensor, sizes: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return the exposure of each of the Π K_l paths, including paths without items."""
    shape = sizes[: codes.shape[1]]
    return _loads(np.ravel_multi_index(tuple(codes.T), shape), exposure, int(np.prod(shape)))


def _loads(code: NDArray[np.integer], exposure: Tensor, size: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(code, exposure.double().numpy(), size), dtype=np.float64)


def _log(value: float) -> float | None:
    return float(np.log(value)) if value > 0 else None
