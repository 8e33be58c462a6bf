"""Whether items that are engaged with together stay together once they are codes."""

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

CUTOFFS = (20, 200)
_CELLS = 1 << 26
"""Scores that are held at once: 256 MiB."""


def retention(
    vectors: Tensor,
    decoded: Tensor,
    path: NDArray[np.int64],
    pairs: NDArray[np.int64],
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[str, HitRates]:
    """What item-to-item retrieval keeps when vectors are replaced by what their codes decode to.

    For a pair (i, j), item i asks for its K nearest others by cosine; it is a hit if j is among
    them. Items that decode to the same vector tie: of g others that score higher than j and e that
    score as j does (j among them), the hit counts min(1, max(0, (K − g) / e)), its chance under a
    random order. Retention is the hit rate with decoded vectors over that with the originals; it
    may exceed 1, and is None where the originals never hit.

    Source: the name is DRQ's (arXiv 2606.01844), the definition ours.

    Args:
        vectors: ``[N, D]``.
        decoded: ``[N, D]``, what codes decode to; equal for equal paths.
        path: ``[N]``, each item's path, from 0 without gaps.
        pairs: ``[E, 2]`` rows of items, i ≠ j, E ≥ 1.
        cutoffs: K.

    Returns:
        for each K ``vectors``, ``decoded`` (hit rates) and ``retention``. O(N · D) a query item.
    """
    first = np.unique(path, return_index=True)[1]
    own = hit_rates(vectors, np.arange(len(path)), pairs, cutoffs)
    kept = hit_rates(decoded[torch.from_numpy(first)], path, pairs, cutoffs)
    return {
        str(cutoff): {"vectors": a, "decoded": b, "retention": b / a if a else None}
        for cutoff, a, b in zip(cutoffs, own, kept, strict=True)
    }


def hit_rates(
    places: Tensor,
    place: NDArray[np.int64],
    pairs: NDArray[np.int64],
    cutoffs: Sequence[int],
) -> list[float]:
    """Hit rates of item-to-item retrieval where several items may stand at one place.

    Args:
        places: ``[P, D]``.
        place: ``[N]``, where each item stands.
        pairs: ``[E, 2]`` rows of items.
        cutoffs: K.
    """
    units = normalize(places.float(), dim=1)
    crowd = torch.from_numpy(np.bincount(place, minlength=len(places)).astype(np.float32))
    hits = np.zeros(len(cutoffs))
    block = min(1024, max(1, _CELLS // len(units)))
    for queries, query, target in _by_query(place, pairs, block):
        scores = units[queries] @ units.T
        sought = scores[query, target]
        for start in range(0, len(query), block):
            part = slice(start, start + block)
            rows, score = scores[query[part]], sought[part, None]
            own = queries[query[part]]
            # The item that asks is not among the candidates.
            mine = rows.gather(1, own[:, None])[:, 0]
            higher = (rows > score).float() @ crowd - (mine > score[:, 0]).float()
            equal = (rows == score).float() @ crowd - (mine == score[:, 0]).float()
            for index, cutoff in enumerate(cutoffs):
                hits[index] += float(((cutoff - higher) / equal).clamp(0, 1).sum())
    return [float(hit) / len(pairs) for hit in hits]


def _by_query(
    place: NDArray[np.int64], pairs: NDArray[np.int64], size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Blocks of ``size`` places that ask: the places, each pair's row among them, its target's
    place.
    """
    query, target = place[pairs[:, 0]], place[pairs[:, 1]]
    asking, row = np.unique(query, return_inverse=True)
    order = np.argsort(row, kind="stable")
    ends = np.searchsorted(row[order], np.arange(0, len(asking) + size, size))
    for block, (start, end) in enumerate(itertools.pairwise(ends)):
        of_block = order[start:end]
        low = block * size
        yield (
            torch.from_numpy(asking[low : low + size]),
            torch.from_numpy(row[of_block] - low),
            torch.from_numpy(target[of_block]),
        )


def pair_auc(vectors: Tensor, pairs: NDArray[np.int64], *, seed: int) -> float:
    """The AUC of cos(x_i, x_j) for pairs against as many random pairs i ≠ j; ties count one half.

    Source: the name SID embedding AUC is DRQ's (arXiv 2606.01844), the definition ours.

    Args:
        vectors: ``[N, D]``, N ≥ 2.
        pairs: ``[E, 2]`` rows of items, the positives.
        seed: draws the negatives, which are not checked against the positives.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(len(vectors), size=len(pairs))
    second = (first + rng.integers(1, len(vectors), size=len(pairs))) % len(vectors)
    units = normalize(vectors.double(), dim=1)
    every = torch.from_numpy(np.concatenate([pairs, np.stack([first, second], axis=1)]))
    # Rounded: equal paths decode to equal vectors, whose cosines shall tie.
    scores = (units[every[:, 0]] * units[every[:, 1]]).sum(dim=1).numpy().round(9)
    return float(roc_auc_score(np.arange(len(every)) < len(pairs), scores))
