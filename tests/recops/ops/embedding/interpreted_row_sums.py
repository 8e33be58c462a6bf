"""Triton kernels of sums by row, run by Triton's interpreter (test_row_sums_triton.py)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from interpreted import HostReads
from recops.ops.embedding.triton.row_sums import (
    NARROW,
    WIDE,
    RowTiles,
    sort_rows,
    sum_by_row,
    sum_sorted,
)

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SMALL = RowTiles(pieces=4, rows=2, pieces_of_row=2, dim=4, num_warps=1)


def expected_sums(
    values: Tensor, rows: Tensor, num_rows: int, weight: Tensor | None = None, repeats: int = 1
) -> Tensor:
    scaled = values.double() if weight is None else values.double() * weight.double()[:, None]
    scaled = scaled.repeat_interleave(repeats, 0)
    is_row = (rows >= 0) & (rows < num_rows)
    sums = torch.zeros(num_rows, values.shape[1], dtype=torch.float64)
    return sums.index_add(0, rows[is_row].long(), scaled[is_row])


def sum_small(values: Tensor, rows: Tensor, num_rows: int, **options: Any) -> Tensor:
    """Sum with small tiles, so that small inputs have several of each."""
    return sum_sorted(values, sort_rows(rows, num_rows), tiles=SMALL, **options)


def assert_sums(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("index", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("dim", [1, 4, 9])
def test_sums(dim: int, index: torch.dtype, dtype: torch.dtype) -> None:
    """One row has most entries; others have none, and some entries are not of a row."""
    values = torch.randn(150, dim).to(dtype)
    rows = torch.randint(-1, 8, (150,)).to(index)
    rows[10:100] = 5
    assert_sums(sum_small(values, rows, 7), expected_sums(values, rows, 7))


@pytest.mark.parametrize("tiles", [NARROW, WIDE], ids=["narrow", "wide"])
def test_every_table_entry(tiles: RowTiles) -> None:
    values, rows = torch.randn(300, tiles.dim + 3), torch.randint(0, 3, (300,))
    expected = expected_sums(values, rows, 20)
    assert_sums(sum_sorted(values, sort_rows(rows, 20), tiles=tiles), expected)
    assert_sums(sum_by_row(values, rows, 20), expected)
    assert_sums(sum_by_row(values[:, :5], rows, 20), expected[:, :5])


def test_weights() -> None:
    values, rows, weight = torch.randn(30, 5), torch.randint(0, 4, (30,)), torch.rand(30)
    actual = sum_small(values, rows, 4, weight=weight)
    assert_sums(actual, expected_sums(values, rows, 4, weight))


def test_a_value_of_several_rows() -> None:
    values, rows = torch.randn(20, 5), torch.randint(-1, 4, (60,))
    actual = sum_small(values, rows, 4, repeats=3)
    assert_sums(actual, expected_sums(values, rows, 4, repeats=3))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sums_are_float32_and_results_of_a_dtype(dtype: torch.dtype) -> None:
    """Adding small values to a large one in 16 bits would lose all. The interpreter truncates."""
    values, rows = torch.ones(600, 1), torch.zeros(600, dtype=torch.int64)
    sums = sum_small(values, rows, 2, dtype=dtype)
    assert sums.dtype == dtype
    torch.testing.assert_close(sums[0].float(), torch.tensor([600.0]), rtol=2**-7, atol=0)


@pytest.mark.parametrize(("count", "dim", "num_rows"), [(0, 3, 2), (3, 0, 2), (3, 2, 0)])
def test_nothing_to_sum(count: int, dim: int, num_rows: int) -> None:
    rows = torch.zeros(count, dtype=torch.int64)
    sums = sum_by_row(torch.ones(count, dim), rows, num_rows)
    assert torch.equal(sums, torch.zeros(num_rows, dim))


def test_other_rows_do_not_change_the_bits_of_a_row() -> None:
    """Pieces start with each row, so a row's order of additions is its own."""
    values, rows = torch.randn(140, 3), torch.randint(0, 3, (140,))
    sums = sum_small(values, rows, 3)
    for row in range(3):
        own = rows == row
        alone = sum_small(values[own], rows[own], 3)
        assert torch.equal(alone[row], sums[row])


def test_a_call_does_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostReads(monkeypatch) as reads:
        sum_by_row(torch.randn(9, 2), torch.randint(0, 3, (9,)), 3)
    assert reads.names == []


def test_counts() -> None:
    rows = torch.tensor([2, -1, 0, 2, 5])
    assert sort_rows(rows, 4).counts().tolist() == [1, 0, 2, 0]
