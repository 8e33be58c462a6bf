"""Co-occurrence vectors of items: SVD of positive pointwise mutual information (PPMI)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np
from scipy import sparse

from recops_models.data.histories import Histories
from recops_models.item_vectors.svd import Float32Array, svd_rows

_SMOOTHING = 0.75


def cooccurrence_vectors(
    blocks: Iterable[Histories], num_items: int, *, dim: int, seed: int, window: int = 10
) -> Float32Array:
    """Return unit rows of U S^½ of the PPMI matrix, ``[num_items, ≤ dim]``.

    PPMI(i, j) = max(0, ln(p(i, j) / (p(i) p_α(j)))), where p_α is the context distribution raised
    to α = 0.75 and normalised. Pairs at most ``window`` events apart count. O(events · window).
    The division of the histories into blocks does not change the result.

    Source: Levy, Goldberg, Dagan, Improving Distributional Similarity with Lessons Learned from
    Word Embeddings, TACL 2015.
    """
    counts = _pair_counts(blocks, num_items, window)
    total = counts.sum()
    if not total:
        return svd_rows(counts, dim=dim, seed=seed)
    item = np.asarray(counts.sum(axis=1)).ravel()
    context = item**_SMOOTHING
    pairs = counts.tocoo()
    expected = (item[pairs.row] / total) * (context[pairs.col] / context.sum())
    information = np.maximum(np.log(pairs.data / total / expected), 0.0)
    ppmi = sparse.csr_matrix((information, (pairs.row, pairs.col)), shape=counts.shape)
    return svd_rows(ppmi, dim=dim, power=0.5, seed=seed)


def _pair_counts(blocks: Iterable[Histories], num_items: int, window: int) -> sparse.csr_matrix:
    """Return how often two items occur at most ``window`` events apart; symmetric."""
    counts = sparse.csr_matrix((num_items, num_items), dtype=np.float64)
    pairs_of_blocks = chain.from_iterable(histories.near(window) for histories in blocks)
    for first, second in pairs_of_blocks:
        pairs = (np.ones(len(first)), (first, second))
        counts = counts + sparse.coo_matrix(pairs, shape=counts.shape).tocsr()
    return (counts + counts.T).tocsr()
