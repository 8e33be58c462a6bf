"""Codes by products of small integers equal those of the float kernel.

With data far from the origin they also equal those of exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from recops import reference

FLOATS_ONLY, GRIDS = 32, [8, 16]  # values of the op's argument `bits`; 0 lets the op choose


def clustered(n: int, dim: int, sizes: list[int]) -> tuple[Tensor, list[Tensor]]:
    books = [torch.randn(size, dim) / 3**level for level, size in enumerate(sizes)]
    x = sum(book[torch.randint(len(book), (n,))] for book in books) + 0.1 * torch.randn(n, dim)
    return x, books


def spread(n: int, dim: int, sizes: list[int]) -> tuple[Tensor, list[Tensor]]:
    return torch.randn(n, dim), [torch.randn(size, dim) / 2 for size in sizes]


def with_(
    change: Callable[[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]],
) -> Callable[[int, int, list[int]], tuple[Tensor, list[Tensor]]]:
    return lambda n, dim, sizes: change(*clustered(n, dim, sizes))


def scaled(factor: float) -> Callable[[int, int, list[int]], tuple[Tensor, list[Tensor]]]:
    return with_(lambda x, books: (x * factor, [book * factor for book in books]))


def outlying_dimension(x: Tensor, books: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    x[:, :1] *= 1000
    books[0][:, :1] *= 1000
    return x, books


def neighbours(x: Tensor, books: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return each codeword twice, and also one unit in the last place larger and smaller."""
    up = torch.tensor(torch.inf)
    return x, [torch.cat([book, book, book.nextafter(up), book.nextafter(-up)]) for book in books]


