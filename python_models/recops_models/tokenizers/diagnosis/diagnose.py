"""Diagnosis of semantic IDs as one dictionary."""

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
from recops_models.tokenizers.diagnosis.content import DiagnosisFigures, FlipRates, LevelFigures
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
from recops_models.training.device import AUTO, resolve_device, to_device, to_host

_MOST_FLIPPED = 20_000
_LEAST_SPREAD = 1e-12
"""Smallest spread of a level's input; below it, the input is one point up to rounding."""


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
    device: str | torch.device = AUTO,
) -> DiagnosisFigures:
    """Compute all metrics of semantic IDs that the arguments allow, and list the missing ones.

    Codes alone give usage, collisions and the trie. Codebooks and vectors add error, noise and
    capacity; pairs of items add retention of user behaviour.

    Args:
        codes: ``[N, L]`` int32 or int64, N ≥ 1.
        codebooks: a fitted tokenizer, or codebooks ``[L, K, D]`` or ``[K_l, D]`` per level that
            quantize the vectors directly.
        vectors: ``[N, D]`` floats, finite, in the order of the codes.
        vocab_sizes: K_l if there are no codebooks; the default is the largest code plus one.
        exposure: ``[N]``, how often each item was shown or chosen, ≥ 0 and not all 0. Usage,
            capacity and paths are then also computed with these weights.
        pairs: ``[E, 2]`` rows of items that users interacted with in sequence, preferably unseen by
            the training of the vectors. Pairs of an item with itself are ignored; if there are
            more than 20 000, a seeded sample is used.
        attributes: ``[N, m]`` integers, m ≥ 1: tokens that a decoder generates before the codes,
            coarse to fine.
        rhos: noise levels ρ; σ_l = ρ times the spread of level l's input around its mean.
        samples: noisy copies per item for the flip rates.
        seed: seed of the noise, of the negatives of the AUC, and of samples.
        device: where codes are computed and items retrieved; see
            :func:`~recops_models.training.device.resolve_device`. The arguments are on the host.

    Returns:
        a JSON-ready dictionary:

        - ``items`` N.
        - ``levels``, one entry per level: ``codes`` K_l, ``active``, ``coverage``, ``dead_codes``,
          ``perplexity``, ``entropy``, ``entropy_ratio``, ``gini`` over all K_l codes, ``capacity``
          1/Σπ², ``usage`` (items per code); with codebooks and vectors ``error_share`` (unexplained
          variance with the codes up to this level), ``spread`` and ``noise``: for each ρ ``rho``,
          ``sigma``, ``overlap`` O_π, ``k_eff``, ``distribution_penalty``, ``geometry_penalty``.
        - ``paths``: ``unique_sid``, ``no_collision_rate``, ``uniquely_identified_item_rate``,
          ``collision_rate`` (the share of the other items), ``max_collision``; ``capacity``
          1/Σπ(path)², ``entropy``, ``entropy_ratio``, ``gini``, ``top_share``: the share of items
          on the fullest 1, 5 and 10 % of the paths.
        - ``branching``: mean and percentiles of the number of children per trie node, by level.
        - ``exposure``: ``levels`` and ``paths`` as above, with items weighted by exposure.
        - ``greedy_share``: the share of items with the nearest codeword at each level.
        - ``flips``: for each ρ ``levels`` and ``path``, shares of items whose codes change.
        - ``behaviour``: ``pairs``; ``hit_rate`` by cutoff (``vectors``, ``decoded``,
          ``retention``); ``sid_auc`` on the sums of codewords (decoded vectors if the
          method has no codebooks), ``vector_auc`` on the vectors.
        - ``chain``: entropy of the codes in bits without attributes, with them and with shuffled
          ones, see :func:`~.step_entropy.chain_entropies`.
        - ``missing``: missing metric → reason.

    Raises:
        ValueError: wrong shapes, no items, or a code, a weight or a row is out of range.

    Names follow the quality report of TorchEasyRec. DRQ (arXiv 2606.01844) defines O_π, K_eff and
    their penalties, and names retention and SID AUC. The kernel of O_π, σ and the definitions of
    the last two are our inference, see :mod:`~recops_models.tokenizers.diagnosis.capacity` and
    :mod:`~recops_models.tokenizers.diagnosis.retention`. Flip rates and path exposure are ours.

    Time is O(N · d · Σ K_l) per noise level, O(Σ K_l² · d) for overlaps, and O(N · D) per item with
    pairs.
    """
    missing: dict[str, str] = {}
    device = resolve_device(device)
    numbers = checked_codes(codes)
    points = checked_vectors(vectors, len(numbers))
    space = None if codebooks is None else Space.of(codebooks, points)
    sizes = level_sizes(numbers, space, vocab_sizes, missing)
    weights = None if exposure is None else checked_weights(exposure, len(numbers))
    rows = None if pairs is None else checked_pairs(pairs, len(numbers), seed)
    path = number_paths(numbers)
    diagnosis: DiagnosisFigures = {
        "items": len(numbers),
        "levels": _levels(numbers, sizes, None),
        "paths": {**collisions(path), **path_figures(path, sizes, None)},
        "branching": branching(numbers, sizes),
        "missing": missing,
    }
    if weights is None:
        missing["exposure"] = "needs the number of events of each item"
    else:
        diagnosis["exposure"] = {
            "levels": _levels(numbers, sizes, weights),
            "paths": path_figures(path, sizes, weights),
        }
    if space is None or space.vectors is None:
        missing["error_share"] = "needs vectors and a tokenizer, or its codebooks"
    else:
        metrics = sid_metrics(space, space.vectors, codes)
        diagnosis["error_share"] = metrics["error_share"]
        for level, measured in zip(diagnosis["levels"], metrics["levels"], strict=True):
            level["error_share"] = measured["error_share"]
    if space is not None and space.codebooks is None:
        missing["noise, flips"] = "this method has no codebooks"
    elif space is None or space.codebooks is None or space.latents is None:
        missing["noise, flips"] = "needs vectors and codebooks"
    else:
        inputs = level_inputs(space.latents, codes, space.codebooks)
        scales = [spread_per_dim(of_level) for of_level in inputs]
        _add_noise(diagnosis["levels"], space.codebooks, scales, rhos)
        if "exposure" in diagnosis:
            _add_noise(diagnosis["exposure"]["levels"], space.codebooks, scales, rhos)
        latents, books = to_device((space.latents, space.codebooks), device)
        greedy = to_host(recops.rq_encode(latents, books, metric=space.metric)[0])
        diagnosis["greedy_share"] = float((greedy == codes).all(dim=1).double().mean())
        if space.metric == "l2":
            diagnosis["flips"] = _flips(books, latents, scales, rhos, samples, seed)
        else:
            missing["flips"] = f"are defined for the metric l2, not for {space.metric}"
    if rows is None:
        missing["behaviour"] = "needs pairs of items that users interacted with in sequence"
    elif space is None or space.vectors is None:
        missing["behaviour"] = "needs vectors and a tokenizer, or its codebooks"
    else:
        diagnosis["behaviour"] = {
            "pairs": len(rows),
            "hit_rate": retention(space.vectors, space.decode(codes), path, rows, device=device),
            "sid_auc": pair_auc(space.sums(codes), rows, seed=seed),
            "vector_auc": pair_auc(space.vectors, rows, seed=seed),
        }
    if attributes is None:
        missing["chain"] = "needs attributes of the items"
    elif len(numbers) < FOLDS:
        missing["chain"] = f"needs at least {FOLDS} items"
    else:
        tokens = checked_attributes(attributes, len(numbers))
        diagnosis["chain"] = chain_entropies(numbers.astype(np.int64), tokens, seed=seed)
    return diagnosis


def _levels(
    codes: NDArray[np.int32], sizes: Sequence[int], weights: NDArray[np.float64] | None
) -> list[LevelFigures]:
    """Return the usage of each level, with items weighted by ``weights`` or equally."""
    return [
        {**usage(codes[:, level], size, weights)}  # type: ignore[typeddict-item] # adds no key
        for level, size in enumerate(sizes)
    ]


def _add_noise(
    levels: Sequence[LevelFigures],
    codebooks: Sequence[Tensor],
    scales: Sequence[float],
    rhos: Sequence[float],
) -> None:
    """Add the spread of each level's input, and its capacity under noise."""
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
    """Return the flip rates of at most ``_MOST_FLIPPED`` items."""
    sample = np.random.default_rng(seed).permutation(len(latents))[:_MOST_FLIPPED]
    points = latents[torch.from_numpy(np.sort(sample)).to(latents.device)]
    return [flip_rates(points, codebooks, scales, rho, samples=samples, seed=seed) for rho in rhos]
