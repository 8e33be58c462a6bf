"""Triton kernels of residual quantization, run by Triton's interpreter.

test_triton.py runs this file in a separate process, because the interpreter is chosen when Triton
is imported. The interpreter runs programs one after another, so it shows no races.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import recops
from interpreted import HostReads
from recops import reference
from recops.ops.residual_quantization.triton import launch, nearest_codes, rq_encode
from recops.ops.residual_quantization.triton.codewords import prepare
from recops.ops.residual_quantization.triton.kernels.exact import NO_KEY
from recops.ops.residual_quantization.triton.table import Configuration, load_table, select

FLOATS_ONLY = 32  # the CPU kernel without integers: scores in order of dimensions
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
Books = list[Tensor]


def small(**changes: object) -> Configuration:
    """Return a configuration with small tiles, so that small inputs have several of each."""
    configuration = select(90, 1, 64, 1)
    tiles = {
        "scan_codewords": {"BLOCK_ROWS": 16, "BLOCK_CODES": 16, "BLOCK_DIM": 16},
        "score_all": {"BLOCK_ROWS": 16, "BLOCK_CODES": 16, "BLOCK_DIM": 16},
        "decide_pairs": {"BLOCK_ROWS": 8, "BLOCK_DIM": 32},
        "write_listed": {"BLOCK_ROWS": 8},
        "round_residuals": {"BLOCK_ROWS": 16, "BLOCK_DIM": 16},
        "squared_errors": {"BLOCK_ROWS": 32, "BLOCK_DIM": 16},
    }
    kernels = {
        name: dataclasses.replace(kernel, tiles=tiles.get(name, kernel.tiles))
        for name, kernel in configuration.kernels.items()
    }
    settings = {"kernels": kernels, "programs": 3, **changes}
    return dataclasses.replace(configuration, **settings)


def spread(rows: int, dim: int, sizes: list[int]) -> tuple[Tensor, Books]:
    return torch.randn(rows, dim), [torch.randn(size, dim) / 2 for size in sizes]


def clustered(rows: int, dim: int, sizes: list[int]) -> tuple[Tensor, Books]:
    books = [torch.randn(size, dim) / 3**level for level, size in enumerate(sizes)]
    x = sum(book[torch.randint(len(book), (rows,))] for book in books)
    return x + 0.1 * torch.randn(rows, dim), books


def expected_codes(x: Tensor, books: Books) -> tuple[Tensor, Tensor]:
    sizes = [len(book) for book in books]
    expected: tuple[Tensor, Tensor] = torch.ops.recops.rq_encode(
        x, torch.cat(books), sizes, FLOATS_ONLY
    )
    return expected


def assert_codes(
    x: Tensor, books: Books, configuration: Configuration | None = None
) -> tuple[Tensor, Tensor]:
    """Check codes and errors against the CPU kernel; return them."""
    sizes = [len(book) for book in books]
    codes, errors = launch.encode(x, torch.cat(books), sizes, configuration)
    expected, expected_errors = expected_codes(x, books)
    assert torch.equal(codes, expected)
    scale = float(expected_errors.nan_to_num(0, 0, 0).max()) if len(x) else 0.0
    torch.testing.assert_close(
        errors, expected_errors, rtol=1e-5, atol=1e-6 * scale, equal_nan=True
    )
    return codes, errors


def chunk_of(x: Tensor, books: Books, configuration: Configuration) -> launch._Chunks:
    """Encode rows in one chunk, and return the workspace after the last level."""
    sizes = [len(book) for book in books]
    chunk = launch._Chunks(configuration, prepare(torch.cat(books), sizes, configuration), len(x))
    assert chunk.capacity >= len(x)
    codes, errors = x.new_empty((len(x), len(sizes)), dtype=torch.int32), torch.empty(len(x))
    chunk.encode(x, sizes, codes, errors)
    return chunk


SHAPES = [(1, 1, [1]), (3, 17, [5, 1, 9]), (37, 40, [50, 33]), (70, 33, [17, 64])]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", [spread, clustered])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_codes_equal_those_of_the_cpu(
    shape: tuple[int, int, list[int]],
    kind: Callable[[int, int, list[int]], tuple[Tensor, Books]],
    dtype: torch.dtype,
) -> None:
    x, books = kind(*shape)
    assert_codes(x.to(dtype), [book.to(dtype) for book in books], small())


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_rows_of_16_bits_with_codebooks_of_32(dtype: torch.dtype) -> None:
    x, books = clustered(40, 24, [30, 20])
    assert_codes(x.to(dtype), books, small())


@pytest.mark.parametrize("configuration", load_table(), ids=lambda c: f"{c.capability} {c.name}")
def test_every_configuration_of_the_table(configuration: Configuration) -> None:
    """Sizes leave a remainder of every tile."""
    x, books = clustered(21, 70, [300, 19])
    assert_codes(x, [torch.cat([book, book[:5]]) for book in books], configuration)


@pytest.mark.parametrize("operand", ["bfloat16", "float16"])
def test_both_operands_give_the_same_codes(operand: str) -> None:
    assert_codes(*clustered(40, 40, [60, 20]), small(operand=operand))
    assert_codes(*spread(40, 40, [60, 20]), small(operand=operand))


def test_chunks_do_not_change_results() -> None:
    x, books = clustered(70, 20, [30, 20])
    one = assert_codes(x, books, small())
    several = assert_codes(x, books, small(chunk_values=32 * 32))
    assert torch.equal(one[1], several[1])


def test_results_repeat_and_do_not_depend_on_the_batch() -> None:
    x, books = spread(50, 30, [40, 20])
    codes, errors = assert_codes(x, books, small())
    again, again_errors = assert_codes(x, books, small())
    assert torch.equal(codes, again)
    assert torch.equal(errors, again_errors)
    part, part_errors = assert_codes(x[11:30], books, small())
    assert torch.equal(codes[11:30], part)
    assert torch.equal(errors[11:30], part_errors)


# ---- The certificate.


@pytest.mark.parametrize("operand", ["bfloat16", "float16"])
@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
def test_every_score_is_within_its_bound(scale: float, offset: float, operand: str) -> None:
    """Rows and codewords differ in size, and some codewords are much smaller than others."""
    x, (book,) = clustered(60, 48, [50])
    book[:8] *= torch.logspace(-6, 0, 8)[:, None]
    x, book = (x + offset) * scale, (book + offset) * scale
    x[:8] *= torch.logspace(-3, 3, 8)[:, None]
    configuration = small(operand=operand)
    chunk = chunk_of(x, [book], configuration)
    words = chunk.words
    bound = chunk.bound[: len(x)].double()
    assert (bound > 0).all()
    assert bound.isfinite().all()
    ratio = chunk.ratio[: len(x)].double()[:, None]
    products = chunk.rounded[: len(x)].double() @ words.rounded[: len(book)].double().T
    scores = ratio * words.scaled_halves.double() - products
    moved, moved_book = (value.double() - words.shift.double() for value in (x, book))
    exact = moved_book.square().sum(1) / 2 - moved @ moved_book.T
    word_scale = 1 / words.facts[0, 0].double()
    error = (scores - exact * ratio * word_scale.square()).abs()
    limit = bound[:, None] * words.norms.double()
    assert (error <= limit).all()
    # The operands' rounding is a good part of the bound, so a smaller bound would be wrong.
    assert (error / limit).max() > 0.1
    norms = moved_book.norm(dim=1) * word_scale
    assert (words.norms.double() >= norms).all()


def test_most_rows_are_decided_by_the_scan() -> None:
    x, books = clustered(100, 64, [64])
    chunk = chunk_of(x, books, small())
    assert int(chunk.counts.sum()) <= 5


def test_near_ties_need_the_float32_decision() -> None:
    """Codewords differ from a neighbour by less than the rounding to 16 bits."""
    dim = 48
    book = torch.randn(20, dim)
    near = book + 2e-3 * torch.randn(20, dim)
    x = book.repeat(4, 1) + 0.3 * torch.randn(80, dim)
    books = [torch.cat([book, near])]
    chunk = chunk_of(x, books, small())
    codes, _ = assert_codes(x, books, small())
    pairs, listed = chunk.counts[0, :2].tolist()
    assert pairs > 40
    assert listed < pairs
    products = chunk.rounded[:80].double() @ chunk.words.rounded[:40].double().T
    scores = chunk.ratio[:80, None].double() * chunk.words.scaled_halves.double() - products
    assert (scores.argmin(1) != codes[:, 0]).sum() > 5


def test_near_ties_far_from_the_origin() -> None:
    """Without the shift, products would lose the digits that decide."""
    book = 1000 + torch.randn(20, 48)
    x = book.repeat(4, 1) + 0.3 * torch.randn(80, 48)
    assert_codes(x, [torch.cat([book, book + 2e-3 * torch.randn(20, 48)])], small())


def test_three_near_codewords_are_compared_in_float32() -> None:
    dim = 40
    book = torch.randn(12, dim)
    copies = [book + 2e-4 * torch.randn(12, dim) for _ in range(3)]
    x = book.repeat(5, 1) + 0.3 * torch.randn(60, dim)
    books = [torch.cat([book, *copies])]
    distances = (x.double()[:, None] - books[0].double()).square().sum(2).sort(1).values
    x = x[distances[:, 1] > (1 + 1e-5) * distances[:, 0]]
    assert int(chunk_of(x, books, small()).counts[0, 1]) > 40
    assert_codes(x, books, small())


@pytest.mark.parametrize("seed", range(4))
def test_the_third_candidate_can_be_the_nearest(seed: int) -> None:
    """Near codewords lie in one tile or in several, before or after the others."""
    torch.manual_seed(seed)
    book, x = torch.randn(64, 32), torch.randn(48, 32)
    nearest = reference.nearest_codes(x, book)[0][:, 0].long()
    for n in range(0, 48, 3):
        near = torch.randint(64, (2,))
        book[near] = book[nearest[n]] + 1e-4 * torch.randn(2, 32)
    assert_codes(x, [book], small())


# ---- Ties.


@pytest.mark.parametrize("copies", [2, 3, 9])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equal_codewords_resolve_to_the_lowest(copies: int, dtype: torch.dtype) -> None:
    x, (book,) = spread(40, 19, [13])
    x, book = x.to(dtype), book.to(dtype)
    single, _ = assert_codes(x, [book], small())
    codes, _ = launch.encode(x, book.repeat(copies, 1), [13 * copies], small())
    assert torch.equal(codes, single)


@pytest.mark.parametrize("seed", range(4))
def test_three_equal_codewords_in_any_order(seed: int) -> None:
    """The copies are in one tile or in several, and the lowest may come last in the search."""
    torch.manual_seed(seed)
    book = torch.randn(16, 19).repeat(3, 1)[torch.randperm(48)]
    x = 3 * book[:32] + 0.1 * torch.randn(32, 19)
    codes, _ = launch.encode(x, book, [48], small())
    lowest = (book[:, None] == book[codes[:, 0].long()]).all(2).int().argmax(0)
    assert torch.equal(codes[:, 0].long(), lowest)
    assert torch.equal(book[lowest], book[expected_codes(x, [book])[0][:, 0].long()])


def test_integers_tie_exactly() -> None:
    x = torch.randint(-2, 3, (90, 9)).float()
    books = [torch.randint(-2, 3, (40, 9)).float() for _ in range(3)]
    codes, errors = assert_codes(x, books, small())
    expected, expected_errors = reference.rq_encode(x, books)
    assert torch.equal(codes, expected)
    assert torch.equal(errors, expected_errors)


def test_scores_of_zero_tie() -> None:
    book = torch.tensor([[-1.0, 1.0], [1.0, -1.0], [2.0, 0.0], [0.0, 0.0]])
    codes, _ = assert_codes(torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]), [book], small())
    assert codes[:, 0].tolist() == [1, 3, 0]


def test_a_zero_row_takes_the_least_norm() -> None:
    codebook = torch.cat([torch.eye(40), -torch.eye(40)])
    codes, errors = assert_codes(torch.zeros(3, 40), [codebook], small())
    assert codes.tolist() == [[0]] * 3
    assert errors.tolist() == [1.0] * 3


# ---- Unusual data.


def test_codewords_of_zeros() -> None:
    x, books = spread(10, 12, [20, 5])
    assert_codes(x, [0 * book for book in books], small())


def test_a_perfect_fit_has_no_error() -> None:
    book = 1000 + torch.randn(60, 40)
    codes, errors = launch.encode(book, torch.cat([book, book[:1] * 0]), [60, 1], small())
    assert codes[:, 0].tolist() == list(range(60))
    assert (errors == 0).all()


@pytest.mark.parametrize("offset", [100.0, 1e4])
def test_an_offset_changes_no_code(offset: float) -> None:
    x, books = spread(50, 24, [40, 20])
    assert_codes(x + offset, [books[0] + offset, books[1]], small())


@pytest.mark.parametrize("factor", [1e16, 1e-16, 1e-30, 1e-42])
def test_huge_and_tiny_values(factor: float) -> None:
    x, books = clustered(30, 20, [24, 18])
    assert_codes(x * factor, [book * factor for book in books], small())


def test_rows_of_all_sizes() -> None:
    x, books = clustered(60, 20, [24, 18])
    assert_codes(x * torch.logspace(-44, 18, 60)[:, None], books, small())


def test_an_outlying_codeword() -> None:
    x, books = clustered(40, 20, [24, 18])
    assert_codes(x, [torch.cat([1e6 * book[:1], book]) for book in books], small())


def test_an_outlying_dimension() -> None:
    x, books = clustered(40, 20, [24, 18])
    x[:, :1] *= 1000
    books[0][:, :1] *= 1000
    assert_codes(x, books, small())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_that_are_not_finite_have_no_codes(dtype: torch.dtype, value: float) -> None:
    x, books = spread(30, 21, [20, 9])
    x, books = x.to(dtype), [book.to(dtype) for book in books]
    clean, _ = assert_codes(x, books, small())
    x[[0, 7, 29], [0, 10, 20]] = value
    codes, errors = assert_codes(x, books, small())
    assert (codes[[0, 7, 29]] == -1).all()
    assert errors[[0, 7, 29]].isnan().all()
    assert torch.equal(codes[1:7], clean[1:7])


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30])
def test_codewords_that_are_not_finite_leave_no_codes(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The square of 1e30 is not finite. Where data is checked, the error is that of the CPU."""
    x, books = spread(20, 12, [10, 9])
    books[1][4, 3] = value
    words = torch.cat(books)
    with pytest.raises(
        ValueError, match=r"rq_encode: codebooks must be finite, .* got .*\[1\]\[4\]"
    ):
        rq_encode(x, words, [10, 9])
    with pytest.raises(ValueError, match=r"nearest_codes: codebook must be finite, .*\[14\]"):
        nearest_codes(x, words, 1)
    monkeypatch.setattr(launch, "checks_data", lambda tensor: False)
    for codes, errors in (rq_encode(x, words, [10, 9]), nearest_codes(x, words, 1)):
        assert (codes == -1).all()
        assert errors.isnan().all()


