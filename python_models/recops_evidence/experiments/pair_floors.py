"""Floors of item pairs without a tokenizer: lookup of known pairs, and cosines of vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import roc_auc_score

from recops_evidence.experiments.items import HeldOut, Items, Pairs
from recops_evidence.harness.experiment import Metrics
from recops_models.tokenizers.diagnosis.retention import CUTOFFS, hit_rates, pair_auc

_MOST_PAIRS = 20_000
_QUERIES = 256


def pair_floors(items: Items, held_out: HeldOut, *, seed: int) -> dict[str, Metrics]:
    """Return the metrics of ``"look-up"`` and ``"raw cosines"`` on held-out pairs.

    - ``"look-up"`` scores a pair by its count among the known pairs. On unseen pairs its AUC is
      below one half by construction, because some of the random pairs are known.
    - ``"raw cosines"`` scores a pair by the cosine of its vectors.

    Args:
        items: known pairs and vectors.
        held_out: pairs to find.
        seed: seed of the random pairs of the AUC, and of the sample of 20,000 pairs.

    Returns:
        ``sid_auc``, ``hit@20`` and ``hit@200`` by floor, on unseen pairs; with the prefix ``seen_``
        on seen pairs.
    """
    number = len(items.vectors)
    ones = np.ones(len(items.known), dtype=np.float32)
    counts = sparse.coo_matrix((ones, items.known.T), shape=(number, number)).tocsr()
    counts = (counts + counts.T).tocsr()
    vectors = torch.from_numpy(items.vectors)
    lookup: Metrics = {}
    raw: Metrics = {}
    for prefix, pairs in (("", held_out.unseen), ("seen_", held_out.seen)):
        sampled = sample_pairs(pairs, seed)
        if not len(sampled):
            continue
        lookup[f"{prefix}sid_auc"] = _count_auc(counts, sampled, seed)
        raw[f"{prefix}sid_auc"] = pair_auc(vectors, sampled, seed=seed)
        by_cosine = hit_rates(vectors, np.arange(number), sampled, CUTOFFS)
        by_count = _count_hits(counts, sampled, CUTOFFS)
        for cutoff, count_hit, cosine_hit in zip(CUTOFFS, by_count, by_cosine, strict=True):
            lookup[f"{prefix}hit@{cutoff}"], raw[f"{prefix}hit@{cutoff}"] = count_hit, cosine_hit
    return {"look-up": lookup, "raw cosines": raw}


def sample_pairs(pairs: Pairs, seed: int) -> Pairs:
    """Return at most 20,000 pairs, sampled by ``seed``."""
    if len(pairs) <= _MOST_PAIRS:
        return pairs
    sample = np.random.default_rng(seed).permutation(len(pairs))[:_MOST_PAIRS]
    return np.asarray(pairs[np.sort(sample)])


def _count_auc(counts: sparse.csr_matrix, pairs: Pairs, seed: int) -> float:
    """Return the AUC of pairs against random pairs, with counts as scores."""
    rng = np.random.default_rng(seed)
    first = rng.integers(counts.shape[0], size=len(pairs))
    second = (first + rng.integers(1, counts.shape[0], size=len(pairs))) % counts.shape[0]
    every = np.concatenate([pairs, np.stack([first, second], axis=1)])
    scores = np.asarray(counts[every[:, 0], every[:, 1]]).ravel()
    return float(roc_auc_score(np.arange(len(every)) < len(pairs), scores))


def _count_hits(counts: sparse.csr_matrix, pairs: Pairs, cutoffs: Sequence[int]) -> list[float]:
    """Return the hit rates of pairs at the cutoffs, with counts as scores."""
    hits: NDArray[np.float64] = np.zeros(len(cutoffs))
    for start in range(0, len(pairs), _QUERIES):
        query, target = pairs[start : start + _QUERIES].T
        rows = counts[query].toarray()
        each = np.arange(len(query))
        score = rows[each, target][:, None]
        rows[each, query] = -1  # The query is no candidate.
        higher, equal = (rows > score).sum(1), (rows == score).sum(1)
        for index, cutoff in enumerate(cutoffs):
            hits[index] += np.clip((cutoff - higher) / equal, 0, 1).sum()
    return [float(hit) / len(pairs) for hit in hits]
