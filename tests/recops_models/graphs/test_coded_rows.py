"""Coded tables: errors of each coding, and refused inputs."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recops_models.graphs import coded_rows
from recops_models.graphs.coded_rows import CodedRows


@given(st.integers(0, 5), st.integers(0, 9), st.floats(-20, 20), st.integers(0, 99))
def test_errors_of_codings_are_within_their_bounds(
    rows: int, width: int, size: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=generator) * 2.0**size
    assert torch.equal(CodedRows.of(x, "float32").decoded(), x)
    bfloat16 = CodedRows.of(x, "bfloat16")
    assert ((bfloat16.decoded() - x).abs() <= x.abs() / 256).all()
    int8 = CodedRows.of(x, "int8")
    if width:
        allowed = x.abs().amax(1, keepdim=True) / 254 * 1.001
        assert ((int8.decoded() - x).abs() <= allowed).all()
    for coded in (bfloat16, int8):
        assert coded.decoded().dtype == torch.float32
        rows_reversed = torch.arange(rows).flip(0)
        assert torch.equal(coded.take(rows_reversed), coded.decoded()[rows_reversed])


def test_rows_of_zeros_stay_zero_and_int8_takes_a_quarter() -> None:
    x = torch.randn(10, 64)
    x[:2] = 0
    int8 = CodedRows.of(x, "int8")
    assert (int8.decoded()[:2] == 0).all()
    assert int8.nbytes == 10 * (64 + 4)
    assert CodedRows.of(x, "bfloat16").nbytes == 10 * 128
    codings = [CodedRows.of(x, name).coding for name in ("float32", "bfloat16", "int8")]
    assert codings == ["float32", "bfloat16", "int8"]
    copied = CodedRows.of(x, "float32")
    x[3] = 7
    assert (copied.values[3] != 7).any(), "a table does not share memory with its source"


def test_unfit_inputs_are_refused() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(ValueError, match="coding must be float32, bfloat16 or int8, got 'int4'"):
        CodedRows.of(x, "int4")
    with pytest.raises(ValueError, match=r"x must be floats \[N, d\], got torch.float32 \[3\]"):
        CodedRows.of(x[0], "int8")
    with pytest.raises(ValueError, match="x must be finite, got NaN or infinity"):
        CodedRows.of(x * float("nan"), "bfloat16")


def test_examples_in_docstrings_run() -> None:
    assert doctest.testmod(coded_rows) == (0, 2)
