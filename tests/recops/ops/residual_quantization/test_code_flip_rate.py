"""Flip rate of codes: closed forms, the reference, determinism and errors."""

from __future__ import annotations

import importlib
import math
import signal
import time
from collections.abc import Callable

import pytest
import torch

import recops
from recops import reference
from tolerances import DTYPES

pytestmark = pytest.mark.composites

MODULE = importlib.import_module("recops.ops.residual_quantization.code_flip_rate")


def rate(x: torch.Tensor, codebooks: torch.Tensor, sigma: float, **settings: int) -> torch.Tensor:
    levels = len(codebooks)
    return recops.code_flip_rate(
        x, codebooks, torch.full((levels,), sigma), **{"samples": 4, "seed": 0, **settings}
    )


# The kernel draws noise in blocks of 64 dimensions and has four variants.
@pytest.mark.slow
@pytest.mark.parametrize("dim", [0, 17, 33, 63, 69])
@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_two_codewords_flip_by_the_normal_distribution(dim: int, sigma: float) -> None:
    """x is 0.5 from the border between the codewords, so the rate is Φ(−0.5 / σ)."""
    unit = torch.eye(70)[dim]
    codebooks = torch.stack([unit, -unit])[None]
    (measured,) = rate(0.5 * unit.repeat(200, 1), codebooks, sigma, samples=400)
    expected = 0.5 * math.erfc(0.5 / sigma / math.sqrt(2))
    assert measured.item() == pytest.approx(expected, abs=0.006)  # four standard errors


@pytest.mark.numerics
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_the_reference_up_to_noise(dtype: torch.dtype) -> None:
    x = torch.randn(400, 12).to(dtype)
    codebooks = [torch.randn(30, 12).to(dtype), torch.randn(7, 12).to(dtype)]
    sigma = torch.tensor([0.3, 0.9])
    actual = recops.code_flip_rate(x, codebooks, sigma, samples=40, seed=3)
    expected = reference.code_flip_rate(x, codebooks, sigma, samples=40, seed=3)
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, rtol=0, atol=0.015)


@pytest.mark.numerics
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_flips_without_noise(dtype: torch.dtype) -> None:
    x, codebooks = torch.randn(70, 9).to(dtype), torch.randn(3, 20, 9).to(dtype)
    assert (rate(x, codebooks, 0.0) == 0).all()


def test_more_noise_flips_more() -> None:
    x, codebooks = torch.randn(300, 9), torch.randn(2, 20, 9)
    rates = torch.stack([rate(x, codebooks, sigma) for sigma in (0.01, 0.1, 1.0, 10.0)])
    assert (rates.diff(dim=0) > 0).all()


def test_results_do_not_depend_on_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x, codebooks = torch.randn(301, 9), torch.randn(2, 20, 9)
    x[7] = math.nan
    one_block = rate(x, codebooks, 0.5)
    monkeypatch.setattr(MODULE, "_MULTIPLY_ADDS", 9 * 40 * 4 * 10)
    assert torch.equal(rate(x, codebooks, 0.5), one_block)


@pytest.mark.composites(False)
def test_ctrl_c_stops_between_blocks() -> None:
    """The work takes hours, but each block less than a second."""
    x, codebooks = torch.randn(200_000, 64), torch.randn(3, 256, 64)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    start = time.process_time()
    try:
        with pytest.raises(KeyboardInterrupt):
            rate(x, codebooks, 0.5, samples=10_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.process_time() - start < 20


@pytest.mark.numerics
def test_the_seed_determines_the_result() -> None:
    x, codebooks = torch.randn(300, 9), torch.randn(2, 20, 9)
    assert torch.equal(rate(x, codebooks, 0.5, seed=-7), rate(x, codebooks, 0.5, seed=-7))
    assert not torch.equal(rate(x, codebooks, 0.5, seed=1), rate(x, codebooks, 0.5, seed=2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.composites(False)
def test_the_rate_does_not_depend_on_the_number_of_threads(
    dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    x, codebooks = torch.randn(501, 9).to(dtype), torch.randn(3, 20, 9).to(dtype)
    set_threads(1)
    expected = rate(x, codebooks, 0.3)
    for threads in (2, 3, 7):
        set_threads(threads)
        assert torch.equal(rate(x, codebooks, 0.3), expected)


def test_nonfinite_rows_are_excluded() -> None:
    x, codebooks = torch.randn(40, 5), torch.randn(2, 9, 5)
    expected = rate(x, codebooks, 0.4)
    x = torch.cat([x, torch.full((1, 5), math.nan), torch.full((3, 5), math.inf)])
    assert torch.equal(rate(x, codebooks, 0.4), expected)
    assert rate(x[40:], codebooks, 0.4).isnan().all()
    assert rate(x[:0], codebooks, 0.4).isnan().all()


X, BOOKS, SIGMA = torch.randn(4, 3), torch.randn(2, 5, 3), torch.ones(2)
NAN_BOOK = BOOKS.index_fill(1, torch.tensor([2]), math.nan)
ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: rate(X[0], BOOKS, 1.0), ValueError, "code_flip_rate: x must have 2 dimensions"),
    (lambda: rate(X.int(), BOOKS, 1.0), TypeError, "x must be one of float32"),
    (
        lambda: rate(X, NAN_BOOK, 1.0),
        ValueError,
        r"code_flip_rate: codebooks must be finite.*codebooks\[0\]\[2\]",
    ),
    (lambda: rate(X, BOOKS[:, :0], 1.0), ValueError, r"codebooks\[0\] must have at least one"),
    (
        lambda: rate(X, BOOKS, -1.0),
        ValueError,
        r"sigma must be finite and at least 0, got sigma\[0\] = -1",
    ),
    (lambda: rate(X, BOOKS, math.nan), ValueError, r"must be finite.*sigma\[0\]"),
    (
        lambda: rate(X, BOOKS, 1.0, samples=0),
        ValueError,
        "samples must be from 1 to 1048576, got 0",
    ),
    (
        lambda: torch.ops.recops.code_flips(X, BOOKS[0], [5], SIGMA[:1], 2**31 - 1, 0, 0, 2),
        ValueError,
        "samples must be from 1 to 1048576, got 2147483647",
    ),
    (
        lambda: recops.code_flip_rate(X, BOOKS, SIGMA[:1], samples=1, seed=0),
        ValueError,
        "sigma must have 2 values, one per level, got 1",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
