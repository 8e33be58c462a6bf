"""Residual quantization against its reference, its promises on ties and bits, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import recops
from instruction_sets import results_at_each
from recops import reference
from tolerances import AGREEMENT

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
INDEX_DTYPES = [torch.int32, torch.int64]
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.T.contiguous().T,
    "strided": lambda x: torch.stack([x, -x], -1)[..., 0],
    "backwards": lambda x: x.flip(0, 1).contiguous().flip(0, 1),
}


def exact(x: Tensor) -> Tensor:
    """The dtype that results for x are computed and told in."""
    return x if x.dtype == torch.float64 else x.float()


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, **AGREEMENT[expected.dtype], equal_nan=True)


def assert_greedy(codes: Tensor, x: Tensor, codebooks: list[Tensor]) -> None:
    """At every level the code is a nearest one, up to 1e-5 of its squared distance."""
    residual = x.double()
    for level, codebook in enumerate(codebook.double() for codebook in codebooks):
        distances = torch.cdist(residual, codebook, compute_mode="donot_use_mm_for_euclid_dist")
        chosen = codes[:, level].long()
        own = distances.gather(1, chosen[:, None])[:, 0].square()
        best = distances.amin(1).square()
        assert (own <= best * (1 + 1e-5) + 1e-10).all()
        residual = residual - codebook[chosen]


def make_codebooks(sizes: list[int], dim: int, dtype: torch.dtype) -> list[Tensor]:
    return [torch.randn(size, dim).to(dtype) / (level + 1) for level, size in enumerate(sizes)]


# ---- Agreement with the reference, on ragged, empty and odd shapes.

rows = st.integers(0, 150)
dims = st.integers(0, 70)
sizes = st.lists(st.integers(1, 150), min_size=1, max_size=4)
dtypes = st.sampled_from(DTYPES)
index_dtypes = st.sampled_from(INDEX_DTYPES)
layouts = st.sampled_from(list(LAYOUTS))


@given(n=rows, dim=dims, sizes=sizes, dtype=dtypes, layout=layouts, wide_books=st.booleans())
def test_rq_encode_agrees(
    n: int, dim: int, sizes: list[int], dtype: torch.dtype, layout: str, wide_books: bool
) -> None:
    book_dtype = torch.float32 if wide_books and dtype != torch.float64 else dtype
    x = LAYOUTS[layout](torch.randn(n, dim).to(dtype))
    codebooks = [LAYOUTS[layout](book) for book in make_codebooks(sizes, dim, book_dtype)]
    codes, sq_error = recops.rq_encode(x, codebooks)
    assert codes.dtype == torch.int32
    assert codes.shape == (n, len(sizes))
    assert_greedy(codes, x, codebooks)
    # The error of these very codes: of two codewords as near, the reference may take the other.
    residual = exact(x)
    for level, codebook in enumerate(codebooks):
        residual = residual - exact(codebook)[codes[:, level].long()]
    assert_close(sq_error, residual.square().sum(1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(500, 64, 3, 256), (70, 33, 2, 1000), (3, 768, 2, 300)])
def test_rq_encode_gives_the_references_codes(
    shape: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    n, dim, levels, size = shape
    x, codebooks = torch.randn(n, dim).to(dtype), torch.randn(levels, size, dim).to(dtype)
    codes, sq_error = recops.rq_encode(x, codebooks)
    expected_codes, expected_error = reference.rq_encode(x, codebooks)
    assert torch.equal(codes, expected_codes)
    assert_close(sq_error, expected_error)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_levels_are_refused_at_every_beam(dtype: torch.dtype) -> None:
    x, none = torch.zeros(5, 1, dtype=dtype), torch.zeros(0, 2, 1, dtype=dtype)
    for beam in (1, 2, 3):
        with pytest.raises(ValueError, match="rq_encode: codebooks must have at least one level"):
            recops.rq_encode(x, none, beam=beam)
        with pytest.raises(ValueError, match="codebooks must have at least one level"):
            recops.rq_encode_beams(x, none, beam=beam)


@given(
    n=rows,
    dim=dims,
    sizes=sizes,
    dtype=dtypes,
    index_dtype=index_dtypes,
    layout=layouts,
    seed=st.integers(0, 99),
)
def test_rq_decode_and_its_backward_agree(
    n: int,
    dim: int,
    sizes: list[int],
    dtype: torch.dtype,
    index_dtype: torch.dtype,
    layout: str,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    codes = torch.stack([torch.randint(-1, size, (n,)) for size in sizes], 1)
    codes = LAYOUTS[layout](codes.to(index_dtype))
    books = [b.requires_grad_() for b in make_codebooks(sizes, dim, dtype)]
    twins = [exact(b.detach()).requires_grad_() for b in books]
    decoded, expected = recops.rq_decode(codes, books), reference.rq_decode(codes, twins)
    assert_close(decoded, expected.to(dtype))
    gradient = LAYOUTS[layout](torch.randn(n, dim).to(dtype))
    decoded.backward(gradient)
    expected.backward(exact(gradient))
    for book, twin in zip(books, twins, strict=True):
        assert book.grad is not None
        assert twin.grad is not None
        assert_close(book.grad, twin.grad.to(dtype))


@given(n=rows, dim=dims, size=st.integers(1, 200), dtype=dtypes, layout=layouts, data=st.data())
def test_nearest_codes_agrees(
    n: int, dim: int, size: int, dtype: torch.dtype, layout: str, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, size))
    x = LAYOUTS[layout](torch.randn(n, dim).to(dtype))
    (codebook,) = make_codebooks([size], dim, dtype)
    index, sq_distance = recops.nearest_codes(x, codebook, k=k)
    assert index.dtype == torch.int32
    assert index.shape == sq_distance.shape == (n, k)
    assert (sq_distance.diff(dim=1) >= 0).all()
    assert all(len(set(row)) == k for row in index.tolist())
    assert_close(sq_distance, (exact(x)[:, None] - exact(codebook)[index.long()]).square().sum(2))
    expected, _ = reference.nearest_codes(x.double(), codebook.double(), k=k)
    nearest = (x.double()[:, None] - codebook.double()[expected.long()]).square().sum(2)
    torch.testing.assert_close(sq_distance.double(), nearest, rtol=1e-4, atol=1e-4)


@given(
    n=rows,
    dim=dims,
    num_codes=st.integers(1, 60),
    dtype=dtypes,
    index_dtype=index_dtypes,
    layout=layouts,
    weighted=st.booleans(),
)
def test_accumulate_codes_agrees(
    n: int,
    dim: int,
    num_codes: int,
    dtype: torch.dtype,
    index_dtype: torch.dtype,
    layout: str,
    weighted: bool,
) -> None:
    x = LAYOUTS[layout](torch.randn(n, dim).to(dtype))
    index = torch.randint(-1, num_codes, (2 * n,)).to(index_dtype)[::2]
    weight = torch.rand(n).to(dtype) if weighted else None
    sums, weights = recops.accumulate_codes(x, index, num_codes, weight=weight)
    expected_sums, expected_weights = reference.accumulate_codes(x, index, num_codes, weight=weight)
    assert_close(sums, expected_sums)
    assert_close(weights, expected_weights)


def test_accumulate_codes_counts_past_the_integers_of_float32() -> None:
    n = 2**24 + 2
    _, weights = recops.accumulate_codes(torch.empty(n, 0), torch.zeros(n, dtype=torch.int32), 1)
    assert weights.item() == n


# ---- Ties, rows that are not finite, and the residual itself.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("copies", [2, 7, 16, 65])
def test_equal_codewords_resolve_to_the_lowest(copies: int, dtype: torch.dtype) -> None:
    x = torch.randn(100, 19).to(dtype)
    codebook = torch.randn(13, 19).to(dtype)
    expected, _ = recops.nearest_codes(x, codebook)
    codes, _ = recops.rq_encode(x, codebook.repeat(copies, 1)[None])
    assert torch.equal(codes, expected)
    nearest, _ = recops.nearest_codes(x, codebook.repeat(copies, 1), k=copies)
    assert torch.equal(nearest, expected + 13 * torch.arange(copies, dtype=torch.int32))


def test_ties_of_different_codewords_go_to_the_lowest() -> None:
    codebook = torch.cat([torch.eye(40), -torch.eye(40)])
    codes, sq_error = recops.rq_encode(torch.zeros(3, 40), codebook[None])
    assert codes.tolist() == [[0]] * 3
    assert sq_error.tolist() == [1.0] * 3
    index, _ = recops.nearest_codes(torch.zeros(3, 40), codebook, k=80)
    assert index.tolist() == [list(range(80))] * 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_rows_that_are_not_finite(value: float, dtype: torch.dtype) -> None:
    x, codebooks = torch.randn(50, 21).to(dtype), torch.randn(3, 30, 21).to(dtype)
    clean = recops.rq_encode(x, codebooks), recops.nearest_codes(x, codebooks[0], k=4)
    bad = [0, 7, 49]
    x[bad, [0, 10, 20]] = value
    good = [n for n in range(50) if n not in bad]
    found = recops.rq_encode(x, codebooks), recops.nearest_codes(x, codebooks[0], k=4)
    for (codes, values), (clean_codes, clean_values) in zip(found, clean, strict=True):
        assert (codes[bad] == -1).all()
        assert values[bad].isnan().all()
        assert torch.equal(codes[good], clean_codes[good])
        assert torch.equal(values[good], clean_values[good])


def test_sq_error_is_exact_where_norms_are_large() -> None:
    codebook = 1000 + torch.randn(100, 32)
    x = codebook[::2] + 0.01 * torch.randn(50, 32)
    codes, sq_error = recops.rq_encode(x, codebook[None])
    assert codes[:, 0].tolist() == list(range(0, 100, 2))
    expected = (x.double() - codebook[::2].double()).square().sum(1)
    torch.testing.assert_close(sq_error.double(), expected, rtol=1e-5, atol=0)
    assert recops.rq_encode(codebook, codebook[None])[1].eq(0).all()


# ---- The same bits: threads, batches, instruction sets.


def everything(x: Tensor, codebooks: Tensor) -> list[Tensor]:
    codes, sq_error = recops.rq_encode(x, codebooks)
    books = codebooks.clone().requires_grad_()
    decoded = recops.rq_decode(codes, books)
    decoded.backward(x)
    assert books.grad is not None
    return [
        codes,
        sq_error,
        decoded.detach(),
        books.grad,
        *recops.nearest_codes(x, codebooks[0], k=5),
        *recops.accumulate_codes(x, codes[:, 0], codebooks.shape[1], weight=sq_error),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(
    dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    x, codebooks = torch.randn(3000, 50).to(dtype), torch.randn(3, 200, 50).to(dtype)
    set_threads(1)
    expected = everything(x, codebooks)
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, one_thread in zip(everything(x, codebooks), expected, strict=True):
            assert torch.equal(actual, one_thread)


@pytest.mark.parametrize("batch", [1, 5, 63, 64, 65, 400])
def test_codes_do_not_depend_on_the_batch(batch: int) -> None:
    x, codebooks = torch.randn(1000, 48), torch.randn(3, 130, 48)
    codes, sq_error = recops.rq_encode(x, codebooks)
    index, sq_distance = recops.nearest_codes(x, codebooks[0], k=3)
    part = slice(300, 300 + batch)
    part_codes, part_error = recops.rq_encode(x[part], codebooks)
    assert torch.equal(part_codes, codes[part])
    assert torch.equal(part_error, sq_error[part])
    part_index, part_distance = recops.nearest_codes(x[part], codebooks[0], k=3)
    assert torch.equal(part_index, index[part])
    assert torch.equal(part_distance, sq_distance[part])


ON_THIS_ISA = """
import sys
import torch
import recops