def not_finite(x: Tensor, books: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    x[::3, :1] = torch.nan
    x[1::5, -1:] = torch.inf
    return x, books


def of_all_sizes(x: Tensor, books: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    return x * torch.logspace(-44, 18, len(x))[:, None], books


DATA: dict[str, Callable[[int, int, list[int]], tuple[Tensor, list[Tensor]]]] = {
    "clustered": clustered,
    "spread": spread,
    "an outlying dimension": with_(outlying_dimension),
    "an outlying codeword": with_(
        lambda x, books: (x, [torch.cat([1e6 * book[:1], book]) for book in books])
    ),
    "codewords twice": with_(lambda x, books: (x, [torch.cat([book, book]) for book in books])),
    "codewords next to each other": with_(neighbours),
    "codewords of zeros": with_(lambda x, books: (x, [book * (book > 0) * 0 for book in books])),
    "rows of zeros": with_(lambda x, books: (0 * x, books)),
    "a perfect fit": with_(lambda x, books: (books[0].repeat(3, 1), books)),
    "multiples of codewords": with_(lambda x, books: (-5 * books[0].repeat(2, 1), books)),
    "whole numbers": with_(lambda x, books: (x.round(), [book.round() for book in books])),
    "far from the origin": with_(lambda x, books: (x + 300, [books[0] + 300, *books[1:]])),
    "huge": scaled(1e16),
    "tiny": scaled(1e-18),
    "subnormal": scaled(1e-42),
    "of all sizes": with_(of_all_sizes),
    "not finite": with_(not_finite),
}


def assert_same_codes(
    x: Tensor, books: list[Tensor], bits: int, expected: tuple[Tensor, Tensor] | None = None
) -> None:
    words, sizes = torch.cat(books), [len(book) for book in books]
    expected = expected or torch.ops.recops.rq_encode(x, words, sizes, FLOATS_ONLY)
    codes, sq_error = torch.ops.recops.rq_encode(x, words, sizes, bits)
    assert torch.equal(codes, expected[0])
    torch.testing.assert_close(sq_error, expected[1], rtol=0, atol=0, equal_nan=True)


@pytest.mark.numerics
@pytest.mark.parametrize("kind", DATA)
@settings(max_examples=12)
@given(
    n=st.integers(0, 130),
    dim=st.integers(1, 150),
    sizes=st.lists(st.integers(1, 150), min_size=1, max_size=3),
    dtype=st.sampled_from([torch.float32, torch.float32, torch.bfloat16, torch.float16]),
    bits=st.sampled_from(GRIDS),
    seed=st.integers(0, 99),
)
def test_codes_equal_those_of_the_float_kernel(
    kind: str, n: int, dim: int, sizes: list[int], dtype: torch.dtype, bits: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x, books = DATA[kind](n, dim, sizes)
    if dtype == torch.float16:  # norms overflow far later than values
        x, books = x.clamp(-6e4, 6e4), [book.clamp(-6e4, 6e4) for book in books]
    assert_same_codes(x.to(dtype), [book.to(dtype) for book in books], bits)


@pytest.mark.parametrize("kind", DATA)
def test_codes_of_many_rows_equal_those_of_the_float_kernel(
    kind: str, set_threads: Callable[[int], None]
) -> None:
    """There are enough rows for integer grids to be used, and to be tried and abandoned."""
    x, books = DATA[kind](1500, 130, [300, 70])
    x = x.repeat(-(-1500 // len(x)), 1)
    words, sizes = torch.cat(books), [len(book) for book in books]
    set_threads(1)
    expected = torch.ops.recops.rq_encode(x, words, sizes, FLOATS_ONLY)
    for threads in (1, 3):
        set_threads(threads)
        assert_same_codes(x, books, 0, expected)
    index, sq_distance = recops.nearest_codes(x, books[0])
    assert torch.equal(index[:, 0], expected[0][:, 0])
    assert sq_distance.shape == (len(x), 1)


def assert_same_paths(x: Tensor, books: list[Tensor], beam: int) -> Tensor:
    """Check that paths agree up to rounding of errors; return which are equal, ``[N, beam]``."""
    words, sizes = torch.cat(books), [len(book) for book in books]
    search = torch.ops.recops.rq_encode_beams
    expected, expected_error = search(x, words, sizes, beam, beam, FLOATS_ONLY)
    codes, sq_error = search(x, words, sizes, beam, beam, 16)
    scale = (x.double().norm(dim=1) + sum(book.double().norm(dim=1).max() for book in books)) ** 2
    differs = (sq_error.double() - expected_error.double()).abs()
    same = (codes == expected).all(2)
    close = differs <= 1e-5 * scale[:, None]
    assert (same | close).all()
    assert torch.equal(sq_error.isnan(), expected_error.isnan())
    return same


@pytest.mark.numerics
@pytest.mark.parametrize("kind", DATA)
@settings(max_examples=4)
@given(
    n=st.integers(60, 200),
    dim=st.integers(1, 150),
    sizes=st.lists(st.integers(1, 100), min_size=2, max_size=4),
    beam=st.integers(2, 40),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_beams_by_integers_equal_those_of_the_float_kernel(
    kind: str, n: int, dim: int, sizes: list[int], beam: int, dtype: torch.dtype, seed: int
) -> None:
    torch.manual_seed(seed)
    x, books = DATA[kind](n, dim, sizes)
    assert_same_paths(x.to(dtype), [book.to(dtype) for book in books], beam)


@pytest.mark.parametrize(("dim", "beam"), [(64, 5), (130, 100)])
def test_beams_of_many_rows_by_integers(
    dim: int, beam: int, set_threads: Callable[[int], None]
) -> None:
    """There are enough rows for integers to be used, in ranges of rows of any length."""
    x, books = DATA["clustered"](1500, dim, [300, 130, 70])
    assert assert_same_paths(x, books, beam).double().mean() > 0.999
    set_threads(1)
    codes, sq_error = recops.rq_encode_beams(x, books, beam=beam)
    for threads in (2, 3):
        set_threads(threads)
        again = recops.rq_encode_beams(x, books, beam=beam)
        assert torch.equal(again[0], codes)
        assert torch.equal(again[1], sq_error)


@pytest.mark.composites
@pytest.mark.parametrize("seed", range(5))
def test_beams_by_integers_break_ties_by_path(seed: int) -> None:
    torch.manual_seed(seed)
    x, books = torch.randint(-2, 3, (70, 9)).float(), torch.randint(-2, 3, (3, 40, 9)).float()
    actual = torch.ops.recops.rq_encode_beams(x, books.flatten(0, 1), [40] * 3, 6, 6, 16)
    for one, other in zip(actual, reference.rq_encode_beams(x, books, beam=6), strict=True):
        assert torch.equal(one, other)


def test_float64_uses_no_integers() -> None:
    x, books = clustered(40, 60, [90])
    assert_same_codes(x.double(), [books[0].double()], 8)


@pytest.mark.composites
def test_unknown_bits_are_refused() -> None:
    x, books = clustered(4, 3, [5])
    with pytest.raises(ValueError, match="rq_encode: bits must be 0, 8, 16 or 32, got 7"):
        torch.ops.recops.rq_encode(x, books[0], [5], 7)


# ---- Far from the origin.


def assert_nearest(index: Tensor, x: Tensor, codebook: Tensor) -> None:
    """Check that codes are nearest, up to 1e-5 of the squared distance in float64."""
    distance = torch.cdist(
        x.double(), codebook.double(), compute_mode="donot_use_mm_for_euclid_dist"
    ).square()
    best = distance.topk(index.shape[1], largest=False).values
    assert (distance.gather(1, index.long()) <= best * (1 + 1e-5)).all()


@pytest.mark.composites
@pytest.mark.parametrize("n", [3, 1200])
@pytest.mark.parametrize("offset", [1, 100, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_offset_changes_no_code(dtype: torch.dtype, offset: float, n: int) -> None:
    far = offset * torch.randn(64, dtype=torch.float64)
    x = (far + torch.randn(n, 64)).to(dtype)
    codebook = (far + torch.randn(256, 64)).to(dtype)
    second = torch.randn(100, 64).to(dtype) / 2
    codes, _ = recops.rq_encode(x, [codebook, second])
    assert_nearest(codes[:, :1], x, codebook)
    assert_nearest(codes[:, 1:], x.double() - codebook.double()[codes[:, 0].long()], second)
    for k in (1, 4):
        assert_nearest(recops.nearest_codes(x, codebook, k=k)[0], x, codebook)
    # With one zero codeword at the second level, a beam of two must find the best first code.
    beams, _ = recops.rq_encode(x, [codebook, 0 * second[:1]], beam=2)
    assert_nearest(beams[:, :1], x, codebook)
    # The same by residuals instead of a table of products.
    few, _ = recops.rq_encode(x[:2], [codebook, 0 * second[:1]], beam=2)
    assert torch.equal(few, beams[:2])


@pytest.mark.composites
@pytest.mark.parametrize("beam", [1, 3])
def test_a_perfect_fit_far_from_the_origin_has_no_error(beam: int) -> None:
    codebook, zero = 1000 + torch.randn(300, 40), torch.zeros(1, 40)
    codes, sq_error = recops.rq_encode(codebook, [codebook, zero], beam=beam)
    assert torch.equal(codes[:, 0], torch.arange(300, dtype=torch.int32))
    assert (sq_error == 0).all()


@pytest.mark.composites
def test_ties_between_integers_far_from_the_origin() -> None:
    codebook = torch.tensor([[1003.0, 1], [1001, 3], [1001, 1], [1003, 3], [1001, 1]])
    codes, _ = recops.rq_encode(torch.tensor([[1002.0, 2], [1001, 2], [1001, 1]]), codebook[None])
    assert codes[:, 0].tolist() == [0, 1, 2]
    index, _ = recops.nearest_codes(torch.tensor([[1002.0, 2]]), codebook, k=5)
    assert index.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.composites
def test_flips_do_not_depend_on_an_offset() -> None:
    x, codebooks = torch.randn(300, 16), torch.randn(2, 50, 16)
    sigma = torch.tensor([0.1, 0.2])
    far = torch.stack([codebooks[0] + 1024, codebooks[1]])
    near = recops.code_flip_rate(x, codebooks, sigma, samples=20, seed=0)
    moved = recops.code_flip_rate(x + 1024, far, sigma, samples=20, seed=0)
    torch.testing.assert_close(moved, near, rtol=0.05, atol=0)
