"""Ties, nonfinite rows and exact errors of residual quantization."""

from __future__ import annotations

import pytest
import torch

import recops
from tolerances import DTYPES

pytestmark = pytest.mark.composites


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
    actual = recops.rq_encode(x, codebooks), recops.nearest_codes(x, codebooks[0], k=4)
    for (codes, values), (clean_codes, clean_values) in zip(actual, clean, strict=True):
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


@pytest.mark.parametrize("dim", [19, 35])
def test_copies_in_a_full_and_in_a_partial_panel_tie(dim: int) -> None:
    """The last lanes of a panel are packed by other code than its full groups of lanes."""
    codebook, x = torch.randn(13, dim) / 2, torch.randn(200, dim)
    alone, _ = recops.rq_encode(x, codebook[None])
    for copies in (2, 3):
        codes, _ = recops.rq_encode(x, codebook.repeat(copies, 1)[None])
        assert torch.equal(codes, alone)
