"""Triton kernels of decoding and sums by code, run by Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from interpreted import HostReads
from recops import reference
from recops.ops.residual_quantization.triton import (
    accumulate_codes,
    codes,
    rq_decode,
    rq_decode_backward,
)
from recops.ops.residual_quantization.triton.codes import DECODE, MOST_LEVELS, CodeTiles, decode

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
INDICES = [torch.int32, torch.int64]
SMALL = CodeTiles(dim=100, rows=4, columns=4)


def draw(rows: int, dim: int, sizes: list[int]) -> tuple[Tensor, list[Tensor]]:
    """Return random codes, some of them −1, and codebooks."""
    drawn = [torch.randint(-1, size, (rows,)) for size in sizes]
    return torch.stack(drawn, 1), [torch.randn(size, dim) for size in sizes]


# ---- Decoding.


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, [1]), (13, 6, [5, 1, 0, 9]), (9, 4, [3] * 7)], ids=str)
def test_decoded_rows(
    shape: tuple[int, int, list[int]], index: torch.dtype, dtype: torch.dtype
) -> None:
    drawn, books = draw(*shape)
    words = torch.cat(books).to(dtype)
    expected = torch.ops.recops.rq_decode(drawn, words, shape[2])
    actual = decode(drawn.to(index), words, shape[2], SMALL)
    assert actual.dtype == dtype
    # The interpreter rounds 16-bit results towards zero.
    tolerance = torch.finfo(dtype).eps if dtype != torch.float32 else 0.0
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("tiles", DECODE, ids=str)
def test_every_entry_of_the_table(tiles: CodeTiles) -> None:
    """Sizes leave a remainder of every tile."""
    drawn, books = draw(tiles.rows + 3, min(tiles.dim, 300), [7, 5])
    expected = reference.rq_decode(drawn, books)
    assert torch.equal(rq_decode(drawn, torch.cat(books), [7, 5]), expected)
    assert torch.equal(decode(drawn, torch.cat(books), [7, 5], tiles), expected)


@pytest.mark.parametrize("wrong", [-2, 3, 2**31 - 1, 2**32])
def test_a_code_out_of_range_makes_its_row_nan(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code of one level must not reach into the next. Where data is checked, it is an error."""
    drawn, books = torch.tensor([[0, 1], [2, -1], [1, 1]]), [torch.ones(3, 4), torch.ones(2, 4)]
    drawn[1, 0] = wrong
    words = torch.cat(books)
    with pytest.raises(IndexError, match=r"rq_decode: codes must be from 0 to 2, .* codes\[1, 0\]"):
        rq_decode(drawn, words, [3, 2])
    monkeypatch.setattr("recops.ops.residual_quantization.composite.checks_data", lambda _: False)
    rows = rq_decode(drawn, words, [3, 2])
    assert rows[1].isnan().all()
    assert torch.equal(rows[[0, 2]], torch.full((2, 4), 2.0))
    gradient = rq_decode_backward(torch.ones(3, 4), drawn, [3, 2])
    assert gradient[:, 0].tolist() == [1, 1, 0, 0, 2]
    sums, weights = accumulate_codes(torch.ones(3, 4), drawn[:, 0], 3, None)
    assert sums[:, 0].tolist() == weights.tolist() == [1, 1, 0]


def test_strided_codes_and_codewords() -> None:
    drawn, (book,) = draw(9, 6, [5])
    wide = torch.stack([book, -book], 2)[..., 0]
    both = torch.stack([drawn, drawn], 1)[:, 1]
    assert torch.equal(rq_decode(both, wide, [5]), rq_decode(drawn, book, [5]))


