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
# rows, dimension, levels, codewords per level, paths
BEAM_SHAPES = [(50_000, 768, 3, 1024, 20), (50_000, 64, 3, 256, 10), (64, 768, 3, 1024, 50)]
QUICK_BEAM_SHAPE = (2000, 64, 3, 256, 10)


def code_cases(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield the cases of decoding and of sums by code."""
    for shape in [QUICK_CODE_SHAPE] if quick else CODE_SHAPES:
        yield decode_case(*shape, device=device)
        yield decode_case(*shape, device=device, backward=True)
        rows, dim, _, size = shape
        yield accumulate_case(rows, dim, size, device=device)


def beam_cases(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield the cases of beam search and of the k nearest codewords."""
    for rows, dim, levels, size, beam in [QUICK_BEAM_SHAPE] if quick else BEAM_SHAPES:
        yield beam_case(rows, dim, levels, size, beam, device=device)
        yield beam_case(rows, dim, 1, size, beam, device=device)


def search_eagerly(x: Tensor, books: Tensor, beam: int) -> tuple[Tensor, Tensor]:
    """Search as users write it: residuals of all paths, one matmul and one top-k per level."""
    residual, paths = x[:, None], x.new_empty((len(x), 1, 0), dtype=torch.int64)
    for book in books:
        scores = book.square().sum(1) / 2 - residual @ book.T
        scores = (scores + residual.square().sum(2, keepdim=True) / 2).flatten(1)
        best = scores.topk(min(beam, scores.shape[1]), largest=False).indices
        parents, codes = (best // len(book))[:, :, None], best % len(book)
        paths = paths.gather(1, parents.expand(-1, -1, paths.shape[2]))
        paths = torch.cat([paths, codes[:, :, None]], 2)
        residual = residual.gather(1, parents.expand(-1, -1, x.shape[1])) - book[codes]
    errors, order = residual.square().sum(2).sort(dim=1, stable=True)
    return paths.gather(1, order[:, :, None].expand_as(paths)), errors


def beam_case(
    rows: int, dim: int, levels: int, size: int, beam: int, *, device: torch.device
) -> Case:
    """Search by beams, or for the nearest codewords of one level; the peer searches eagerly."""
    random = torch.Generator(device).manual_seed(0)
    books = torch.randn(levels, size, dim, generator=random, device=device)
    books /= 2 ** torch.arange(levels, device=device)[:, None, None]
    x = torch.randn(rows, dim, generator=random, device=device)
    block = max(1, 2**28 // (beam * (size + dim)))

    def run() -> tuple[Tensor, Tensor]:
        if levels == 1:
            return recops.nearest_codes(x, books[0], k=beam)
        return recops.rq_encode_beams(x, books, beam=beam)

    def eager() -> list[tuple[Tensor, Tensor]]:
        return [search_eagerly(part, books, beam) for part in x.split(block)]

    def verify() -> None:
        (codes, errors), again = run(), run()
        results = eager()
        expected = torch.cat([paths for paths, _ in results])
        same = (codes.view(expected.shape) == expected).all(2).float().mean().item()
        assert same > 0.95, f"{1 - same:.2%} of the paths differ"
        expected_errors = torch.cat([error for _, error in results])
        torch.testing.assert_close(errors.mean(), expected_errors.mean(), rtol=1e-4, atol=0)
        assert torch.equal(codes, again[0])
        assert torch.equal(errors, again[1])

    return Case(
        op="nearest_codes" if levels == 1 else "rq_encode_beams",
        shape=f"N={rows} D={dim} "
        + (f"K={size} k={beam}" if levels == 1 else f"L={levels} K={size} beam={beam}"),
        device=str(device),
        run=run,
        peers={"eager": eager},
        verify=verify,
        flops=2.0 * rows * dim * levels * size,
        bytes=float(x.nbytes + books.nbytes + rows * beam * (4 * levels + 4)),
    )


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
