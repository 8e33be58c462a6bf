"""Items with their exposure, synthetic or from a data set."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data import load, named_split
from recops_models.item_vectors.content import content_vectors
from recops_models.tokenizers.behaviour import exposures
from recops_models.tokenizers.diagnosis.inputs import held_out_pairs


@dataclass(frozen=True, eq=False)
class ExposedItems:
    """Items to tokenize under a capacity.

    Attributes:
        vectors: ``[N, D]`` f32.
        exposure: ``[N]`` f32, ≥ 0.
        pairs: ``[E, 2]``, held-out pairs of rows that follow each other in a history; E may be 0.
    """

    vectors: Tensor
    exposure: Tensor
    pairs: Tensor = field(default_factory=lambda: torch.empty((0, 2), dtype=torch.int64))

    def first(self, number: int) -> ExposedItems:
        """Return the first ``number`` items and the pairs among them."""
        is_within = (self.pairs < number).all(dim=1)
        return ExposedItems(self.vectors[:number], self.exposure[:number], self.pairs[is_within])


def real_exposed_items(data: str) -> ExposedItems:
    """Return the items of a data set: content vectors, training events per item, pairs of test.

    Raises:
        DataError: see :func:`recops_models.data.load`.
    """
    dataset = load(data)
    _, split = named_split(dataset)
    vectors = torch.from_numpy(content_vectors(dataset, dim=64, seed=0))
    pairs = held_out_pairs(split, "test")
    pairs = pairs[(pairs >= 0).all(dim=1) & (pairs[:, 0] != pairs[:, 1])]
    return ExposedItems(vectors, exposures(split.histories(), len(vectors)), pairs)


def synthetic_exposed_items(
    seed: int,
    *,
    items: int = 20_000,
    dim: int = 32,
    clusters: int = 200,
    noise: float = 0.6,
    exponent: float = 0.8,
    events: int = 1_000_000,
) -> ExposedItems:
    """Draw an isotropic mixture with Zipf-distributed cluster sizes and exposure.

    Item i belongs to cluster k with odds ∝ k^−a; its vector is m_k + ``noise`` · ε, with m_k and ε
    ~ N(0, I). The item of rank r has the share ∝ r^−a of all exposure; ranks are independent of
    the vectors.

    Source: our control for UniRec (arXiv 2604.12234), whose data is private. Clusters and noise are
    chosen so that residual k-means with 3 levels of 32 codes has a realistic error and Gini.

    Args:
        seed: seed of every draw.
        items: N.
        dim: D.
        clusters: number of clusters.
        noise: deviation of an item around its cluster, per dimension; that of clusters is 1.
        exponent: a.
        events: sum of all exposure.
    """
    rng = np.random.default_rng(seed)
    odds = _zipf(clusters, exponent)
    cluster = rng.choice(clusters, size=items, p=odds)
    middle = rng.normal(size=(clusters, dim))
    vectors = middle[cluster] + noise * rng.normal(size=(items, dim))
    exposure = events * rng.permutation(_zipf(items, exponent))
    return ExposedItems(
        torch.from_numpy(vectors.astype(np.float32)), torch.from_numpy(exposure.astype(np.float32))
    )


def _zipf(number: int, exponent: float) -> NDArray[np.float64]:
    odds = np.arange(1, number + 1) ** -exponent
    return np.asarray(odds / odds.sum())
