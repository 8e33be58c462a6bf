"""Retention of item similarity after tokenization."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import normalize

from recops_models.tokenizers.diagnosis.content import HitRates
from recops_models.training.device import HOST, to_device
from recops_models.training.device_batches import device_batches

CUTOFFS = (20, 200)
_CELLS = 1 << 26
"""Scores per block, 256 MiB."""


def retention(
    vectors: Tensor,
    decoded: Tensor,
    path: NDArray[np.int64],
    pairs: NDArray[np.int64],
    cutoffs: Sequence[int] = CUTOFFS,
    *,
    device: torch.device = HOST,
) -> dict[str, HitRates]:
    """Return the hit rates of item-to-item retrieval with original and with decoded vectors.

    For a pair (i, j), the query i retrieves the K other items of highest cosine; it is a hit if
    they contain j. Items with the same decoded vector tie: with g items above j and e items tied
    with j (including j), a hit counts min(1, max(0, (K − g) / e)), its expectation under a random
    order. Retention is the hit rate with decoded vectors over the hit rate with the originals. It
    can exceed 1, and is None if the originals have no hit.

    Source: DRQ (arXiv 2606.01844) names the metric; the definition is ours.

    Args:
        vectors: ``[N, D]``.
        decoded: ``[N, D]``, decoded codes; equal for equal paths.
        path: ``[N]``, path number of each item, from 0 without gaps.
        pairs: ``[E, 2]`` rows of items, i ≠ j, E ≥ 1.
        cutoffs: values of K.
        device: where items are retrieved.

    Returns:
        for each K ``vectors``, ``decoded`` (hit rates) and ``retention``. O(N · D) per query.
    """
    first = np.unique(path, return_index=True)[1]
    original, approximate = (
        hit_rates(to_device(points, device), row, pairs, cutoffs)
        for points, row in (
            (vectors, np.arange(len(path))),
            (decoded[torch.from_numpy(first)], path),
        )
    )
    return {
        str(cutoff): {"vectors": a, "decoded": b, "retention": b / a if a else None}
        for cutoff, a, b in zip(cutoffs, original, approximate, strict=True)
    }


def hit_rates(
    vectors: Tensor,
    row: NDArray[np.int64],
    pairs: NDArray[np.int64],
    cutoffs: Sequence[int],
) -> list[float]:
    """Return the hit rates of item-to-item retrieval if several items share a vector.

    Args:
        vectors: ``[P, D]``, distinct vectors.
        row: ``[N]``, the vector of each item.
        pairs: ``[E, 2]`` items.
        cutoffs: values of K.
    """
    units = normalize(vectors.float(), dim=1)
    counts = np.bincount(row, minlength=len(vectors)).astype(np.float32)
    items = to_device(torch.from_numpy(counts), vectors.device)
    hits = np.zeros(len(cutoffs))
    block = min(1024, max(1, _CELLS // len(units)))
    for queries, query, target in device_batches(_by_query(row, pairs, block), vectors.device):
        scores = units[queries] @ units.T
        target_scores = scores[query, target]
        for start in range(0, len(query), block):
            part = slice(start, start + block)
            rows, score = scores[query[part]], target_scores[part, None]
            own = queries[query[part]]
            # The query item itself is not a candidate.
            own_score = rows.gather(1, own[:, None])[:, 0]
            higher = (rows > score).float() @ items - (own_score > score[:, 0]).float()
            equal = (rows == score).float() @ items - (own_score == score[:, 0]).float()
            for index, cutoff in enumerate(cutoffs):
                hits[index] += float(((cutoff - higher) / equal).clamp(0, 1).sum())
    return [float(hit) / len(pairs) for hit in hits]


def _by_query(
    row: NDArray[np.int64], pairs: NDArray[np.int64], size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield blocks of at most ``size`` distinct query vectors.

    Each block has the query vectors, and per pair its query in the block and its target vector.
    """
    query, target = row[pairs[:, 0]], row[pairs[:, 1]]
    queries, index = np.unique(query, return_inverse=True)
    order = np.argsort(index, kind="stable")
    ends = np.searchsorted(index[order], np.arange(0, len(queries) + size, size))
    for block, (start, end) in enumerate(itertools.pairwise(ends)):
        in_block = order[start:end]
        low = block * size
        yield (
            torch.from_numpy(queries[low : low + size]),
            torch.from_numpy(index[in_block] - low),
            torch.from_numpy(target[in_block]),
        )


def pair_auc(vectors: Tensor, pairs: NDArray[np.int64], *, seed: int) -> float:
    """Return the AUC of cos(x_i, x_j) for pairs against E random pairs i ≠ j; ties count one half.

    Source: DRQ (arXiv 2606.01844) names the SID embedding AUC; the definition is ours.

    Args:
        vectors: ``[N, D]``, N ≥ 2.
        pairs: ``[E, 2]`` rows of items, the positives.
        seed: seed of the negatives, which may coincide with positives.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(len(vectors), size=len(pairs))
    second = (first + rng.integers(1, len(vectors), size=len(pairs))) % len(vectors)
    units = normalize(vectors.double(), dim=1)
    every = torch.from_numpy(np.concatenate([pairs, np.stack([first, second], axis=1)]))
    # Rounding makes the cosines of equal vectors tie.
    scores = (units[every[:, 0]] * units[every[:, 1]]).sum(dim=1).numpy().round(9)
    return float(roc_auc_score(np.arange(len(every)) < len(pairs), scores))
