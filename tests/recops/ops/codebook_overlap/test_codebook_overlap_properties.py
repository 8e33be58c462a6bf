"""Properties of codebook overlap: closed forms, the bounds of DRQ, and its two penalties."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from codebook_overlap_inputs import every_kernel, shares
from recops import reference
from recops.ops.codebook_overlap.codebook_overlap import OverlapKernel
from tolerances import DTYPES

pytestmark = pytest.mark.composites


def distant_codewords(size: int, dim: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return codewords on one axis, at least 100 from each other."""
    codebook = torch.randn(size, dim, dtype=dtype).clamp(-5, 5)
    codebook[:, 0] += 110.0 * torch.arange(size, dtype=dtype)
    return codebook


@every_kernel
@pytest.mark.parametrize("dtype", DTYPES[::3])
def test_effective_capacity_of_distant_uniform_codewords_is_their_number(
    kernel: OverlapKernel, dtype: torch.dtype
) -> None:
    usage = torch.full((256,), 1 / 256, dtype=dtype)
    capacity = recops.effective_capacity(
        distant_codewords(256, dtype=dtype), usage, 1.0, kernel=kernel
    )
    assert capacity.item() == pytest.approx(256, abs=1e-6)


TWO_CODES: dict[OverlapKernel, Callable[[float, float], float]] = {
    "bhattacharyya": lambda delta, sigma: math.exp(-(delta**2) / (8 * sigma**2)),
    "product": lambda delta, sigma: math.exp(-(delta**2) / (4 * sigma**2)),
    "minimum": lambda delta, sigma: math.erfc(delta / (2 * math.sqrt(2) * sigma)),
}


@pytest.mark.parametrize("kernel", TWO_CODES)
@pytest.mark.parametrize("dtype", DTYPES[::3])
@pytest.mark.parametrize("delta", [0.0, 1e-3, 0.5, 1.0, 3.0, 8.0])
def test_two_codes(kernel: OverlapKernel, dtype: torch.dtype, delta: float) -> None:
    codebook = torch.tensor([[1.0, 2.0], [1.0, 2.0 + delta]], dtype=torch.float64).to(dtype)
    usage = torch.full((2,), 0.5, dtype=dtype)
    overlap, row_sums = recops.codebook_overlap(codebook, usage, 0.7, kernel=kernel)
    distance = (codebook[1, 1].double() - codebook[0, 1].double()).item()
    expected = (1 + TWO_CODES[kernel](distance, 0.7)) / 2
    rtol = 1e-14 if dtype == torch.float64 else 3e-7
    assert overlap.item() == pytest.approx(expected, rel=rtol)
    assert row_sums.tolist() == pytest.approx([expected] * 2, rel=rtol)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", TWO_CODES)
def test_equidistant_codes_lose_capacity_with_noise(kernel: OverlapKernel) -> None:
    """K evenly used corners of a simplex have K_eff = 1 / (1/K + (1 − 1/K) κ(δ, σ))."""
    size, delta = 256, 8.0
    corners = torch.eye(size, dtype=torch.float64) * delta / math.sqrt(2)
    usage = torch.full((size,), 1 / size, dtype=torch.float64)
    curve = []
    for sigma in (0.1, 0.25, 0.5, 1.0, 2.0, 8.0, 32.0):
        correct = 1 / (1 / size + (1 - 1 / size) * TWO_CODES[kernel](delta, sigma))
        capacity = recops.effective_capacity(corners, usage, sigma, kernel=kernel).item()
        assert capacity == pytest.approx(correct, rel=1e-9)
        curve.append(capacity)
    assert curve[0] == pytest.approx(256, abs=1e-6)
    assert curve == sorted(curve, reverse=True)
    assert curve[-1] < 1.5


@every_kernel
def test_only_even_and_disjoint_codes_reach_full_capacity(kernel: OverlapKernel) -> None:
    even, size = torch.full((30,), 1 / 30, dtype=torch.float64), 30
    assert (
        recops.effective_capacity(distant_codewords(size), even, 1.0, kernel=kernel) > size - 1e-9
    )
    uneven = even.clone()
    uneven[:2] += torch.tensor([1e-3, -1e-3])
    assert (
        recops.effective_capacity(distant_codewords(size), uneven, 1.0, kernel=kernel) < size - 1e-3
    )
    close = distant_codewords(size)
    close[1] = close[0] + 1e-3
    assert recops.effective_capacity(close, even, 1.0, kernel=kernel) < size - 1


