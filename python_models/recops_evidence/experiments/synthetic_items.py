"""Synthetic items whose content and behaviour agree in part."""

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
    """Draw an anisotropic mixture with Zipf-distributed clusters; behaviour follows most of it.

    Item i belongs to cluster k with odds ∝ 1/k; its vector is m_k + ε with m_k ~ N(0, Λ) and
    ε ~ N(0, 0.16 Λ), Λ = diag(1, 1/2, …, 1/D)·D/H_D. Its taste is its cluster with probability
    ``agreement``, else a cluster drawn with the same odds. A pair is two different items of one
    taste: the first is drawn uniformly, the second among the items of that taste.

    Source: our control for DRQ (arXiv 2606.01844), whose data is private; sizes, spectrum and noise
    are choices.

    Args:
        seed: seed of every draw.
        items: N, the number of items.
        dim: D, the dimension of the vectors.
        clusters: number of clusters.
        agreement: probability that an item's taste is its cluster, in [0, 1].
        pairs_per_item: known pairs divided by N; validation and test each hold out a fifth of that.
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
    parts = (HeldOut.of(pairs, known, items) for pairs in (validation, test))
    return Items(vectors.astype(np.float32), np.arange(items), known, *parts)


def _pairs(rng: np.random.Generator, taste: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Return up to ``number`` pairs of one taste; pairs of an item with itself are dropped."""
    order = np.argsort(taste, kind="stable")
    first = rng.integers(len(taste), size=number)
    starts = np.searchsorted(taste[order], taste[first])
    ends = np.searchsorted(taste[order], taste[first], side="right")
    second = order[starts + (rng.random(number) * (ends - starts)).astype(np.int64)]
    pairs = np.stack([first, second], axis=1)
    return np.asarray(pairs[first != second])
