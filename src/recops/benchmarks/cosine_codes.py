"""Benchmarks of codes by cosine against plain PyTorch and against codes by distance."""

from __future__ import annotations

from collections.abc import Iterator

import torch

import recops
from recops import reference
from recops.benchmarks.registry import Case, register


@register("cosine_codes")
def cases(quick: bool) -> Iterator[Case]:
    yield encode_case(20_000, 64, 3, 256)
    if not quick:
        yield encode_case(20_000, 384, 3, 256)


def encode_case(rows: int, dim: int, levels: int, size: int) -> Case:
    """Encode greedily by cosine; the peer ``l2`` encodes by distance, without normalising."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(rows, dim, generator=random)
    books = torch.randn(levels, size, dim, generator=random) / 2

    def verify() -> None:
        codes, sq_error = recops.rq_encode(x, books, metric="cosine")
        expected, expected_error = reference.rq_encode(x, books, metric="cosine")
        assert (codes == expected).all(1).float().mean() > 0.999
        torch.testing.assert_close(sq_error.mean(), expected_error.mean(), rtol=1e-4, atol=0)

    return Case(
        op="rq_encode, cosine",
        shape=f"N={rows} D={dim} L={levels} K={size}",
        run=lambda: recops.rq_encode(x, books, metric="cosine"),
        peers={
            "reference": lambda: reference.rq_encode(x, books, metric="cosine"),
            "l2": lambda: recops.rq_encode(x, books),
        },
        verify=verify,
        flops=2.0 * rows * dim * levels * size,
    )
