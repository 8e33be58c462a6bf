"""Dice: agreement with the reference, and its batch statistics."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from dice_inputs import either, make, results
from recops import reference
from tolerances import AGREEMENT, DTYPES, wide

pytestmark = pytest.mark.composites

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT if x.ndim > 1 else x,
    "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
}


def agree(operands: list[Tensor]) -> None:
    """Compare values and gradients with the reference's in float64."""
    outputs, correct = results(operands), results(operands, reference.dice, torch.float64)
    x, alpha = operands[:2]
    of_statistics = wide(x.dtype) if len(operands) == 2 else alpha.dtype
    dtypes = [x.dtype, of_statistics, of_statistics, x.dtype, alpha.dtype]
    # Columns with a small variance magnify rounding errors.
    column = correct[2].rsqrt().clamp(1, 1e6) if len(x) > 1 else torch.ones(x.shape[1])
    column = column * x.abs().double().amax(0).clamp(min=1) if len(x) else column
    for actual, expected, dtype in zip(outputs, correct, dtypes, strict=True):
        assert actual.dtype == dtype
        close = dict(AGREEMENT[dtype])
        close["atol"] *= max(len(x), 1) ** 0.5  # Sums over rows.
        torch.testing.assert_close(
            actual.double() / column, expected.to(dtype).double() / column, **close
        )


@pytest.mark.numerics
@either
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(128, 200), (70, 83), (2, 64)])
def test_agrees_with_the_reference(shape: tuple[int, int], dtype, of_batch: bool) -> None:
    agree(make(*shape, of_batch=of_batch, dtype=dtype))


@pytest.mark.numerics
@settings(max_examples=60)
@given(
    rows=st.integers(0, 200),
    columns=st.integers(0, 150),
    of_batch=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    narrow=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_shape(rows, columns, of_batch, dtype, narrow, seed) -> None:
    params = dtype if narrow else wide(dtype)
    agree(make(rows, columns, of_batch=of_batch, dtype=dtype, params=params, seed=seed))


@either
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides(layout: str, of_batch: bool) -> None:
    operands = make(of_batch=of_batch)
    expected = results(operands)
    strided = [LAYOUTS[layout](each) for each in operands]
    for actual, correct in zip(results(strided), expected, strict=True):
        assert torch.equal(actual, correct)


@pytest.mark.numerics
@either
@pytest.mark.parametrize("rows", [1, 3])
def test_gradcheck(rows: int, of_batch: bool) -> None:
    x, alpha, *statistics = make(rows, 5, of_batch=of_batch, dtype=torch.float64)
    leaves = (x.requires_grad_(), alpha.requires_grad_())
    assert torch.autograd.gradcheck(lambda *some: recops.dice(*some, *statistics)[0], leaves)


@pytest.mark.numerics
@either
def test_a_gradient_of_either_result(of_batch: bool) -> None:
    x, alpha, *statistics = make(of_batch=of_batch)
    *_, grad_x, grad_alpha = results([x, alpha, *statistics])
    weight = torch.randn(
        x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).float()
    for leaf, expected in ((x, grad_x), (alpha, grad_alpha)):
        leaf.requires_grad_()
        out, _, _ = recops.dice(x, alpha, *statistics)
        assert torch.equal(torch.autograd.grad(out, leaf, weight)[0], expected)
        leaf.requires_grad_(False)


def test_provided_statistics_are_returned_without_gradient() -> None:
    x, alpha, mean, var = make(of_batch=False, dtype=torch.bfloat16)
    leaves = [each.requires_grad_() for each in (x, mean, var)]
    out, mean_out, var_out = recops.dice(x, alpha, mean, var)
    assert mean_out is mean
    assert var_out is var
    grads = torch.autograd.grad(out.sum(), leaves, allow_unused=True)
    assert [grad is None for grad in grads] == [False, True, True]


def test_statistics_of_the_batch_have_no_gradient() -> None:
    x, alpha = make()
    out, mean, var = recops.dice(x.requires_grad_(), alpha)
    assert out.requires_grad
    assert not mean.requires_grad
    assert not var.requires_grad
    mean += 1  # Statistics of the caller, such as running averages.
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_empty_batch_is_not_standardised(dtype: torch.dtype) -> None:
    out, mean, var = recops.dice(torch.empty(0, 5, dtype=dtype), torch.zeros(5, dtype=dtype))
    assert out.shape == (0, 5)
    assert mean.tolist() == var.tolist() == [0] * 5


def test_a_single_row_has_gate_one_half() -> None:
    x, alpha = make(1)
    out, mean, var = recops.dice(x, alpha)
    assert torch.equal(mean, x[0])
    assert not var.any()
    torch.testing.assert_close(out, x * (1 + alpha) / 2)


def test_an_offset_costs_no_precision() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(5000, 40, generator=random) + 1000
    _, mean, var = recops.dice(x, torch.zeros(40))
    torch.testing.assert_close(mean.double(), x.double().mean(0), rtol=1e-7, atol=0)
    correct = x.double().var(0, correction=0)
    torch.testing.assert_close(var.double(), correct, rtol=1e-5, atol=0)


def test_a_constant_column_has_a_half_and_finite_gradients() -> None:
    x, alpha = make(300)
    x[:, 3] = 0.1
    out, _, var, grad_x, _ = results([x, alpha])
    assert 0 <= var[3] < 1e-12
    torch.testing.assert_close(out[:, 3], x[:, 3] * (1 + alpha[3]) / 2, rtol=1e-3, atol=0)
    assert grad_x.isfinite().all()


@either
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_affects_only_its_column(value, dtype, of_batch) -> None:
    operands = make(20, 40, of_batch=of_batch, dtype=dtype)
    expected = results(operands)
    operands[0] = operands[0].index_put(
        (torch.tensor(7), torch.tensor(5)), torch.tensor(value, dtype=dtype)
    )
    outputs = results(operands)
    others = torch.arange(40) != 5
    for actual, correct in zip(outputs, expected, strict=True):
        assert torch.equal(actual[..., others], correct[..., others])
    if of_batch or value != value:
        assert outputs[0][7, 5].isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_values_saturate(dtype: torch.dtype) -> None:
    x = torch.tensor([[1e4], [-1e4]], dtype=dtype)
    alpha, mean, var = (torch.full((1,), each, dtype=dtype) for each in (0.25, 0.0, 1e-4))
    out, _, _ = recops.dice(x, alpha, mean, var)
    torch.testing.assert_close(out, torch.tensor([[1e4], [-2500]], dtype=dtype))


def test_eps_is_exact_with_half_precision() -> None:
    """float16 cannot hold 1e-8. With var 0, p at the mean must still be ½ and not 0 / 0."""
    x, zero = torch.full((1, 1), -2.0, dtype=torch.float16), torch.zeros(1, dtype=torch.float16)
    for form in (recops.dice, reference.dice):
        out, _, _ = form(x, zero, x[0], zero)
        assert out.item() == -1.0