# ---- Gradients, and sums by code.


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_gradient_of_the_codewords(index: torch.dtype, dtype: torch.dtype) -> None:
    sizes = [5, 1, 9]
    drawn, _ = draw(60, 7, sizes)
    grad = torch.randn(60, 7).to(dtype)
    words = torch.zeros(15, 7, requires_grad=True)
    reference.rq_decode(drawn, list(words.split(sizes))).backward(grad.float())
    actual = rq_decode_backward(grad, drawn.to(index), sizes)
    assert actual.dtype == dtype
    # The interpreter rounds 16-bit results towards zero.
    tolerance = max(1e-6, 2 * torch.finfo(dtype).eps) if dtype != torch.float32 else 1e-5
    torch.testing.assert_close(actual.float(), words.grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight_dtype", [None, torch.float32, torch.bfloat16, torch.float64])
def test_sums_and_weights(weight_dtype: torch.dtype | None, dtype: torch.dtype) -> None:
    x, index = torch.randn(90, 5).to(dtype), torch.randint(-1, 6, (90,))
    index[:50] = 2
    weight = None if weight_dtype is None else torch.rand(90).to(weight_dtype)
    actual = accumulate_codes(x, index, 7, weight)
    expected = reference.accumulate_codes(x.float(), index, 7, weight=weight)
    for values, sums in zip(actual, expected, strict=True):
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, sums, rtol=1e-5, atol=1e-5)


def test_weights_are_added_in_float64() -> None:
    """The small weights would be lost next to the large one in float32."""
    weight = torch.full((3000,), 2.0**-12)
    weight[0] = 2.0**12
    index = torch.zeros(3000, dtype=torch.int64)
    _, weights = accumulate_codes(torch.zeros(3000, 0), index, 2, weight)
    assert weights.tolist() == [weight.double().sum().float().item(), 0.0]


def test_other_rows_do_not_change_the_bits_of_a_code() -> None:
    x, index, weight = torch.randn(140, 3), torch.randint(0, 3, (140,)), torch.rand(140)
    sums, weights = accumulate_codes(x, index, 3, weight)
    for code in range(3):
        own = index == code
        alone = accumulate_codes(x[own], index[own], 3, weight[own])
        assert torch.equal(alone[0][code], sums[code])
        assert torch.equal(alone[1][code], weights[code])


# ---- The registered functions.


def test_a_call_does_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops.ops.residual_quantization.composite.checks_data", lambda _: False)
    drawn, (book,) = draw(9, 4, [5])
    with HostReads(monkeypatch) as reads:
        rq_decode_backward(rq_decode(drawn, book, [5]), drawn, [5])
        accumulate_codes(torch.randn(9, 4), drawn[:, 0], 5, torch.rand(9))
    assert reads.names == []


def test_sizes_beyond_the_limits_use_the_composite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "decode", lambda *_: pytest.fail("used the kernels"))
    monkeypatch.setattr(codes, "sort_rows", lambda *_: pytest.fail("used the kernels"))
    sizes = [3] * (MOST_LEVELS + 1)
    drawn, books = draw(4, 2, sizes)
    words = torch.cat(books)
    cases = [(drawn, words, sizes), (drawn[:, :1], books[0].double(), [3])]
    for own, book, own_sizes in [*cases, (drawn[:0, :1], books[0], [3])]:
        split = list(book.split(own_sizes))
        assert torch.equal(rq_decode(own, book, own_sizes), reference.rq_decode(own, split))
        grad = torch.ones(len(own), 2, dtype=book.dtype)
        assert rq_decode_backward(grad, own, own_sizes).shape == book.shape
    sums, weights = accumulate_codes(torch.ones(4, 2).double(), torch.zeros(4).int(), 2, None)
    assert sums.tolist() == [[4, 4], [0, 0]]
    assert weights.tolist() == [4, 0]


def test_wrong_shapes_are_refused() -> None:
    drawn, (book,) = draw(4, 2, [3])
    with pytest.raises(ValueError, match=r"rq_decode: sizes must add up to .* 3, got 4"):
        rq_decode(drawn, book, [4])
    with pytest.raises(ValueError, match="rq_decode_backward: codes"):
        rq_decode_backward(torch.ones(5, 2), drawn, [3])
    with pytest.raises(ValueError, match="accumulate_codes: weight"):
        accumulate_codes(torch.ones(4, 2), drawn[:, 0], 3, torch.ones(5))
