"""Benchmarks of codebook overlap against dense PyTorch, which makes the K × K matrix."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register
from recops.ops.codebook_overlap.codebook_overlap import OverlapKernel

# codewords, dimension
SHAPES = [(4096, 32), (1024, 64), (256, 32)]


@register("codebook_overlap")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[1:2] if quick else SHAPES:
        yield overlap_case(*shape, compiled=not quick)
        yield overlap_case(*shape, backward=True)
    yield overlap_case(*SHAPES[1], kernel="minimum")


def dense(
    codebook: Tensor, usage: Tensor, sigma: float, *, kernel: OverlapKernel = "bhattacharyya"
) -> tuple[Tensor, Tensor]:
    """Compute the overlap from torch's distance matrix."""
    distance = torch.cdist(codebook, codebook)
    if kernel == "minimum":
        overlaps = torch.special.erfc(distance / (8**0.5 * sigma))
    else:
        overlaps = torch.exp(distance.square() / (-8 * sigma**2))
    row_sums = overlaps @ usage
    return usage @ row_sums, row_sums


def overlap_case(
    size: int,
    dim: int,
    *,
    kernel: OverlapKernel = "bhattacharyya",
    backward: bool = False,
    compiled: bool = False,
    device: torch.device | str = "cpu",
) -> Case:
    """Run the overlap, forward or forward and backward with the gradient of the codebook."""
    random = torch.Generator().manual_seed(0)
    codebook = torch.randn(size, dim, generator=random).to(device)
    usage = torch.rand(size, generator=random).to(device)
    usage /= usage.sum()
    sigma = 1.0

    def side(function: object) -> Thunk:
        assert callable(function)
        if not backward:
            return lambda: function(codebook, usage, sigma, kernel=kernel)
        books = codebook.clone().requires_grad_()
        return lambda: torch.autograd.grad(function(books, usage, sigma, kernel=kernel)[0], books)

    run = side(recops.codebook_overlap)
    peers = {"dense": side(dense)}
    if compiled:
        peers["compile"] = side(torch.compile(dense))

    def verify() -> None:
        overlap, row_sums = recops.codebook_overlap(codebook, usage, sigma, kernel=kernel)
        expected = reference.codebook_overlap(codebook, usage, sigma, kernel=kernel)
        torch.testing.assert_close(overlap, expected[0], rtol=1e-5, atol=0)
        torch.testing.assert_close(row_sums, expected[1], rtol=1e-4, atol=0)

    # One difference and one multiply-add per coordinate of a pair; the backward pass doubles that.
    passes = 3 if backward else 1
    return Case(
        op="codebook_overlap",
        shape=f"K={size} D={dim} {kernel}",
        direction="backward" if backward else "forward",
        run=run,
        peers=peers,
        verify=verify,
        flops=3.0 * size * size * dim * passes,
        bytes=float((codebook.nbytes + usage.nbytes) * passes),
        device=str(device),
    )