def test_overflowing_products_still_give_a_code() -> None:
    x, book = torch.full((4, 6), 3e38), torch.full((3, 6), 1e18)
    x[1] = -x[1]
    codes, _ = launch.encode(x, book, [3], small())
    assert ((codes >= 0) & (codes < 3)).all()


def test_keys_are_reset_after_every_level() -> None:
    x, books = spread(30, 12, [20, 20])
    chunk = chunk_of(x, [book.repeat(3, 1) for book in books], small())
    assert chunk.counts[:, 1].min() > 0
    assert (chunk.keys == NO_KEY).all()


def test_rows_past_the_end_are_not_written() -> None:
    """Rows that pad the last tile are zeros; equal codewords leave them undecided."""
    x, (book,) = spread(21, 12, [9])
    configuration = small()
    words = prepare(book.repeat(2, 1), [18], configuration)
    chunk = launch._Chunks(configuration, words, len(x))
    codes, errors = torch.full((40, 1), -7, dtype=torch.int32), torch.full((40,), -7.0)
    chunk.encode(x, [18], codes[:21], errors[:21])
    assert (codes[:21] >= 0).all()
    assert (codes[21:] == -7).all()
    assert (errors[21:] == -7).all()
    assert int(chunk.counts[0, 0]) <= 21


