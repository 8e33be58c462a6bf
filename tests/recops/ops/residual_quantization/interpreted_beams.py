"""Triton kernels of beam search and of the k nearest codewords, run by Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from interpreted import HostReads
from recops import reference
from recops.ops.residual_quantization.triton import beams, nearest_codes, rq_encode_beams
from recops.ops.residual_quantization.triton.beams import (
    PRODUCTS,
    SELECTIONS,
    BeamConfiguration,
    BeamSelection,
    ErrorTiles,
    ProductTiles,
    search,
)

FLOATS_ONLY = 32  # the CPU kernel without integers
DTYPES = [torch.float32, torch.bfloat16, torch.float16]

Books = list[Tensor]
Paths = tuple[Tensor, Tensor]


def small(candidates: int = 64, chunk_values: int = 1 << 20) -> BeamConfiguration:
    """Return a configuration with small tiles, so that small inputs have several of each."""
    products = ProductTiles(most_rows=1, rows=16, words=16, dim=16, num_warps=1)
    selection = BeamSelection(most_beams=1, candidates=candidates, entries=candidates)
    return BeamConfiguration(products, selection, ErrorTiles(paths=4, columns=16), chunk_values)


def draw(rows: int, dim: int, sizes: list[int]) -> tuple[Tensor, Books]:
    return torch.randn(rows, dim), [torch.randn(size, dim) / 2 for size in sizes]


def encode(
    x: Tensor, books: Books, beam: int, configuration: BeamConfiguration | None = None
) -> Paths:
    sizes = [len(book) for book in books]
    return search(
        x, torch.cat(books), sizes, beam, beam, is_strict=True, configuration=configuration
    )


def assert_paths(
    x: Tensor, books: Books, beam: int, configuration: BeamConfiguration | None = None
) -> Paths:
    """Check paths and errors against the CPU kernel; return them."""
    codes, errors = encode(x, books, beam, configuration)
    sizes = [len(book) for book in books]
    expected: Paths = torch.ops.recops.rq_encode_beams(
        x, torch.cat(books), sizes, beam, beam, FLOATS_ONLY
    )
    assert torch.equal(codes, expected[0])
    torch.testing.assert_close(errors, expected[1], rtol=1e-5, atol=1e-6, equal_nan=True)
    return codes, errors


SHAPES = [
    (1, 1, [1], 2),
    (2, 17, [9], 3),
    (3, 9, [70, 3, 40], 9),
    (2, 4, [2, 2], 7),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_paths_equal_those_of_the_cpu(
    shape: tuple[int, int, list[int], int], dtype: torch.dtype
) -> None:
    """Levels have one segment or several, and lists are merged once or several times."""
    rows, dim, sizes, beam = shape
    x, books = draw(rows, dim, sizes)
    assert_paths(x.to(dtype), [book.to(dtype) for book in books], beam, small())


@pytest.mark.parametrize("candidates", [16, 32])
def test_segments_do_not_change_results(candidates: int) -> None:
    """Codes are divided, or paths."""
    x, books = draw(2, 6, [11, 20])
    one, other = encode(x, books, 5, small(1 << 13)), encode(x, books, 5, small(candidates))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("products", PRODUCTS, ids=str)
@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_every_configuration(products: ProductTiles, selection: BeamSelection) -> None:
    """Sizes leave a remainder of every tile."""
    x, books = draw(1, 70, [70, 75])
    beam = 5 if selection is SELECTIONS[0] else 130
    assert_paths(x, books, beam, BeamConfiguration(products, selection))


def test_rows_of_16_bits_with_codebooks_of_32() -> None:
    x, books = draw(2, 9, [8, 8])
    assert_paths(x.bfloat16(), books, 3, small())


def test_chunks_do_not_change_results() -> None:
    x, books = draw(5, 6, [11, 10])
    one, several = encode(x, books, 3, small()), encode(x, books, 3, small(chunk_values=150))
    assert torch.equal(one[0], several[0])
    assert torch.equal(one[1], several[1])


def test_an_offset_of_the_data() -> None:
    """Without the shift, products would lose the digits that decide."""
    books = [1000 + torch.randn(20, 24), torch.randn(20, 24)]
    x = books[0][:4] + 0.3 * torch.randn(4, 24)
    assert_paths(x, books, 3, small())


# ---- Ties.


@pytest.mark.parametrize("candidates", [32, 1 << 13])
def test_integers_tie_exactly(candidates: int) -> None:
    x = torch.randint(-2, 3, (4, 5)).float()
    books = [torch.randint(-2, 3, (15, 5)).float() for _ in range(3)]
    codes, errors = assert_paths(x, books, 7, small(candidates))
    expected = reference.rq_encode_beams(x, books, beam=7)
    assert torch.equal(codes, expected[0])
    assert torch.equal(errors, expected[1])


def test_paths_of_equal_codewords_are_in_order() -> None:
    codes, errors = encode(torch.randn(1, 9), [torch.randn(1, 9).expand(50, 9)] * 3, 9, small())
    assert codes.tolist() == [[[0, 0, k] for k in range(9)]]
    assert (errors == errors[:, :1]).all()


def test_scores_of_both_zeros_tie() -> None:
    """Scores of rows at the origin are 0 or −0."""
    book = torch.tensor([[0.0, -0.0], [-0.0, 0.0], [0.0, 0.0]])
    codes, _ = encode(torch.tensor([[1.0, -1.0]]), [book], 2, small())
    assert codes[0, :, 0].tolist() == [0, 1]


# ---- Unusual data.


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_rows_that_are_not_finite_have_no_codes(value: float) -> None:
    """One codeword is zero in the dimension of the value, and the others have both signs."""
    x, books = draw(3, 7, [8, 6])
    books[0][3] = 0
    clean = encode(x, books, 3, small())
    x[[0, 2], [6, 2]] = value
    codes, errors = encode(x, books, 3, small())
    assert (codes[[0, 2]] == -1).all()
    assert errors[[0, 2]].isnan().all()
    assert torch.equal(codes[1], clean[0][1])
    index, distance = nearest_codes(x, books[0].abs(), 2)
    assert (index[[0, 2]] == -1).all()
    assert distance[[0, 2]].isnan().all()
    assert (index[1] >= 0).all()


def test_rows_whose_products_overflow_have_no_codes() -> None:
    x, books = torch.randn(3, 8), [torch.randn(6, 8).abs() * 1e15 for _ in range(2)]
    x[1] = -3e38
    codes, errors = encode(x, books, 3, small())
    assert (codes[1] == -1).all()
    assert errors[1].isnan().all()
    assert (codes[[0, 2]] >= 0).all()


def test_infinite_products_of_a_later_level() -> None:
    """Products of +inf give scores of −inf, which would all tie as the best."""
    books = [torch.ones(4, 1), torch.tensor([[1e15], [2e15], [3e15], [4e15]])]
    codes, errors = encode(torch.full((2, 1), 1e30), books, 2, small())
    assert (codes == -1).all()
    assert errors.isnan().all()


def test_a_row_needs_k_scores_below_infinity() -> None:
    x, book = torch.full((1, 1), -1e38), torch.tensor([[1.0], [1e15], [2e15], [-1.0]])
    assert nearest_codes(x, book, 2)[0].sort().values.tolist() == [[0, 3]]
    index, distance = nearest_codes(x, book, 3)
    assert index.tolist() == [[-1] * 3]
    assert distance.isnan().all()


def test_codewords_that_are_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where data is checked, the error is that of the CPU."""
    x, books = draw(3, 4, [5, 6])
    books[1][2, 1] = torch.nan
    words = torch.cat(books)
    with pytest.raises(
        ValueError, match=r"rq_encode_beams: codebooks must be finite, .*\[1\]\[2\]"
    ):
        rq_encode_beams(x, words, [5, 6], 2, 2)
    monkeypatch.setattr("recops.ops.residual_quantization.composite.checks_data", lambda _: False)
    codes, errors = rq_encode_beams(x, words, [5, 6], 2, 2)
    assert (codes == -1).all()
    assert errors.isnan().all()


