"""Triton kernels of codebook overlap, run by Triton's interpreter."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import recops
from interpreted import HostReads
from recops import reference
from recops.ops.codebook_overlap.triton import (
    codebook_overlap,
    codebook_overlap_backward,
    launch,
)
from recops.ops.codebook_overlap.triton.launch import TILES, OverlapTiles, gradients, overlaps

KERNELS = ["bhattacharyya", "product", "minimum"]
SMALL = OverlapTiles(
    rows=8, backward_rows=4, others=4, dim=4, force_rows=4, force_dim=4, unroll=2, split=8,
    most_splits=3, forces=150, num_warps=1,
)  # fmt: skip
"""Small tiles, so that small inputs have several tiles, splits and blocks of rows."""


def draw(size: int, dim: int) -> tuple[Tensor, Tensor]:
    usage = torch.rand(size)
    return torch.randn(size, dim), usage / usage.sum()


def expected_results(
    codebook: Tensor, usage: Tensor, sigma: float, kernel: str, grads: tuple[Tensor, Tensor]
) -> list[Tensor]:
    """Return overlap, row sums and both gradients in float64."""
    leaves = [codebook.double().requires_grad_(), usage.double().requires_grad_()]
    results = reference.codebook_overlap(*leaves, sigma, kernel=kernel)
    loss = results[0] * grads[0].double() + (results[1] * grads[1].double()).sum()
    return [*(each.detach() for each in results), *torch.autograd.grad(loss, leaves)]


def assert_results(
    codebook: Tensor, usage: Tensor, sigma: float, kernel: str, tiles: OverlapTiles
) -> None:
    grads = torch.tensor(1.5), torch.randn(len(codebook))
    expected = expected_results(codebook, usage, sigma, kernel, grads)
    actual = [
        *overlaps(codebook, usage, sigma, kernel, tiles),
        *gradients(*grads, codebook, usage, sigma, kernel, tiles),
    ]
    for values, exact in zip(actual, expected, strict=True):
        assert values.dtype == torch.float32
        scale = float(exact.abs().max())
        torch.testing.assert_close(values.double(), exact, rtol=2e-5, atol=2e-6 * scale)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (21, 9)], ids=str)
def test_results_and_gradients(shape: tuple[int, int], kernel: str) -> None:
    assert_results(*draw(*shape), 0.7, kernel, SMALL)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_tiles_that_ship(kernel: str) -> None:
    """Sizes leave a remainder of every tile."""
    assert_results(*draw(70, 67), 3.0, kernel, TILES)


def test_two_splits_that_ship() -> None:
    codebook, usage = draw(515, 3)
    expected = torch.ops.recops.codebook_overlap(codebook, usage, 0.7, "product")
    actual = overlaps(codebook, usage, 0.7, "product")
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sigma", [0.05, 0.3, 5.0])
def test_narrow_and_wide_gaussians(sigma: float, kernel: str) -> None:
    codebook, usage = draw(12, 3)
    expected = torch.ops.recops.codebook_overlap(codebook, usage, sigma, kernel)
    actual = overlaps(codebook, usage, sigma, kernel, SMALL)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=0)
    assert_results(codebook, usage, sigma, kernel, SMALL)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sigma", [1e-15, 1e15])
def test_the_largest_and_the_least_sigma(sigma: float, kernel: str) -> None:
    codebook, usage = draw(6, 3)
    codebook = codebook * sigma
    actual = overlaps(codebook, usage, sigma, kernel, SMALL)
    expected = torch.ops.recops.codebook_overlap(codebook, usage, sigma, kernel)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_codewords(kernel: str) -> None:
    """Their overlap is exactly 1, also far from the origin, and they do not move each other."""
    codebook, usage = (1e4 + torch.randn(1, 5)).expand(9, 5), torch.full((9,), 2.0**-3)
    overlap, row_sums = overlaps(codebook, usage, 0.1, kernel, SMALL)
    assert row_sums.tolist() == [9 / 8] * 9
    assert overlap.item() == 81 / 64
    grads = gradients(torch.tensor(1.0), torch.zeros(9), codebook, usage, 0.1, kernel, SMALL)
    assert (grads[0] == 0).all()
    assert grads[1].tolist() == [18 / 8] * 9


@pytest.mark.parametrize("kernel", KERNELS)
def test_close_codewords_far_from_the_origin_keep_their_gradient(kernel: str) -> None:
    codebook = 1e4 + torch.randint(0, 9, (10, 4)) / 64
    usage = torch.full((10,), 0.1)
    assert_results(codebook, usage, 0.1, kernel, SMALL)


@pytest.mark.parametrize("kernel", KERNELS)
def test_overlaps_of_far_codewords_equal_those_of_the_cpu(kernel: str) -> None:
    """Too small an overlap of the Gaussians counts as 2^-126."""
    codebook, usage = torch.tensor([[0.0], [1e30]]), torch.tensor([0.0, 1.0])
    _, row_sums = overlaps(codebook, usage, 1.0, kernel, SMALL)
    expected = torch.ops.recops.codebook_overlap(codebook, usage, 1.0, kernel)[1]
    torch.testing.assert_close(row_sums, expected, rtol=1e-6, atol=0)
    assert row_sums[1] == 1
    assert kernel == "minimum" or row_sums[0] == 2.0**-126


def test_values_that_are_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    codebook, usage = draw(6, 3)
    codebook[4, 1] = math.nan
    with pytest.raises(ValueError, match=r"codebook_overlap: codebook must be finite, got .*\[4\]"):
        codebook_overlap(codebook, usage, 1.0, "product")
    monkeypatch.setattr("recops.ops._data_checks.checks_data", lambda _: False)
    overlap, row_sums = codebook_overlap(codebook, usage, 1.0, "product")
    assert overlap.isnan()
    assert row_sums.isnan().all()


# ---- The registered functions.


def test_a_call_does_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops.ops._data_checks.checks_data", lambda _: False)
    codebook, usage = draw(6, 3)
    with HostReads(monkeypatch) as reads:
        codebook_overlap(codebook, usage, 1.0, "minimum")
        codebook_overlap_backward(torch.ones(()), usage, codebook, usage, 1.0, "minimum")
    assert reads.names == []


def test_strided_arguments() -> None:
    codebook, usage = draw(6, 3)
    wide = torch.stack([codebook, usage[:, None].expand(6, 3)], 2)
    strided = wide[..., 0], wide[:, 0, 1]
    expected = codebook_overlap(codebook, usage, 1.0, "product")
    assert torch.equal(codebook_overlap(*strided, 1.0, "product")[1], expected[1])
    grads = torch.ones(()), torch.ones(()).expand(6)
    result = codebook_overlap_backward(*grads, *strided, 1.0, "product")
    expected = codebook_overlap_backward(grads[0], torch.ones(6), codebook, usage, 1.0, "product")
    assert torch.equal(result[0], expected[0])
    assert torch.equal(result[1], expected[1])


def test_float64_uses_the_composite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_Pairs", lambda *_: pytest.fail("used the kernels"))
    codebook, usage = (values.double() for values in draw(6, 3))
    expected = recops.codebook_overlap(codebook, usage, 1.0)
    actual = codebook_overlap(codebook, usage, 1.0, "bhattacharyya")
    torch.testing.assert_close(actual, expected)
    grads = torch.ones(()).double(), usage
    assert codebook_overlap_backward(*grads, codebook, usage, 1.0, "product")[0].shape == (6, 3)


def test_wrong_arguments_are_refused() -> None:
    codebook, usage = draw(6, 3)
    with pytest.raises(ValueError, match="codebook_overlap: usage"):
        codebook_overlap(codebook, usage[:5], 1.0, "product")
    with pytest.raises(ValueError, match=r"codebook_overlap: kernel must be .* got 'none'"):
        codebook_overlap(codebook, usage, 1.0, "none")
    with pytest.raises(ValueError, match="codebook_overlap: grad_row_sums"):
        codebook_overlap_backward(torch.ones(()), usage[:5], codebook, usage, 1.0, "product")