results = []
for x, codebooks in torch.load(sys.argv[1]):
    codes, sq_error = recops.rq_encode(x, codebooks)
    results += [codes, sq_error, recops.rq_decode(codes, codebooks)]
    results += recops.rq_encode_beams(x, codebooks, beam=6)
    results += recops.nearest_codes(x, codebooks[0], k=4)
    results += recops.accumulate_codes(x, codes[:, 0], 100)
torch.save(results, sys.argv[2])
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    inputs = [(torch.randn(200, 37).to(d), torch.randn(2, 100, 37).to(d)) for d in DTYPES]
    results = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            if expected.is_floating_point():
                assert_close(actual, expected)
            else:
                assert torch.equal(actual, expected)


# ---- Gradients, and torch's own machinery.


def test_rq_decode_gradients() -> None:
    codes = torch.tensor([[0, 2], [1, -1], [1, 0], [1, 2]])
    books = [torch.randn(k, 3, dtype=torch.float64, requires_grad=True) for k in (2, 3)]

    def decode(*books: Tensor) -> Tensor:
        return recops.rq_decode(codes, list(books))

    assert torch.autograd.gradcheck(decode, tuple(books))
    assert torch.autograd.gradgradcheck(decode, tuple(books))


def test_encoding_is_not_differentiable() -> None:
    x = torch.randn(4, 6, requires_grad=True)
    codebooks = torch.randn(2, 5, 6, requires_grad=True)
    codes, sq_error = recops.rq_encode(x, codebooks)
    sums, weights = recops.accumulate_codes(x, codes[:, 0], 5, weight=x[:, 0])
    assert not any(t.requires_grad for t in (codes, sq_error, sums, weights))


