"""Cases of residual quantization on a CUDA GPU, in addition to greedy encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

import recops
from recops import reference
from recops.benchmarks.registry import Case

# rows, dimension, levels, codewords per level
CODE_SHAPES = [(1_000_000, 768, 3, 1024), (1_000_000, 64, 3, 256)]
QUICK_CODE_SHAPE = (20_000, 64, 3, 256)


def code_cases(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield the cases of decoding and of sums by code."""
    for shape in [QUICK_CODE_SHAPE] if quick else CODE_SHAPES:
        yield decode_case(*shape, device=device)
        yield decode_case(*shape, device=device, backward=True)
        rows, dim, _, size = shape
        yield accumulate_case(rows, dim, size, device=device)


def decode_eagerly(codes: Tensor, books: Tensor) -> Tensor:
    """Decode as users write it: one embedding lookup per level."""
    pairs = zip(codes.unbind(1), books.unbind(0), strict=True)
    return torch.stack([torch.nn.functional.embedding(code, book) for code, book in pairs]).sum(0)


def decode_case(
    rows: int,
    dim: int,
    levels: int,
    size: int,
    *,
    device: torch.device,
    backward: bool = False,
) -> Case:
    """Decode; the peer is one embedding lookup per level, whose gradients are atomic sums."""
    random = torch.Generator(device).manual_seed(0)
    books = torch.randn(levels, size, dim, generator=random, device=device)
    codes = torch.randint(size, (rows, levels), generator=random, device=device)
    grad = torch.randn(rows, dim, generator=random, device=device)
    leaf = books.clone().requires_grad_()

    def side(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], Sequence[Tensor]]:
        if not backward:
            return lambda: [function(codes, books)]
        return lambda: torch.autograd.grad(function(codes, leaf), leaf, grad)

    run, eager = side(recops.rq_decode), side(decode_eagerly)

    def verify() -> None:
        result, expected, again = run()[0], eager()[0], run()[0]
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-3)
        assert torch.equal(result, again)

    moved = grad.nbytes * (2 if backward else 1) + books.nbytes * (2 if backward else 1)
    return Case(
        op="rq_decode",
        shape=f"N={rows} D={dim} L={levels} K={size}",
        direction="backward" if backward else "forward",
        device=str(device),
        run=run,
        peers={"eager": eager},
        verify=verify,
        flops=float(rows * dim * levels) * (2 if backward else 1),
        bytes=float(moved + codes.nbytes),
        ceiling="bandwidth",
    )


def accumulate_case(rows: int, dim: int, size: int, *, device: torch.device) -> Case:
    """Sum rows by code; the peer is ``index_add``, whose order of additions varies on a GPU."""
    random = torch.Generator(device).manual_seed(0)
    x = torch.randn(rows, dim, generator=random, device=device)
    index = torch.randint(size, (rows,), generator=random, device=device)

    def run() -> tuple[Tensor, Tensor]:
        return recops.accumulate_codes(x, index, size)

    def eager() -> tuple[Tensor, Tensor]:
        sums = x.new_zeros((size, dim)).index_add(0, index, x)
        return sums, x.new_zeros(size).index_add(0, index, x.new_ones(rows))

    def verify() -> None:
        result, again = run(), run()
        expected = reference.accumulate_codes(x, index, size)
        for values, sums, repeated in zip(result, expected, again, strict=True):
            torch.testing.assert_close(values, sums, rtol=1e-4, atol=1e-3)
            assert torch.equal(values, repeated)

    return Case(
        op="accumulate_codes",
        shape=f"N={rows} D={dim} K={size}",
        device=str(device),
        run=run,
        peers={"eager": eager},
        verify=verify,
        flops=float(rows * dim),
        bytes=float(x.nbytes + index.nbytes + 4 * size * (dim + 1)),
        ceiling="bandwidth",
    )