@every_kernel
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_codeword_overlaps_itself_by_exactly_one(
    kernel: OverlapKernel, dtype: torch.dtype
) -> None:
    codebook = (1000 + torch.randn(70, 19)).to(dtype)
    for code in (0, 33, 69):
        usage = torch.zeros(70)
        usage[code] = 1
        overlap, row_sums = recops.codebook_overlap(codebook, usage, 1e-3, kernel=kernel)
        assert overlap.item() == 1
        assert row_sums[code].item() == 1


@every_kernel
def test_a_tile_in_float32_is_within_1e_5_of_float64(kernel: OverlapKernel) -> None:
    codebook, usage = torch.randn(500, 32), shares(500, torch.float32)
    for sigma in (0.25, 1.0, 4.0):
        overlap, row_sums = recops.codebook_overlap(codebook, usage, sigma, kernel=kernel)
        exact = reference.codebook_overlap(codebook.double(), usage.double(), sigma, kernel=kernel)
        torch.testing.assert_close(overlap.double(), exact[0], rtol=1e-5, atol=0)
        torch.testing.assert_close(row_sums.double(), exact[1], rtol=1e-5, atol=1e-30)


@every_kernel
@settings(max_examples=15)
@given(size=st.integers(1, 90), dim=st.integers(1, 20), seed=st.integers(0, 999))
def test_bounds_and_limits(kernel: OverlapKernel, size: int, dim: int, seed: int) -> None:
    torch.manual_seed(seed)
    codebook, usage = torch.randn(size, dim, dtype=torch.float64), shares(size)
    usage[size // 2 + 1 :] = 0
    usage /= usage.sum()
    used = usage[usage > 0]
    most = 1 / usage.square().sum().item()
    capacities = [
        recops.effective_capacity(codebook, usage, sigma, kernel=kernel).item()
        for sigma in (1e-9, 0.1, 0.3, 1, 3, 10, 1e9)
    ]
    for wider, capacity in zip(capacities[1:], capacities[:-1], strict=True):
        assert wider <= capacity * (1 + 1e-12)
    assert capacities[0] == pytest.approx(most, rel=1e-12)
    assert capacities[-1] == pytest.approx(1, rel=1e-7)
    perplexity = math.exp(-(used * used.log()).sum().item())
    assert 1 - 1e-12 <= capacities[2] <= most * (1 + 1e-12)
    assert most <= perplexity * (1 + 1e-12) <= len(used) * (1 + 1e-11)


@every_kernel
def test_doubling_a_codeword_and_dividing_its_usage_changes_nothing(kernel: OverlapKernel) -> None:
    codebook, usage = torch.randn(50, 8, dtype=torch.float64), shares(50)
    expected, sums = recops.codebook_overlap(codebook, usage, 0.6, kernel=kernel)
    doubled = torch.cat([codebook, codebook[7:8]])
    divided = torch.cat([usage, usage[7:8] / 3])
    divided[7] *= 2 / 3
    overlap, row_sums = recops.codebook_overlap(doubled, divided, 0.6, kernel=kernel)
    torch.testing.assert_close(overlap, expected)
    torch.testing.assert_close(row_sums, torch.cat([sums, sums[7:8]]))


def penalties(codebook: Tensor, usage: Tensor, sigma: float) -> tuple[float, float]:
    """Return the penalties of distribution and geometry; log K = log K_eff + their sum."""
    even = 1 / usage.square().sum().item()
    capacity = recops.effective_capacity(codebook, usage, sigma).item()
    return math.log(len(usage)) - math.log(even), math.log(even) - math.log(capacity)


def test_each_penalty_depends_on_its_cause() -> None:
    codebook, usage = torch.randn(200, 16, dtype=torch.float64), shares(200)
    distribution, geometry = penalties(codebook, usage, 0.5)
    permuted = penalties(codebook[torch.randperm(200)], usage, 0.5)
    assert permuted[0] == distribution
    closer = penalties(codebook / 10, usage, 0.5)
    assert closer[0] == distribution
    assert closer[1] > 2 * geometry
    skewed = usage**2 / usage.square().sum()
    assert penalties(codebook, skewed, 0.5)[0] > distribution * 1.3
