"""Beam search over residual codebooks: the reference, exhaustive and greedy search, ties."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import recops
from recops import reference
from tolerances import AGREEMENT, DTYPES

pytestmark = pytest.mark.composites

# The kernel uses residuals for few rows and the table of products for many.
rows = st.integers(0, 40)
dims = st.integers(0, 40)
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=4)
beams = st.integers(1, 50)
dtypes = st.sampled_from(DTYPES)


def whole_numbers(*shape: int) -> Tensor:
    return torch.randint(-2, 3, shape).float()


def assert_same(actual: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.numerics
@given(n=rows, dim=dims, sizes=sizes, beam=beams, dtype=dtypes, seed=st.integers(0, 99))
def test_integers_give_the_results_of_the_reference(
    n: int, dim: int, sizes: list[int], beam: int, dtype: torch.dtype, seed: int
) -> None:
    """Sums of small integers are exact and tie often, so this tests the order of ties."""
    torch.manual_seed(seed)
    x = whole_numbers(2 * n, dim).to(dtype)[::2]
    codebooks = [whole_numbers(size, dim).to(dtype) for size in sizes]
    actual = recops.rq_encode_beams(x, codebooks, beam=beam)
    assert actual[0].shape == (n, beam, len(sizes))
    assert_same(actual, reference.rq_encode_beams(x, codebooks, beam=beam))
    best = recops.rq_encode(x, codebooks, beam=beam)
    assert_same(best, (actual[0][:, 0], actual[1][:, 0]))


@pytest.mark.numerics
@given(n=rows, dim=st.integers(1, 40), sizes=sizes, beam=beams, seed=st.integers(0, 99))
def test_float64_gives_the_paths_of_the_reference(
    n: int, dim: int, sizes: list[int], beam: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(n, dim, dtype=torch.float64)
    codebooks = [torch.randn(size, dim, dtype=torch.float64) for size in sizes]
    codes, sq_error = recops.rq_encode_beams(x, codebooks, beam=beam)
    expected, expected_error = reference.rq_encode_beams(x, codebooks, beam=beam)
    assert torch.equal(codes, expected)
    torch.testing.assert_close(sq_error, expected_error, **AGREEMENT[torch.float64])


@pytest.mark.numerics
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n", "dim", "sizes", "beam"),
    [
        (300, 64, [256, 256, 256], 5),  # the table
        (9, 33, [200, 1000, 20], 16),  # residuals, with several pieces per level
        (40, 12, [70, 700, 300], 40),  # the table, with more beams than one set of groups holds
    ],
)
def test_agrees_up_to_near_ties(
    n: int, dim: int, sizes: list[int], beam: int, dtype: torch.dtype
) -> None:
    x = torch.randn(n, dim).to(dtype)
    codebooks = [torch.randn(k, dim).to(dtype) / (2 + i) for i, k in enumerate(sizes)]
    codes, sq_error = recops.rq_encode_beams(x, codebooks, beam=beam)
    double = [codebook.double() for codebook in codebooks]
    expected, expected_error = reference.rq_encode_beams(x.double(), double, beam=beam)
    same = (codes == expected).all(2)
    assert same.double().mean() > 0.998
    agreement = AGREEMENT[sq_error.dtype]
    torch.testing.assert_close(sq_error.double()[same], expected_error[same], **agreement)
    assert (sq_error.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("n", [1, 30])
def test_a_wide_beam_finds_every_path_in_order(n: int) -> None:
    x, codebooks = whole_numbers(n, 3), [whole_numbers(k, 3) for k in (3, 1, 4)]
    codes, sq_error = recops.rq_encode_beams(x, codebooks, beam=20)
    paths = torch.tensor(list(itertools.product(*(range(len(book)) for book in codebooks))))
    sums = sum(book[level] for book, level in zip(codebooks, paths.unbind(1), strict=True))
    errors = (x[:, None] - sums).square().sum(2)  # (n, 12)
    expected, order = errors.sort(dim=1, stable=True)
    assert torch.equal(codes[:, :12], paths[order].int())
    assert torch.equal(sq_error[:, :12], expected)
    assert (codes[:, 12:] == -1).all()
    assert (sq_error[:, 12:] == math.inf).all()


def test_a_beam_of_one_is_greedy() -> None:
    x, codebooks = torch.randn(100, 24), torch.randn(3, 50, 24)
    codes, sq_error = recops.rq_encode_beams(x, codebooks, beam=1)
    assert_same((codes[:, 0], sq_error[:, 0]), recops.rq_encode(x, codebooks))


def test_a_wider_beam_is_better_on_average() -> None:
    x, codebooks = torch.randn(400, 32), torch.randn(4, 64, 32) / 2
    errors = [recops.rq_encode(x, codebooks, beam=b)[1].mean().item() for b in (1, 2, 8, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.95 * errors[0]


# ---- Ties, perfect fits and nonfinite rows.


@pytest.mark.parametrize("n", [2, 200])
@pytest.mark.parametrize("dtype", DTYPES)
def test_paths_of_equal_codewords_are_in_order(n: int, dtype: torch.dtype) -> None:
    codebooks = torch.randn(1, 1, 19).to(dtype).expand(3, 700, 19)
    codes, sq_error = recops.rq_encode_beams(torch.randn(n, 19).to(dtype), codebooks, beam=9)
    assert codes.tolist() == [[[0, 0, k] for k in range(9)]] * n
    assert (sq_error == sq_error[:, :1]).all()


@pytest.mark.parametrize("n", [2, 200])
def test_a_perfect_fit_has_no_error(n: int) -> None:
    codebooks = torch.randn(3, 40, 16)
    codebooks[1:, 7] = 0
    x = codebooks[0, torch.arange(n) % 40]
    codes, sq_error = recops.rq_encode(x, codebooks, beam=4)
    assert codes.tolist() == [[k % 40, 7, 7] for k in range(n)]
    assert (sq_error == 0).all()


def test_sq_error_is_exact_where_norms_are_large() -> None:
    codebooks = torch.stack([1000 + torch.randn(100, 32), torch.randn(100, 32)])
    x = recops.rq_decode(torch.tensor([[3, 5], [70, 2]] * 50), codebooks) + 0.01 * torch.randn(
        100, 32
    )
    codes, sq_error = recops.rq_encode_beams(x, codebooks, beam=3)
    assert codes[:, 0].tolist() == [[3, 5], [70, 2]] * 50
    decoded = codebooks.double()[torch.arange(2), codes.long()].sum(2)
    expected = (x.double()[:, None] - decoded).square().sum(2)
    torch.testing.assert_close(sq_error.double(), expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize("n", [4, 60])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_are_not_finite(dtype: torch.dtype, value: float, n: int) -> None:
    x, codebooks = torch.randn(n, 21).to(dtype), torch.randn(3, 30, 21).to(dtype)
    clean = recops.rq_encode_beams(x, codebooks, beam=6)
    x[[0, n - 1], [20, 3]] = value
    codes, sq_error = recops.rq_encode_beams(x, codebooks, beam=6)
    assert (codes[[0, n - 1]] == -1).all()
    assert sq_error[[0, n - 1]].isnan().all()
    assert_same((codes[1:-1], sq_error[1:-1]), (clean[0][1:-1], clean[1][1:-1]))


@pytest.mark.parametrize("n", [4, 60])
def test_rows_whose_products_overflow_count_as_not_finite(n: int) -> None:
    x, codebooks = torch.randn(n, 8), torch.randn(2, 30, 8).abs() * 1e15
    x[1] = -3e38
    codes, sq_error = recops.rq_encode_beams(x, codebooks, beam=3)
    assert (codes[1] == -1).all()
    assert sq_error[1].isnan().all()
    assert (codes[[0, 2]] >= 0).all()


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("n", [1, 60])
@pytest.mark.parametrize("levels", [1, 2])
def test_rows_with_infinite_products_count_as_not_finite(levels: int, n: int, bits: int) -> None:
    """Products of +inf give scores of −inf, which would all tie as the best."""
    codebooks = torch.ones(levels, 4)
    codebooks[-1] = torch.tensor([1e15, 2e15, 3e15, 4e15])
    x, words = torch.full((n, 1), 1e30), codebooks.view(-1, 1)
    codes, sq_error = torch.ops.recops.rq_encode_beams(x, words, [4] * levels, 2, 2, bits)
    assert (codes == -1).all()
    assert sq_error.isnan().all()


# ---- Determinism and errors.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [13, 1000])
@pytest.mark.composites(False)
def test_results_do_not_depend_on_the_number_of_threads(
    n: int, dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    x, codebooks = torch.randn(n, 30).to(dtype), torch.randn(3, 90, 30).to(dtype)
    set_threads(1)
    expected = recops.rq_encode_beams(x, codebooks, beam=7)
    for threads in (2, 3, 7):
        set_threads(threads)
        assert_same(recops.rq_encode_beams(x, codebooks, beam=7), expected)


X, BOOKS = torch.randn(4, 3), torch.randn(2, 5, 3)
NAN_BOOK = [torch.randn(5, 3), torch.randn(4, 3).index_fill_(0, torch.tensor([2]), math.nan)]
ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: recops.rq_encode(X, BOOKS, beam=0), ValueError, "rq_encode: beam must be .*got 0"),
    (lambda: recops.rq_encode_beams(X, BOOKS, beam=-1), ValueError, "beams: beam must be .*-1"),
    (lambda: recops.rq_encode_beams(X, BOOKS, beam=2**40), ValueError, "beam must be from 1 to"),
    (lambda: recops.rq_encode_beams(X[0], BOOKS, beam=2), ValueError, "beams: x must have 2 dim"),
    (lambda: recops.rq_encode_beams(X, BOOKS.double(), beam=2), TypeError, "codebooks must be"),
    (
        lambda: recops.rq_encode_beams(X, BOOKS[:, :0], beam=2),
        ValueError,
        r"codebooks\[0\] must have at",
    ),
    (
        lambda: recops.rq_encode(X, NAN_BOOK, beam=2),
        ValueError,
        r"rq_encode: codebooks must be finite.*codebooks\[1\]\[2\]",
    ),
    (
        lambda: recops.rq_encode_beams(X, NAN_BOOK, beam=2),
        ValueError,
        r"must be finite.*codebooks\[1\]\[2\]",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