def sample_calls() -> dict[str, tuple[object, ...]]:
    x, words = torch.randn(9, 5), torch.randn(7, 5)
    codes = torch.randint(-1, 3, (9, 2), dtype=torch.int32)
    return {
        "rq_encode": (x, words, [3, 4]),
        "rq_encode_beams": (x, words, [3, 4], 5, 2),
        "code_flip_rate": (x, words, [3, 4], torch.rand(2), 3, 1),
        "rq_decode": (codes, words.clone().requires_grad_(), [3, 4]),
        "rq_decode_backward": (x.clone().requires_grad_(), codes, [3, 4]),
        "nearest_codes": (x, words, 2),
        "accumulate_codes": (x, codes[:, 0], 3, x[:, 0]),
    }


@pytest.mark.parametrize("op", list(sample_calls()))
def test_opcheck(op: str) -> None:
    torch.library.opcheck(getattr(torch.ops.recops, op).default, sample_calls()[op])


def pipeline(x: Tensor, codebooks: Tensor) -> tuple[Tensor, ...]:
    codes, sq_error = recops.rq_encode(x, codebooks)
    beams, _ = recops.rq_encode_beams(x, codebooks, beam=3)
    flips = recops.code_flip_rate(x, codebooks, codebooks[:, 0, 0].abs(), samples=3, seed=1)
    index, _ = recops.nearest_codes(x, codebooks[0], k=2)
    sums, weights = recops.accumulate_codes(x, index[:, 1], codebooks.shape[1])
    return codes, sq_error, recops.rq_decode(codes, codebooks), sums, weights, beams, flips


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiles_into_one_graph_of_dynamic_shape() -> None:
    compiled = torch.compile(pipeline, fullgraph=True, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for n, dim, size in [(10, 6, 5), (23, 9, 70), (64, 17, 8)]:
        x, codebooks = torch.randn(n, dim), torch.randn(2, size, dim)
        books, twins = codebooks.clone().requires_grad_(), codebooks.clone().requires_grad_()
        actual, expected = compiled(x, books), pipeline(x, twins)
        for one, other in zip(actual, expected, strict=True):
            assert torch.equal(one, other)
        actual[2].sum().backward()
        expected[2].sum().backward()
        assert books.grad is not None
        assert twins.grad is not None
        assert torch.equal(books.grad, twins.grad)
    assert graphs["unique_graphs"] == 1


def test_exports() -> None:
    class Pipeline(torch.nn.Module):
        def forward(self, x: Tensor, codebooks: Tensor) -> tuple[Tensor, ...]:
            return pipeline(x, codebooks)

    shapes = {"x": {0: torch.export.Dim("n", min=2)}, "codebooks": None}
    x, codebooks = torch.randn(12, 6), torch.randn(2, 5, 6)
    program = torch.export.export(Pipeline(), (x, codebooks), dynamic_shapes=shapes)
    x = torch.randn(31, 6)
    for actual, expected in zip(
        program.module()(x, codebooks), pipeline(x, codebooks), strict=True
    ):
        assert torch.equal(actual, expected)


def test_autocast_computes_in_float32() -> None:
    x, codebooks = torch.randn(200, 24), torch.randn(2, 50, 24)
    expected = pipeline(x, codebooks)
    with torch.autocast("cpu", torch.bfloat16):
        actual = pipeline(x, codebooks)
        half = recops.rq_decode(actual[0], codebooks.bfloat16())
    for one, other in zip(actual, expected, strict=True):
        assert torch.equal(one, other)
    assert half.dtype == torch.float32


# ---- Errors: they name the op and the argument, and say what it must be and what came.

X, BOOKS, CODES = torch.randn(4, 3), torch.randn(2, 5, 3), torch.zeros(4, 2, dtype=torch.int32)
NAN_BOOK = [torch.randn(5, 3), torch.randn(4, 3).index_fill_(0, torch.tensor([2]), torch.nan)]
HUGE_BOOK = torch.full((1, 100, 3), 1e30)

ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: recops.rq_encode(X[0], BOOKS), ValueError, r"x must have 2 dimensions.*\(3,\)"),
    (lambda: recops.rq_encode(X.int(), BOOKS), TypeError, "x must be one of float32.*got int32"),
    (lambda: recops.rq_encode(X, BOOKS[0]), ValueError, "codebooks must have 3 dimensions"),
    (lambda: recops.rq_encode(X, BOOKS.double()), TypeError, "codebooks must be .*got float64"),
    (lambda: recops.rq_encode(X.double(), BOOKS), TypeError, "codebooks must be .*got float32"),
    (lambda: recops.rq_encode(X[:, :2], BOOKS), ValueError, "codebooks must have x's dimension 2"),
    (
        lambda: recops.rq_encode(X, BOOKS[:, :0]),
        ValueError,
        r"codebooks\[0\] must have at least",
    ),
    (lambda: recops.rq_encode(X, []), ValueError, "at least one level"),
    (
        lambda: recops.rq_encode(X, [BOOKS[0], BOOKS[0, :, :2]]),
        ValueError,
        r"codebooks\[1\] must have the dimension of codebooks\[0\], 3, got 2",
    ),
    (
        lambda: recops.rq_encode(X, [BOOKS[0], BOOKS[1].half()]),
        TypeError,
        r"codebooks\[1\] must be one of float32, got float16",
    ),
    (lambda: recops.rq_encode(X, NAN_BOOK), ValueError, r"must be finite.*codebooks\[1\]\[2\]"),
    (
        lambda: recops.rq_encode(X.repeat(50, 1), NAN_BOOK),
        ValueError,
        r"must be finite.*codebooks\[1\]\[2\]",
    ),
    (lambda: recops.rq_encode(X, HUGE_BOOK), ValueError, r"must be finite.*codebooks\[0\]\[0\]"),
    (lambda: recops.rq_encode(X.to("meta"), BOOKS), ValueError, "codebooks must be on meta"),
    (lambda: recops.nearest_codes(X, BOOKS[0], k=6), ValueError, "nearest_codes: k must be .*5.*6"),
    (lambda: recops.nearest_codes(X, BOOKS[0], k=0), ValueError, "nearest_codes: k must be .*0"),
    (
        lambda: recops.nearest_codes(X, NAN_BOOK[1], k=1),
        ValueError,
        r"be finite.*codebook\[2\]",
    ),
    (
        lambda: recops.nearest_codes(X, NAN_BOOK[1], k=3),
        ValueError,
        r"be finite.*codebook\[2\]",
    ),
    (lambda: recops.rq_decode(CODES + 5, BOOKS), IndexError, r"from 0 to 4.*codes\[0, 0\] = 5"),
    (lambda: recops.rq_decode(CODES - 2, BOOKS), IndexError, r"codes\[0, 0\] = -2"),
    (
        lambda: recops.rq_decode(CODES.long() + 2**32, BOOKS),
        IndexError,
        r"codes\[0, 0\] = 4294967296",
    ),
    (lambda: recops.rq_decode(CODES[:, :1], BOOKS), ValueError, "codes must have 2 columns.*got 1"),
    (
        lambda: recops.rq_decode(CODES.float(), BOOKS),
        TypeError,
        "codes must be one of int32, int64",
    ),
    (
        lambda: recops.accumulate_codes(X, CODES[:, 0] + 3, 3),
        IndexError,
        r"accumulate_codes: index must be .*index\[0\] = 3",
    ),
    (lambda: recops.accumulate_codes(X, CODES[:3, 0], 3), ValueError, "index must have 4 .*got 3"),
    (
        lambda: recops.accumulate_codes(X, CODES[:, 0], 3, weight=X[:2, 0]),
        ValueError,
        "weight must have 4 .*got 2",
    ),
    (lambda: recops.accumulate_codes(X, CODES[:, 0], -1), ValueError, "num_codes must be .*-1"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_lowest_bad_code_is_named_at_any_number_of_threads(
    set_threads: Callable[[int], None],
) -> None:
    codes = torch.zeros(9000, 2, dtype=torch.int64)
    codes[[700, 5000, 8999], [1, 0, 0]] = 99
    for threads in (1, 2, 5):
        set_threads(threads)
        with pytest.raises(IndexError, match=r"codes\[700, 1\] = 99"):
            recops.rq_decode(codes, torch.randn(2, 50, 16))
