"""Benchmarks of balanced assignment against nearest_codes and k-means-constrained."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator

import torch
from torch import Tensor

import recops
from recops.benchmarks.registry import Case, Thunk, register

HAS_CONSTRAINED = importlib.util.find_spec("k_means_constrained") is not None

# rows, dimension, codewords
SHAPES = [(20_000, 64, 256), (100_000, 64, 1024)]
CONSTRAINED_SHAPE = (4000, 32, 64)


@register("balance_assignment")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        yield balance_case(*shape)
    yield iteration_case(*CONSTRAINED_SHAPE)


def _inputs(rows: int, dim: int, size: int) -> tuple[Tensor, Tensor]:
    """Return anisotropic rows, and codewords drawn from them."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(rows, dim, generator=random) * torch.linspace(2, 0.1, dim)
    return x, x[torch.randperm(rows, generator=random)[:size]].clone()


def balance_case(rows: int, dim: int, size: int, *, device: torch.device | str = "cpu") -> Case:
    """Balance rows of very different weights at 1.05 times the mean load; the peer only assigns."""
    x, codebook = (values.to(device) for values in _inputs(rows, dim, size))
    weight = torch.rand(rows, generator=torch.Generator().manual_seed(1)) ** 4 + 0.01
    weight = weight.to(device)
    capacity = 1.05 * weight.double().sum().item() / size

    def verify() -> None:
        index, load, feasible = recops.balance_assignment(x, codebook, weight, capacity)
        assert feasible
        assert (load.double() <= capacity).all()
        _, expected = recops.accumulate_codes(x[:, :0], index, size, weight=weight)
        torch.testing.assert_close(load, expected)

    return Case(
        op="balance_assignment",
        shape=f"N={rows} D={dim} K={size}",
        run=lambda: recops.balance_assignment(x, codebook, weight, capacity),
        peers={"nearest_codes": lambda: recops.nearest_codes(x, codebook)},
        verify=verify,
        flops=2.0 * rows * dim * size,
        bytes=float(x.nbytes + codebook.nbytes + weight.nbytes + 4 * rows),
        device=str(device),
    )


def iteration_case(rows: int, dim: int, size: int) -> Case:
    """Run one iteration of k-means with at most 1.05 times the mean number of rows per code.

    The peer k-means-constrained solves a min-cost flow.
    """
    x, codebook = _inputs(rows, dim, size)
    ones, most = torch.ones(rows), math.ceil(1.05 * rows / size)

    def run() -> Tensor:
        index, _, _ = recops.balance_assignment(x, codebook, ones, most)
        sums, counts = recops.accumulate_codes(x, index, size)
        return sums / counts.clamp(min=1)[:, None]

    peers: dict[str, Thunk] = {}
    if HAS_CONSTRAINED:
        from k_means_constrained import KMeansConstrained

        points, start = x.double().numpy(), codebook.double().numpy()

        def constrained() -> object:
            estimator = KMeansConstrained(size, size_max=most, init=start, n_init=1, max_iter=1)
            return estimator.fit(points)

        peers["k-means-constrained"] = constrained

    def verify() -> None:
        _, load, feasible = recops.balance_assignment(x, codebook, ones, most)
        assert feasible
        assert load.max() <= most

    return Case(
        op="balance_assignment",
        shape=f"N={rows} D={dim} K={size} Lloyd iteration",
        run=run,
        peers=peers,
        verify=verify,
        flops=2.0 * rows * dim * size,
    )
