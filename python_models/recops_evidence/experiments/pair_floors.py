"""What pairs of items tell without any tokenizer: by a look into the known ones, and by cosines."""

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
    """The figures of ``"look-up"`` and ``"raw cosines"``, on unseen and on seen held-out pairs.

    - ``"look-up"``: how often two items are known to have been met. On unseen pairs that tells
      nothing by construction: an AUC below one half, since some of the random pairs it is held
      against were met.
    - ``"raw cosines"``: of the vectors, which codes without behaviour can only blur.

    Args:
        items: theirs are the known pairs and the vectors.
        held_out: the pairs that are asked for.
        seed: draws the random pairs of the AUC, and 20 000 pairs where there are more.

    Returns:
        by floor ``sid_auc``, ``hit@20`` and ``hit@200``; with ``seen_`` before them, those of seen
        pairs.
    """
    number = len(items.vectors)
    ones = np.ones(len(items.known), dtype=np.float32)
    met = sparse.coo_matrix((ones, items.known.T), shape=(number, number)).tocsr()
    met = (met + met.T).tocsr()
    vectors = torch.from_numpy(items.vectors)
    looked: Metrics = {}
    raw: Metrics = {}
    for prefix, pairs in (("", held_out.unseen), ("seen_", held_out.seen)):
        some = some_pairs(pairs, seed)
        if not len(some):
            continue
        looked[f"{prefix}sid_auc"] = _met_auc(met, some, seed)
        raw[f"{prefix}sid_auc"] = pair_auc(vectors, some, seed=seed)
        by_cosine = hit_rates(vectors, np.arange(number), some, CUTOFFS)
        for cutoff, found, hit in zip(
            CUTOFFS, _met_hits(met, some, CUTOFFS), by_cosine, strict=True
        ):
            looked[f"{prefix}hit@{cutoff}"], raw[f"{prefix}hit@{cutoff}"] = found, hit
    return {"look-up": looked, "raw cosines": raw}


def some_pairs(pairs: Pairs, seed: int) -> Pairs:
    """At most 20 000 of them, drawn by ``seed``."""
    if len(pairs) <= _MOST_PAIRS:
        return pairs
    kept = np.random.default_rng(seed).permutation(len(pairs))[:_MOST_PAIRS]
    return np.asarray(pairs[np.sort(kept)])


def _met_auc(met: sparse.csr_matrix, pairs: Pairs, seed: int) -> float:
    """As :func:`~recops_models.tokenizers.diagnosis.retention.pair_auc`, of how often both met."""
    rng = np.random.default_rng(seed)
    first = rng.integers(met.shape[0], size=len(pairs))
    second = (first + rng.integers(1, met.shape[0], size=len(pairs))) % met.shape[0]
    every = np.concatenate([pairs, np.stack([first, second], axis=1)])
    scores = np.asarray(met[every[:, 0], every[:, 1]]).ravel()
    return float(roc_auc_score(np.arange(len(every)) < len(pairs), scores))


def _met_hits(met: sparse.csr_matrix, pairs: Pairs, cutoffs: Sequence[int]) -> list[float]:
    """As :func:`~recops_models.tokenizers.diagnosis.retention.hit_rates`, of how often both met."""
    hits: NDArray[np.float64] = np.zeros(len(cutoffs))
    for start in range(0, len(pairs), _QUERIES):
        query, target = pairs[start : start + _QUERIES].T
        rows = met[query].toarray()
        each = np.arange(len(query))
        score = rows[each, target][:, None]
        rows[each, query] = -1  # The item that asks is not among the candidates.
        higher, equal = (rows > score).sum(1), (rows == score).sum(1)
        for place, cutoff in enumerate(cutoffs):
            hits[place] += np.clip((cutoff - higher) / equal, 0, 1).sum()
    return [float(hit) / len(pairs) for hit in hits]
