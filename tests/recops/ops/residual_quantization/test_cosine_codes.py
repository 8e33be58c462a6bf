"""Codes by cosine: the reference, zeros, extreme norms, torch.compile and errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from compilation import every_backend
from recops import reference
from tolerances import DTYPES

pytestmark = pytest.mark.composites


def cosine(x: Tensor, y: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(x.double(), y.double(), dim=-1, eps=1e-300)


def books_of(sizes: list[int], dim: int, dtype: torch.dtype) -> list[Tensor]:
    return [torch.randn(size, dim).to(dtype) / (level + 1) for level, size in enumerate(sizes)]


rows, dims, dtypes = st.integers(0, 60), st.integers(0, 40), st.sampled_from(DTYPES)


@pytest.mark.numerics
@settings(max_examples=60)
@given(n=rows, dim=dims, size=st.integers(1, 60), dtype=dtypes, data=st.data())
def test_nearest_codes_agrees(
    n: int, dim: int, size: int, dtype: torch.dtype, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, size))
    x = torch.randn(dim, n).to(dtype).T
    (book,) = books_of([size], dim, dtype)
    index, sq_distance = recops.nearest_codes(x, book, k=k, metric="cosine")
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert (index.dtype, sq_distance.dtype) == (torch.int32, wide)
    assert index.shape == sq_distance.shape == (n, k)
    assert (sq_distance.diff(dim=1) >= 0).all()
    assert all(len(set(row)) == k for row in index.tolist())
    own = 2 - 2 * cosine(x[:, None].expand(-1, k, -1), book[index.long()])
    _, best = reference.nearest_codes(x.double(), book.double(), k=k, metric="cosine")
    torch.testing.assert_close(sq_distance.double(), own, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(sq_distance.double(), best, rtol=1e-5, atol=2e-6)


@pytest.mark.numerics
@settings(max_examples=60)
@given(
    n=rows,
    dim=dims,
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    dtype=dtypes,
    beam=st.integers(1, 6),
    wide_books=st.booleans(),
)
def test_encoding_agrees(
    n: int, dim: int, sizes: list[int], dtype: torch.dtype, beam: int, wide_books: bool
) -> None:
    x = torch.randn(dim, n).to(dtype).T
    books = books_of(sizes, dim, torch.float32 if wide_books and dtype.itemsize == 2 else dtype)
    codes, sq_error = recops.rq_encode_beams(x, books, beam=beam, metric="cosine")
    expected, expected_error = reference.rq_encode_beams(x, books, beam=beam, metric="cosine")
    assert codes.dtype == torch.int32
    assert codes.shape == (n, beam, len(sizes))
    same = (codes == expected).all(2).all(1)
    assert same.double().mean() > 0.9 or n < 10  # near ties, frequent in 16 bits and few dimensions
    torch.testing.assert_close(sq_error[same], expected_error[same], rtol=1e-4, atol=1e-4)
    first = recops.rq_encode(x, books, beam=beam, metric="cosine")
    assert torch.equal(first[0], codes[:, 0])
    assert torch.equal(first[1], sq_error[:, 0])


def test_every_code_is_the_nearest_by_cosine_and_the_error_is_that_of_decoding() -> None:
    x, books = torch.randn(500, 24), torch.randn(3, 40, 24) * torch.rand(3, 40, 1)
    codes, sq_error = recops.rq_encode(x, books, metric="cosine")
    residual = x.double()
    for level, book in enumerate(books.double()):
        cosines = cosine(residual[:, None], book[None])
        chosen = codes[:, level, None].long()
        assert (cosines.gather(1, chosen)[:, 0] >= cosines.amax(1) - 1e-6).all()
        residual = residual - book[chosen[:, 0]]
    residual_error = (x - recops.rq_decode(codes, books)).square().sum(1)
    torch.testing.assert_close(sq_error, residual_error, rtol=1e-4, atol=1e-5)
    assert not torch.equal(codes, recops.rq_encode(x, books)[0])


def test_a_beam_as_wide_as_all_paths_returns_all() -> None:
    x, books = torch.randn(20, 6, dtype=torch.float64), torch.randn(2, 5, 6, dtype=torch.float64)
    codes, sq_error = recops.rq_encode_beams(x, books, beam=30, metric="cosine")
    every, correct = recops.rq_encode_beams(x, books, beam=30)
    assert torch.equal(codes, every)
    torch.testing.assert_close(sq_error, correct)
    assert (codes[:, 25:] == -1).all()
    assert sq_error[:, 25:].isinf().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_norms_do_not_matter(dtype: torch.dtype) -> None:
    x, book = torch.randn(200, 16).to(dtype), torch.randn(50, 16).to(dtype)
    index, _ = recops.nearest_codes(x, book, metric="cosine")
    scale = 2.0 ** torch.randint(-6, 6, (200, 1))
    longer, _ = recops.nearest_codes(x * scale.to(dtype), book * 4, metric="cosine")
    assert torch.equal(index, longer)
    unit = torch.nn.functional.normalize(book.double(), dim=1)
    by_distance, _ = recops.nearest_codes(x.double(), unit)
    assert (by_distance == index).double().mean() > 0.99


@pytest.mark.parametrize("length", [1e-30, 1e30])
def test_norms_whose_squares_exceed_float32(length: float) -> None:
    x, book = torch.randn(50, 8), torch.randn(20, 8)
    correct, _ = recops.nearest_codes(x, book, metric="cosine")
    assert torch.equal(recops.nearest_codes(x * length, book, metric="cosine")[0], correct)
    assert torch.equal(recops.nearest_codes(x, book * length, metric="cosine")[0], correct)


def test_a_zero_row_takes_the_lowest_codes() -> None:
    book = torch.randn(9, 300)
    index, sq_distance = recops.nearest_codes(torch.zeros(2, 300), book, k=4, metric="cosine")
    assert index.tolist() == [[0, 1, 2, 3]] * 2
    assert sq_distance.tolist() == [[2.0] * 4] * 2
    codes, sq_error = recops.rq_encode(torch.zeros(1, 300), book[None], metric="cosine")
    assert codes.tolist() == [[0]]
    torch.testing.assert_close(sq_error[0], book[0].square().sum())


def test_a_zero_codeword_has_cosine_zero() -> None:
    book = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    x = torch.tensor([[1.0, 0.1], [-1.0, 0.0]])
    index, sq_distance = recops.nearest_codes(x, book, k=2, metric="cosine")
    assert index.tolist() == [[1, 0], [0, 1]]
    torch.testing.assert_close(sq_distance[1], torch.tensor([2.0, 4.0]))
    assert sq_distance[0, 1].item() == pytest.approx(2.0)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_rows_that_are_not_finite(value: float) -> None:
    x, books = torch.randn(20, 7), torch.randn(2, 9, 7)
    clean = recops.rq_encode_beams(x, books, beam=3, metric="cosine")
    x[4, 2] = value
    for beam in (1, 3):
        codes, sq_error = recops.rq_encode(x, books, beam=beam, metric="cosine")
        assert codes[4].tolist() == [-1, -1]
        assert sq_error[4].isnan()
    codes, sq_error = recops.rq_encode_beams(x, books, beam=3, metric="cosine")
    good = torch.arange(20) != 4
    assert torch.equal(codes[good], clean[0][good])
    assert torch.equal(sq_error[good], clean[1][good])
    index, sq_distance = recops.nearest_codes(x, books[0], k=2, metric="cosine")
    assert index[4].tolist() == [-1, -1]
    assert sq_distance[4].isnan().all()


def test_equal_codewords_resolve_to_the_lowest() -> None:
    x, book = torch.randn(100, 19), torch.randn(13, 19)
    correct, _ = recops.nearest_codes(x, book, metric="cosine")
    index, _ = recops.nearest_codes(x, book.repeat(3, 1), k=3, metric="cosine")
    assert torch.equal(index, correct + 13 * torch.arange(3, dtype=torch.int32))


@pytest.mark.composites(False)
def test_results_do_not_depend_on_threads(set_threads: Callable[[int], None]) -> None:
    x, books = torch.randn(9000, 20), torch.randn(2, 70, 20)
    set_threads(1)
    correct = pipeline(x, books)
    set_threads(3)
    for one, other in zip(pipeline(x, books), correct, strict=True):
        assert torch.equal(one, other)


# ---- Integration with torch.


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        ("cosine_nearest_codes", (torch.randn(9, 5), torch.randn(7, 5), 2)),
        ("cosine_rq_encode", (torch.randn(9, 5), torch.randn(7, 5), [3, 4], 1, 1)),
        ("cosine_rq_encode", (torch.randn(9, 5), torch.randn(7, 5), [3, 4], 5, 2)),
    ],
)
def test_opcheck(op: str, arguments: tuple[object, ...]) -> None:
    torch.library.opcheck(getattr(torch.ops.recops, op).default, arguments)


def pipeline(x: Tensor, books: Tensor) -> tuple[Tensor, ...]:
    codes, sq_error = recops.rq_encode(x, books, metric="cosine")
    beams, _ = recops.rq_encode_beams(x, books, beam=3, metric="cosine")
    index, _ = recops.nearest_codes(x, books[0], k=2, metric="cosine")
    return codes, sq_error, beams, index


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@pytest.mark.composites(False)
@every_backend
def test_compiles_into_one_graph_of_dynamic_shape_and_exports(backend: str) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(pipeline, fullgraph=True, backend=backend, dynamic=True)
    for n, dim, size in [(10, 6, 5), (23, 9, 70)]:
        x, books = torch.randn(n, dim), torch.randn(2, size, dim)
        for one, other in zip(compiled(x, books), pipeline(x, books), strict=True):
            assert torch.equal(one, other)

    class Pipeline(torch.nn.Module):
        def forward(self, x: Tensor, books: Tensor) -> tuple[Tensor, ...]:
            return pipeline(x, books)

    shapes = {"x": {0: torch.export.Dim("n", min=2)}, "books": None}
    program = torch.export.export(Pipeline(), (x, books), dynamic_shapes=shapes)
    x = torch.randn(31, 9)
    for one, other in zip(program.module()(x, books), pipeline(x, books), strict=True):
        assert torch.equal(one, other)


def test_autocast_computes_in_float32() -> None:
    x, books = torch.randn(100, 12), torch.randn(2, 20, 12)
    correct = pipeline(x, books)
    with torch.autocast("cpu", torch.bfloat16):
        actual = pipeline(x, books)
    for one, other in zip(actual, correct, strict=True):
        assert torch.equal(one, other)


X, BOOKS = torch.randn(4, 3), torch.randn(2, 5, 3)
BAD = BOOKS.clone().index_fill_(1, torch.tensor([2]), torch.nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: recops.nearest_codes(X, BOOKS[0], metric="dot"),
            "nearest_codes: metric must.*dot",
        ),
        (lambda: recops.rq_encode(X, BOOKS, metric="l1"), "rq_encode: metric must be 'l2' or"),
        (lambda: recops.rq_encode_beams(X, BOOKS, beam=2, metric=""), "rq_encode_beams: metric"),
        (
            lambda: recops.nearest_codes(X, BAD[0], metric="cosine"),
            r"nearest_codes: codebook\[2\] must have a finite norm, got",
        ),
        (
            lambda: recops.rq_encode(X, BAD, metric="cosine"),
            r"rq_encode: codebooks\[0\]\[2\] must have a finite norm, got",
        ),
        (
            lambda: recops.rq_encode(X, BOOKS[:, :0], metric="cosine"),
            r"rq_encode: codebooks\[0\] must hold at least one codeword, got none",
        ),
        (lambda: recops.nearest_codes(X, BOOKS[0], k=6, metric="cosine"), "k must be from 1 to"),
    ],
)
def test_errors(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("beam", [1, 2])
@pytest.mark.composites(False)
def test_rows_beyond_memory_are_refused(beam: int) -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        recops.rq_encode(torch.empty(2**40, 0), torch.zeros(1, 2, 0), beam=beam, metric="cosine")
