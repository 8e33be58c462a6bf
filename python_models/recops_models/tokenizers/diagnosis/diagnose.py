"""The science of semantic IDs in one dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import recops
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.diagnosis.capacity import (
    RHOS,
    capacity,
    level_inputs,
    spread_per_dim,
)
from recops_models.tokenizers.diagnosis.flips import flip_rates
from recops_models.tokenizers.diagnosis.paths import (
    branching,
    collisions,
    number_paths,
    path_figures,
)
from recops_models.tokenizers.diagnosis.retention import pair_auc, retention
from recops_models.tokenizers.diagnosis.space import Space
from recops_models.tokenizers.metrics import sid_metrics
from recops_models.tokenizers.usage import usage

_MOST_PAIRS = 20_000
_MOST_FLIPPED = 20_000
_LEAST_SPREAD = 1e-12
"""Below it a level's inputs are one point, give or take rounding: there is nothing to scale."""


def diagnose(
    codes: Tensor,
    codebooks: Tokenizer | Tensor | Sequence[Tensor] | None = None,
    *,
    vectors: Tensor | None = None,
    vocab_sizes: Sequence[int] | None = None,
    exposure: Tensor | None = None,
    pairs: Tensor | None = None,
    rhos: Sequence[float] = RHOS,
    samples: int = 4,
    seed: int = 0,
) -> dict[str, Any]:
    """How good semantic IDs are, by every figure that what is given allows; the rest is named.

    Codes alone give their usage, collisions and trie. Codebooks and vectors add error, noise and
    capacity; pairs of items engaged with together add what behaviour keeps.

    Args:
        codes: ``[N, L]`` int32 or int64, N ≥ 1.
        codebooks: a fitted tokenizer, or its codebooks ``[L, K, D]`` or L of ``[K_l, D]`` where
            these quantize the vectors themselves.
        vectors: ``[N, D]`` floats, finite, in the order of the codes.
        vocab_sizes: K_l, where no codebooks tell; by default the highest code in use, plus one.
        exposure: ``[N]`` how often each item was shown or chosen, ≥ 0 and not all zero: usage,
            capacity and paths are then also told by its law.
        pairs: ``[E, 2]`` rows of items engaged with together, best unseen by whatever made the
            vectors. Pairs of an item with itself are left out; a seeded 20 000 stand for more.
        rhos: noise levels ρ; σ_l = ρ times the spread of level l's input about its mean.
        samples: noisy copies of each item for the flip rates.
        seed: of noise, of the negatives of the AUC, and of samples where there are many.

    Returns:
        a dictionary for JSON:

        - ``items`` N.
        - ``levels``, one entry each: ``codes`` K_l, ``active``, ``coverage``, ``dead_codes``,
          ``perplexity``, ``entropy``, ``entropy_ratio``, ``gini`` over all K_l codes, ``capacity``
          1/Σπ², ``usage`` (items a code); with codebooks and vectors ``error_share`` (unexplained
          variance with the codes up to here), ``spread`` and ``noise``: for each ρ ``rho``,
          ``sigma``, ``overlap`` O_π, ``k_eff``, ``distribution_penalty``, ``geometry_penalty``.
        - ``paths``: ``unique_sid``, ``no_collision_rate``, ``uniquely_identified_item_rate``,
          ``collision_rate`` (the share of the other items), ``max_collision``; ``capacity``
          1/Σπ(path)², ``entropy``, ``entropy_ratio``, ``gini``, ``top_share``: the share of items
          on the fullest 1, 5, 10 % of the paths.
        - ``branching``: mean and percentiles of the children of the trie's nodes, by level.
        - ``exposure``: ``levels`` and ``paths`` as above, an item counting its exposure.
        - ``greedy_share``: the share of items on their nearest codewords, level by level.
        - ``flips``: for each ρ ``levels`` and ``path``, shares of items.
        - ``behaviour``: ``pairs``; ``hit_rate`` by cutoff (``vectors``, ``decoded``,
          ``retention``); ``sid_auc`` on the sums of codewords (decoded vectors where the
          method has none), ``vector_auc`` on the vectors.
        - ``missing``: figure → why it is not there.

    Raises:
        ValueError: shapes that do not fit; an empty set; a code, a weight or a row out of range.

    Names are those of TorchEasyRec's quality report where it has the figure. O_π, K_eff, their
    penalties, retention and SID AUC are DRQ's (arXiv 2606.01844); the kernel of O_π, σ and the
    definitions of the last two are our inference, see
    :mod:`~recops_models.tokenizers.diagnosis.capacity` and
    :mod:`~recops_models.tokenizers.diagnosis.retention`. Flip rates and exposure by paths are ours.
    Time is O(N · d · Σ K_l) a noise level, O(Σ K_l² · d) for overlaps, and O(N · D) an item with
    pairs.
    """
    missing: dict[str, str] = {}
    numbers = _codes(codes)
    space = None if codebooks is None else Space.of(codebooks, _vectors(vectors, len(numbers)))
    sizes = _sizes(numbers, space, vocab_sizes, missing)
    weights = None if exposure is None else _weights(exposure, len(numbers))
    together = None if pairs is None else _pairs(pairs, len(numbers), seed)
    path = number_paths(numbers)
    found: dict[str, Any] = {
        "items": len(numbers),
        **_law(numbers, sizes, path, None),
        "branching": branching(numbers, sizes),
    }
    found["paths"] = {**collisions(path), **found["paths"]}
    if weights is None:
        missing["exposure"] = "needs how often each item was shown or chosen"
    else:
        found["exposure"] = _law(numbers, sizes, path, weights)
    if space is None or space.vectors is None:
        missing["error_share"] = "needs vectors and a tokenizer, or its codebooks"
    else:
        _add_errors(found, space, codes)
    if space is not None and space.codebooks is None:
        missing["noise, flips"] = "this method has no codebooks whose codewords could overlap"
    elif space is None or space.codebooks is None or space.latents is None:
        missing["noise, flips"] = "needs vectors and codebooks"
    else:
        _add_noise(found, space.codebooks, space.latents, codes, rhos)
        greedy, _ = recops.rq_encode(space.latents, space.codebooks, metric=space.metric)
        found["greedy_share"] = float((greedy == codes).all(dim=1).double().mean())
        if space.metric == "l2":
            _add_flips(found, space.codebooks, space.latents, codes, rhos, samples, seed)
        else:
            missing["flips"] = f"are told of the nearest by distance; these are by {space.metric}"
    if together is None:
        missing["behaviour"] = "needs pairs of items engaged with together"
    elif space is None or space.vectors is None:
        missing["behaviour"] = "needs vectors and a tokenizer, or its codebooks"
    else:
        found["behaviour"] = _behaviour(space, codes, path, together, seed)
    return {**found, "missing": missing}