def test_a_perfect_fit_has_no_error() -> None:
    books = [1000 + torch.randn(10, 8), torch.randn(10, 8)]
    books[1][7] = 0
    codes, errors = encode(books[0][:3], books, 4, small())
    assert codes[:, 0].tolist() == [[k, 7] for k in range(3)]
    assert (errors[:, 0] == 0).all()


# ---- The registered functions.


def test_fewer_paths_than_the_beam() -> None:
    x, books = draw(2, 6, [9, 7])
    every, errors = encode(x, books, 6)
    codes, own_errors = rq_encode_beams(x, torch.cat(books), [9, 7], 6, 2)
    assert torch.equal(codes, every[:, :2])
    assert torch.equal(own_errors, errors[:, :2])


@pytest.mark.parametrize("k", [2, 7, 30])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_nearest_codewords(dtype: torch.dtype, k: int) -> None:
    x, (book,) = draw(2, 9, [30])
    x, book = x.to(dtype), book.to(dtype)
    index, distance = nearest_codes(x, book, k)
    expected = torch.ops.recops.nearest_codes(x, book, k)
    assert torch.equal(index, expected[0])
    torch.testing.assert_close(distance, expected[1], rtol=1e-5, atol=1e-6)


def test_equal_codewords_are_in_order() -> None:
    x, (book,) = draw(2, 5, [6])
    index, distance = nearest_codes(x, book.repeat(3, 1), 6)
    first = index[:, ::3]
    assert torch.equal(index, torch.stack([first, first + 6, first + 12], 2).flatten(1))
    assert (distance.diff() >= 0).all()


