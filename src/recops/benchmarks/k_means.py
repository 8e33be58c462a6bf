"""Lloyd's k-means with ops of recops, which trains codebooks of benchmarks, against faiss."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import torch
from torch import Tensor

import recops
from recops.benchmarks.registry import Case, Thunk, register

HAS_FAISS = importlib.util.find_spec("faiss") is not None


def lloyd_iteration(x: Tensor, codebook: Tensor) -> Tensor:
    """Move each codeword to the mean of its nearest rows; codewords without rows are unchanged."""
    index, _ = recops.nearest_codes(x, codebook)
    sums, weights = recops.accumulate_codes(x, index[:, 0], len(codebook))
    return torch.where(weights[:, None] > 0, sums / weights[:, None].clamp(min=1), codebook)


def train_codebooks(x: Tensor, levels: int, size: int, *, iterations: int = 8) -> Tensor:
    """Train codebooks ``[levels, size, D]``, each on the residuals of the previous levels."""
    books = []
    for _ in range(levels):
        codebook = x[torch.arange(size) * len(x) // size]
        for _ in range(iterations):
            codebook = lloyd_iteration(x, codebook)
        books.append(codebook)
        x = x - recops.rq_decode(recops.nearest_codes(x, codebook)[0], codebook[None])
    return torch.stack(books)


@register("k_means")
def cases(quick: bool) -> Iterator[Case]:
    yield lloyd_case(*((5_000, 64, 256) if quick else (50_000, 256, 256)))


def lloyd_case(rows: int, dim: int, size: int) -> Case:
    """Run one iteration on clustered rows; faiss uses its flat index and Clustering."""
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(size, dim, generator=random)
    x = centres[torch.randint(size, (rows,), generator=random)]
    x += torch.randn(rows, dim, generator=random) / 2
    codebook = lloyd_iteration(x, centres)  # every codeword has rows; faiss would move others
    peers: dict[str, Thunk] = {}
    if HAS_FAISS:
        peers["faiss"] = lambda: _faiss_iteration(x, codebook)

    def verify() -> None:
        codewords = lloyd_iteration(x, codebook)
        nearest = torch.cdist(x, codebook).argmin(1)
        expected = torch.stack([x[nearest == k].mean(0) for k in range(size)])
        torch.testing.assert_close(codewords, expected, rtol=1e-4, atol=1e-3)
        if HAS_FAISS:
            torch.testing.assert_close(
                _faiss_iteration(x, codebook), codewords, rtol=1e-4, atol=1e-3
            )

    return Case(
        op="nearest_codes + accumulate_codes",
        shape=f"N={rows} D={dim} K={size} clustered",
        run=lambda: lloyd_iteration(x, codebook),
        peers=peers,
        verify=verify,
        flops=2.0 * rows * dim * size,
    )


def _faiss_iteration(x: Tensor, codebook: Tensor) -> Tensor:
    """Run one iteration of faiss' Clustering from these centroids."""
    import faiss

    rows, dim = x.shape
    clustering = faiss.Clustering(dim, len(codebook))
    clustering.niter = 1
    clustering.max_points_per_centroid = rows  # no subsampling
    clustering.min_points_per_centroid = 1
    faiss.copy_array_to_vector(codebook.numpy().ravel(), clustering.centroids)
    clustering.train(x.numpy(), faiss.IndexFlatL2(dim))
    trained = faiss.vector_to_array(clustering.centroids)
    return torch.from_numpy(trained).view_as(codebook)