def _law(
    codes: NDArray[np.int32],
    sizes: Sequence[int],
    path: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """Usage of levels and paths where each item counts its weight, or one."""
    levels = [usage(codes[:, level], size, weights) for level, size in enumerate(sizes)]
    return {"levels": levels, "paths": path_figures(path, sizes, weights)}


def _add_errors(found: dict[str, Any], space: Space, codes: Tensor) -> None:
    assert space.vectors is not None
    metrics = sid_metrics(space, space.vectors, codes)
    found["error_share"] = metrics["error_share"]
    for level, measured in zip(found["levels"], metrics["levels"], strict=True):
        level["error_share"] = measured["error_share"]


def _add_noise(
    found: dict[str, Any],
    codebooks: Sequence[Tensor],
    latents: Tensor,
    codes: Tensor,
    rhos: Sequence[float],
) -> None:
    """Capacity under noise, by items and by exposure."""
    scales = [spread_per_dim(inputs) for inputs in level_inputs(latents, codes, codebooks)]
    for law in (found, found.get("exposure")):
        for level, book, scale in zip(
            law["levels"] if law else (), codebooks, scales, strict=False
        ):
            level["spread"] = scale
            loads = np.array(level["usage"], dtype=np.float64)
            level["noise"] = capacity(book, loads, scale, rhos) if scale > _LEAST_SPREAD else []


def _add_flips(
    found: dict[str, Any],
    codebooks: Sequence[Tensor],
    latents: Tensor,
    codes: Tensor,
    rhos: Sequence[float],
    samples: int,
    seed: int,
) -> None:
    """Flip rates, of a sample where there are many items."""
    scales = [spread_per_dim(inputs) for inputs in level_inputs(latents, codes, codebooks)]
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(latents))[:_MOST_FLIPPED]
    rows = latents[torch.from_numpy(np.sort(some))]
    found["flips"] = [
        flip_rates(rows, codebooks, scales, rho, samples=samples, seed=seed) for rho in rhos
    ]