def test_a_call_does_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops.ops.residual_quantization.composite.checks_data", lambda _: False)
    monkeypatch.setattr(
        "recops.ops.residual_quantization.triton.launch.checks_data", lambda _: False
    )
    x, books = draw(3, 4, [5, 6])
    with HostReads(monkeypatch) as reads:
        rq_encode_beams(x, torch.cat(books), [5, 6], 2, 2)
        nearest_codes(x, books[0], 2)
    assert reads.names == []


def test_sizes_beyond_the_limits_use_the_composite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beams, "search", lambda *_, **__: pytest.fail("used the kernels"))
    x, books = draw(3, 4, [5, 6])
    words = torch.cat(books)
    double, expected = words.double(), reference.rq_encode_beams(x, books, beam=2)
    assert torch.equal(rq_encode_beams(x.double(), double, [5, 6], 2, 2)[0], expected[0])
    assert rq_encode_beams(x[:0], words, [5, 6], 2, 2)[0].shape == (0, 2, 2)
    assert rq_encode_beams(x, words, [5, 6], 1, 1)[0].shape == (3, 1, 2)
    monkeypatch.setattr(beams, "MOST_TABLE_VALUES", 29)
    assert torch.equal(rq_encode_beams(x, words, [5, 6], 2, 2)[0], expected[0])
    monkeypatch.setattr(beams, "MOST_BEAMS", 1)
    assert torch.equal(nearest_codes(x, words, 2)[0], reference.nearest_codes(x, words, k=2)[0])


def test_wrong_arguments_are_refused() -> None:
    x, (book,) = draw(3, 4, [5])
    with pytest.raises(ValueError, match="rq_encode_beams: bits must be 0, 16 or 32, got 8"):
        rq_encode_beams(x, book, [5], 2, 2, 8)
    with pytest.raises(ValueError, match="rq_encode_beams: kept must be"):
        rq_encode_beams(x, book, [5], 2, 3)
    with pytest.raises(ValueError, match="nearest_codes: k must be"):
        nearest_codes(x, book, 6)
