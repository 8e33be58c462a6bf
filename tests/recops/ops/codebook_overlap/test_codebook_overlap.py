"""Codebook overlap agrees with its reference, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from codebook_overlap_inputs import KERNELS, every_kernel, shares
from recops import reference
from recops.ops.codebook_overlap.codebook_overlap import OverlapKernel
from tolerances import AGREEMENT, DTYPES

pytestmark = pytest.mark.composites

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.T.contiguous().T,
    "backwards": lambda x: x.flip(0).contiguous().flip(0),
}


def gradients(
    overlap: Tensor, row_sums: Tensor, inputs: tuple[Tensor, Tensor], weight: Tensor
) -> tuple[Tensor, ...]:
    weight = weight.to(row_sums.dtype)
    return torch.autograd.grad(1.3 * overlap + (weight * row_sums).sum(), inputs)


@pytest.mark.numerics
@settings(max_examples=50)
@given(
    size=st.integers(1, 150),
    dim=st.integers(0, 40),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(list(LAYOUTS)),
    kernel=st.sampled_from(KERNELS),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_reference(
    size: int,
    dim: int,
    dtype: torch.dtype,
    layout: str,
    kernel: OverlapKernel,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    codebook = LAYOUTS[layout](torch.randn(size, dim).to(dtype)).requires_grad_()
    usage = shares(2 * size, dtype)[::2].requires_grad_()
    twins = (
        codebook.detach().double().requires_grad_(),
        usage.detach().double().requires_grad_(),
    )
    result = recops.codebook_overlap(codebook, usage, 0.9, kernel=kernel)
    expected = reference.codebook_overlap(*twins, 0.9, kernel=kernel)
    weight = torch.randn(size)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for actual, other in zip(result, expected, strict=True):
        assert actual.dtype == wide
        torch.testing.assert_close(actual, other.to(wide), **AGREEMENT[wide])
    results = gradients(*result, (codebook, usage), weight)
    correct = gradients(*expected, twins, weight)
    for actual, other in zip(results, correct, strict=True):
        torch.testing.assert_close(actual, other.to(actual.dtype), **AGREEMENT[actual.dtype])


@pytest.mark.numerics
@every_kernel
def test_gradients(kernel: OverlapKernel) -> None:
    codebook = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    usage = shares(9).requires_grad_()

    def both(codebook: Tensor, usage: Tensor) -> tuple[Tensor, Tensor]:
        return recops.codebook_overlap(codebook, usage, 0.8, kernel=kernel)

    assert torch.autograd.gradcheck(both, (codebook, usage))
    assert torch.autograd.gradcheck(
        lambda c, u: recops.effective_capacity(c, u, 0.8, kernel=kernel), (codebook, usage)
    )


@every_kernel
def test_equal_codewords_give_finite_gradients(kernel: OverlapKernel) -> None:
    codebook = torch.ones(40, 5, requires_grad=True)
    recops.effective_capacity(codebook, torch.full((40,), 1 / 40), 0.1, kernel=kernel).backward()
    assert codebook.grad is not None
    assert codebook.grad.eq(0).all()