def _behaviour(
    space: Space, codes: Tensor, path: NDArray[np.int64], pairs: NDArray[np.int64], seed: int
) -> dict[str, Any]:
    assert space.vectors is not None
    return {
        "pairs": len(pairs),
        "hit_rate": retention(space.vectors, space.decode(codes), path, pairs),
        "sid_auc": pair_auc(space.sums(codes), pairs, seed=seed),
        "vector_auc": pair_auc(space.vectors, pairs, seed=seed),
    }


def _codes(codes: Tensor) -> NDArray[np.int32]:
    if codes.ndim != 2 or codes.dtype not in (torch.int32, torch.int64) or not codes.numel():
        raise ValueError(
            "diagnose: codes must be int32 or int64 [N, L] with an item and a level at least, "
            f"got {codes.dtype} {list(codes.shape)}"
        )
    if bool((codes < 0).any()):
        row = int((codes < 0).any(dim=1).nonzero()[0])
        raise ValueError(f"diagnose: codes of item {row} hold {int(codes[row].min())}: not encoded")
    return np.asarray(codes.cpu().numpy().astype(np.int32))


def _sizes(
    codes: NDArray[np.int32],
    space: Space | None,
    given: Sequence[int] | None,
    missing: dict[str, str],
) -> list[int]:
    highest = codes.max(axis=0)
    sizes = list(given or (space.vocab_sizes if space is not None else ()))
    if not sizes:
        missing["vocab_sizes"] = "not given: taken to end at the highest code in use"
        return [int(code) + 1 for code in highest]
    if len(sizes) != len(highest) or any(code >= k for code, k in zip(highest, sizes, strict=True)):
        raise ValueError(
            f"diagnose: levels of {sizes} codes do not hold codes up to {highest.tolist()}"
        )
    return sizes


def _vectors(vectors: Tensor | None, items: int) -> Tensor | None:
    if vectors is None:
        return None
    if vectors.ndim != 2 or len(vectors) != items or not vectors.is_floating_point():
        raise ValueError(
            f"diagnose: vectors must be floats [{items}, D], one row an item, "
            f"got {vectors.dtype} {list(vectors.shape)}"
        )
    if not bool(torch.isfinite(vectors).all()):
        row = int((~torch.isfinite(vectors)).any(dim=1).nonzero()[0])
        raise ValueError(f"diagnose: vector {row} is not finite")
    return vectors


def _weights(exposure: Tensor, items: int) -> NDArray[np.float64]:
    weights = np.asarray(exposure.cpu().numpy(), dtype=np.float64)
    if weights.shape != (items,):
        raise ValueError(f"diagnose: exposure must be [{items}], got {list(weights.shape)}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("diagnose: exposure must be finite, ≥ 0 and not all zero")
    return weights


def _pairs(pairs: Tensor, items: int, seed: int) -> NDArray[np.int64]:
    found = np.asarray(pairs.cpu().numpy(), dtype=np.int64)
    if found.ndim != 2 or found.shape[1] != 2:
        raise ValueError(f"diagnose: pairs must be rows [E, 2], got {list(found.shape)}")
    if found.size and not (found.min() >= 0 and found.max() < items):
        raise ValueError(f"diagnose: pairs must name rows 0 … {items - 1}")
    found = found[found[:, 0] != found[:, 1]]
    if not len(found):
        raise ValueError("diagnose: pairs must hold two different items at least once")
    some = np.random.default_rng(seed).permutation(len(found))[:_MOST_PAIRS]
    return np.asarray(found[np.sort(some)])
