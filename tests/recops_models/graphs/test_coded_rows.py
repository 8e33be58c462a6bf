"""Tables at rest: how far each coding is off, and what it refuses."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recops_models.graphs import coded_rows
from recops_models.graphs.coded_rows import CodedRows


@given(st.integers(0, 5), st.integers(0, 9), st.floats(-20, 20), st.integers(0, 99))
def test_codings_are_off_by_no_more_than_they_say(
    rows: int, width: int, size: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=generator) * 2.0**size
    assert torch.equal(CodedRows.of(x, "float32").decoded(), x)
    half = CodedRows.of(x, "bfloat16")
    assert ((half.decoded() - x).abs() <= x.abs() / 256).all()
    whole = CodedRows.of(x, "int8")
    if width:
        allowed = x.abs().amax(1, keepdim=True) / 254 * 1.001
        assert ((whole.decoded() - x).abs() <= allowed).all()
    for coded in (half, whole):
        assert coded.decoded().dtype == torch.float32
        places = torch.arange(rows).flip(0)
        assert torch.equal(coded.take(places), coded.decoded()[places])


def test_rows_of_zeros_stay_zero_and_int8_is_a_quarter() -> None:
    x = torch.randn(10, 64)
    x[:2] = 0
    whole = CodedRows.of(x, "int8")
    assert (whole.decoded()[:2] == 0).all()
    assert whole.nbytes == 10 * (64 + 4)
    assert CodedRows.of(x, "bfloat16").nbytes == 10 * 128
    codings = [CodedRows.of(x, name).coding for name in ("float32", "bfloat16", "int8")]
    assert codings == ["float32", "bfloat16", "int8"]
    copied = CodedRows.of(x, "float32")
    x[3] = 7
    assert (copied.values[3] != 7).any(), "a table is not somebody's tensor"


def test_what_is_refused() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(ValueError, match="coding must be float32, bfloat16 or int8, got 'int4'"):
        CodedRows.of(x, "int4")
    with pytest.raises(ValueError, match=r"x must be floats \[N, d\], got torch.float32 \[3\]"):
        CodedRows.of(x[0], "int8")
    with pytest.raises(ValueError, match="x must be finite, got NaN or infinity"):
        CodedRows.of(x * float("nan"), "bfloat16")


def test_the_example_runs() -> None:
    assert doctest.testmod(coded_rows) == (0, 2)
