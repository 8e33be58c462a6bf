"""Residual quantization agrees with its reference, on ragged, empty and odd shapes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import recops
from recops import reference
from tolerances import DTYPES, assert_close

pytestmark = pytest.mark.composites

INDEX_DTYPES = [torch.int32, torch.int64]
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.T.contiguous().T,
    "strided": lambda x: torch.stack([x, -x], -1)[..., 0],
    "backwards": lambda x: x.flip(0, 1).contiguous().flip(0, 1),
}


def exact(x: Tensor) -> Tensor:
    """Return x in the dtype of computation."""
    return x if x.dtype == torch.float64 else x.float()


def assert_greedy(codes: Tensor, x: Tensor, codebooks: list[Tensor]) -> None:
    """Check that each code is nearest at its level, up to 1e-5 of the squared distance."""
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


rows = st.integers(0, 150)
dims = st.integers(0, 70)
sizes = st.lists(st.integers(1, 150), min_size=1, max_size=4)
dtypes = st.sampled_from(DTYPES)
index_dtypes = st.sampled_from(INDEX_DTYPES)
layouts = st.sampled_from(list(LAYOUTS))


@pytest.mark.numerics
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
    # Compare the error of the same codes, since the reference may break near ties differently.
    residual = exact(x)
    for level, codebook in enumerate(codebooks):
        residual = residual - exact(codebook)[codes[:, level].long()]
    assert_close(sq_error, residual.square().sum(1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(500, 64, 3, 256), (70, 33, 2, 1000), (3, 768, 2, 300)])
def test_rq_encode_returns_the_codes_of_the_reference(
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


@pytest.mark.numerics
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


@pytest.mark.numerics
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


@pytest.mark.numerics
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


@pytest.mark.slow
def test_accumulate_codes_counts_past_the_integers_of_float32() -> None:
    n = 2**24 + 2
    _, weights = recops.accumulate_codes(torch.empty(n, 0), torch.zeros(n, dtype=torch.int32), 1)
    assert weights.item() == n
