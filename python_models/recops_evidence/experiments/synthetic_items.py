"""Items with content and behaviour that agree in part, made up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recops_evidence.experiments.items import HeldOut, Items


def synthetic_items(
    seed: int,
    *,
    items: int = 8000,
    dim: int = 64,
    clusters: int = 400,
    agreement: float = 0.6,
    pairs_per_item: int = 10,
) -> Items:
    """An anisotropic mixture whose clusters are of Zipf's sizes; behaviour follows most of it.

    Item i belongs to cluster k with odds ∝ 1/k; its vector is m_k + ε with m_k ~ N(0, Λ) and
    ε ~ N(0, 0.16 Λ), Λ = diag(1, 1/2, …, 1/D)·D/H_D. Its taste is its own cluster with probability
    ``agreement``, else one drawn by the same odds. A pair is two different items of one taste, the
    first drawn uniformly, the second among its companions.

    Source: the shape (8 000 items in 64 dimensions, 400 clusters, 60 % agreement) is that of a toy
    of ours for DRQ (arXiv 2606.01844), whose own data is private; spectrum and noise are choices.

    Args:
        seed: of every draw.
        items: N.
        dim: D.
        clusters: how many.
        agreement: within 0 … 1.
        pairs_per_item: known pairs over N; a fifth as many are held out for validation, and as
            many for test.
    """
    rng = np.random.default_rng(seed)
    odds = 1 / np.arange(1, clusters + 1)
    odds /= odds.sum()
    spectrum = 1 / np.arange(1, dim + 1)
    scale = np.sqrt(spectrum / spectrum.mean())
    cluster = rng.choice(clusters, size=items, p=odds)
    middle = rng.normal(size=(clusters, dim)) * scale
    vectors = middle[cluster] + 0.4 * rng.normal(size=(items, dim)) * scale
    agrees = rng.random(items) < agreement
    taste = np.where(agrees, cluster, rng.choice(clusters, size=items, p=odds))
    known = _pairs(rng, taste, pairs_per_item * items)
    test, validation = (_pairs(rng, taste, pairs_per_item * items // 5) for _ in range(2))
    parts = (HeldOut.of(asked, known, items) for asked in (validation, test))
    return Items(vectors.astype(np.float32), np.arange(items), known, *parts)


def _pairs(rng: np.random.Generator, taste: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Pairs of items of one taste; fewer than ``number``, for those who meet themselves."""
    order = np.argsort(taste, kind="stable")
    first = rng.integers(len(taste), size=number)
    starts = np.searchsorted(taste[order], taste[first])
    ends = np.searchsorted(taste[order], taste[first], side="right")
    second = order[starts + (rng.random(number) * (ends - starts)).astype(np.int64)]
    pairs = np.stack([first, second], axis=1)
    return np.asarray(pairs[first != second])