def test_a_call_does_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "checks_data", lambda tensor: False)
    x, books = clustered(20, 12, [9, 5])
    with HostReads(monkeypatch) as reads:
        rq_encode(x, torch.cat(books), [9, 5])
        nearest_codes(x, books[0], 1)
        assert reads.names == []
        for read in (Tensor.item, Tensor.cpu, Tensor.tolist, Tensor.numpy, bool, float):
            read(x[0, 0])
        torch.equal(x, x)
        x.nonzero()
    assert reads.names == [
        "item", "cpu", "tolist", "numpy", "__bool__", "__float__", "equal", "nonzero"
    ]  # fmt: skip


# ---- The registered functions.


def test_sizes_beyond_the_limits_use_the_composite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "encode", lambda *_: pytest.fail("used the kernels"))
    x, books = spread(5, 6, [7])
    for rows, book in [
        (x.double(), books[0].double()),
        (x[:0], books[0]),
        (x[:, :0], books[0][:, :0]),
    ]:
        codes, errors = rq_encode(rows, book, [7])
        expected = reference.rq_encode(rows, [book])
        assert torch.equal(codes, expected[0])
        torch.testing.assert_close(errors, expected[1])
    index, _ = nearest_codes(x, books[0], 3)
    assert torch.equal(index, reference.nearest_codes(x, books[0], k=3)[0])
    wide = torch.zeros(1, launch.MOST_DIMENSIONS + 1)
    assert rq_encode(wide, wide, [1])[0].tolist() == [[0]]


@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        ([], "rq_encode: codebooks must have at least one level, got none"),
        ([7, 0], r"rq_encode: codebooks\[1\] must have at least one codeword, got none"),
    ],
)
def test_impossible_sizes_are_refused(sizes: list[int], error: str) -> None:
    x, books = spread(5, 6, [7])
    with pytest.raises(ValueError, match=error):
        rq_encode(x, books[0][: sum(sizes)], sizes)
    with pytest.raises(ValueError, match="rq_encode: bits must be 0, 8, 16 or 32, got 7"):
        rq_encode(x, books[0], [7], 7)


def test_the_nearest_codeword() -> None:
    x, (book,) = spread(30, 20, [40])
    index, sq_distance = nearest_codes(x, book, 1)
    expected, expected_distance = recops.nearest_codes(x, book)
    assert torch.equal(index, expected)
    torch.testing.assert_close(sq_distance, expected_distance)


def test_strided_rows() -> None:
    x, books = spread(30, 20, [40])
    strided = torch.stack([x, -x], 2)[..., 0]
    actual, expected = rq_encode(strided, books[0], [40]), rq_encode(x, books[0], [40])
    assert torch.equal(actual[0], expected[0])
    assert torch.equal(actual[1], expected[1])
