"""The science of semantic IDs in one dictionary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import recops
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.diagnosis.arguments import (
    checked_attributes,
    checked_codes,
    checked_pairs,
    checked_vectors,
    checked_weights,
    level_sizes,
)
from recops_models.tokenizers.diagnosis.capacity import (
    RHOS,
    capacity,
    level_inputs,
    spread_per_dim,
)
from recops_models.tokenizers.diagnosis.content import Diagnosis, FlipRates, LevelFigures
from recops_models.tokenizers.diagnosis.flips import flip_rates
from recops_models.tokenizers.diagnosis.paths import (
    branching,
    collisions,
    number_paths,
    path_figures,
)
from recops_models.tokenizers.diagnosis.retention import pair_auc, retention
from recops_models.tokenizers.diagnosis.space import Space
from recops_models.tokenizers.diagnosis.step_entropy import FOLDS, chain_entropies
from recops_models.tokenizers.metrics import sid_metrics
from recops_models.tokenizers.usage import usage

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
    attributes: Tensor | None = None,
    rhos: Sequence[float] = RHOS,
    samples: int = 4,
    seed: int = 0,
) -> Diagnosis:
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
            capacity and paths are then also computed by exposure.
        pairs: ``[E, 2]`` rows of items engaged with together, best unseen by whatever made the
            vectors. Pairs of an item with itself are left out; a seeded 20 000 stand for more.
        attributes: ``[N, m]`` integers, m ≥ 1: tokens that a decoder would spell before the codes,
            coarse to fine.
        rhos: noise levels ρ; σ_l = ρ times the spread of level l's input about its mean.
        samples: noisy copies of each item for the flip rates.
        seed: of noise, of the negatives of the AUC, and of samples where there are many.

    Returns:
        for JSON:

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
        - ``chain``: the entropy of the codes' steps in bits without attributes, with them and with
          shuffled ones, see :func:`~.step_entropy.chain_entropies`.
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
    numbers = checked_codes(codes)
    given = checked_vectors(vectors, len(numbers))
    space = None if codebooks is None else Space.of(codebooks, given)
    sizes = level_sizes(numbers, space, vocab_sizes, missing)
    weights = None if exposure is None else checked_weights(exposure, len(numbers))
    together = None if pairs is None else checked_pairs(pairs, len(numbers), seed)
    path = number_paths(numbers)
    found: Diagnosis = {
        "items": len(numbers),
        "levels": _levels(numbers, sizes, None),
        "paths": {**collisions(path), **path_figures(path, sizes, None)},
        "branching": branching(numbers, sizes),
        "missing": missing,
    }
    if weights is None:
        missing["exposure"] = "needs how often each item was shown or chosen"
    else:
        found["exposure"] = {
            "levels": _levels(numbers, sizes, weights),
            "paths": path_figures(path, sizes, weights),
        }
    if space is None or space.vectors is None:
        missing["error_share"] = "needs vectors and a tokenizer, or its codebooks"
    else:
        metrics = sid_metrics(space, space.vectors, codes)
        found["error_share"] = metrics["error_share"]
        for level, measured in zip(found["levels"], metrics["levels"], strict=True):
            level["error_share"] = measured["error_share"]
    if space is not None and space.codebooks is None:
        missing["noise, flips"] = "this method has no codebooks whose codewords could overlap"
    elif space is None or space.codebooks is None or space.latents is None:
        missing["noise, flips"] = "needs vectors and codebooks"
    else:
        inputs = level_inputs(space.latents, codes, space.codebooks)
        scales = [spread_per_dim(of_level) for of_level in inputs]
        laws = [found["levels"], found["exposure"]["levels"] if "exposure" in found else []]
        for levels in laws:
            _add_noise(levels, space.codebooks, scales, rhos)
        greedy, _ = recops.rq_encode(space.latents, space.codebooks, metric=space.metric)
        found["greedy_share"] = float((greedy == codes).all(dim=1).double().mean())
        if space.metric == "l2":
            found["flips"] = _flips(space.codebooks, space.latents, scales, rhos, samples, seed)
        else:
            missing["flips"] = f"are defined for the nearest by distance, not by {space.metric}"
    if together is None:
        missing["behaviour"] = "needs pairs of items engaged with together"
    elif space is None or space.vectors is None:
        missing["behaviour"] = "needs vectors and a tokenizer, or its codebooks"
    else:
        found["behaviour"] = {
            "pairs": len(together),
            "hit_rate": retention(space.vectors, space.decode(codes), path, together),
            "sid_auc": pair_auc(space.sums(codes), together, seed=seed),
            "vector_auc": pair_auc(space.vectors, together, seed=seed),
        }
    if attributes is None:
        missing["chain"] = "needs attributes of the items"
    elif len(numbers) < FOLDS:
        missing["chain"] = f"needs {FOLDS} items at least"
    else:
        before = checked_attributes(attributes, len(numbers))
        found["chain"] = chain_entropies(numbers.astype(np.int64), before, seed=seed)
    return found


def _levels(
    codes: NDArray[np.int32], sizes: Sequence[int], weights: NDArray[np.float64] | None
) -> list[LevelFigures]:
    """The usage of each level, where every item counts its weight, or one."""
    return [
        {**usage(codes[:, level], size, weights)}  # type: ignore[typeddict-item] # Adds no key.
        for level, size in enumerate(sizes)
    ]


def _add_noise(
    levels: Sequence[LevelFigures],
    codebooks: Sequence[Tensor],
    scales: Sequence[float],
    rhos: Sequence[float],
) -> None:
    """The spread of each level's inputs, and its capacity under noise."""
    for level, book, scale in zip(levels, codebooks, scales, strict=False):
        level["spread"] = scale
        loads = np.array(level["usage"], dtype=np.float64)
        level["noise"] = capacity(book, loads, scale, rhos) if scale > _LEAST_SPREAD else []


def _flips(
    codebooks: Sequence[Tensor],
    latents: Tensor,
    scales: Sequence[float],
    rhos: Sequence[float],
    samples: int,
    seed: int,
) -> list[FlipRates]:
    """Flip rates, of a sample where there are many items."""
    some = np.random.default_rng(seed).permutation(len(latents))[:_MOST_FLIPPED]
    rows = latents[torch.from_numpy(np.sort(some))]
    return [flip_rates(rows, codebooks, scales, rho, samples=samples, seed=seed) for rho in rhos]
