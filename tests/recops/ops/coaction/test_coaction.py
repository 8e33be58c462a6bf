"""Co-action agrees with its reference, forward and backward, for every kind of network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from coaction_inputs import CAN, Call, assert_agrees, calls, gradients, make_call, networks, run
from recops import reference
from tolerances import DTYPES

pytestmark = pytest.mark.composites


def agrees_with_the_reference(
    call: Call,
    weight: Tensor | None = None,
    agree: Callable[[Tensor, Tensor], None] = assert_agrees,
) -> None:
    """Compare with float64, forward and backward, for a random or the given output gradient."""
    twin = call.twin()
    output, expected = run(call), run(twin, reference.coaction)
    assert output.dtype == call.feed.dtype
    agree(output, expected)
    weight = torch.randn(output.shape).to(output.dtype) if weight is None else weight
    grads = gradients(output, call, weight)
    for actual, other in zip(grads, gradients(expected, twin, weight), strict=True):
        agree(actual, other)


@pytest.mark.numerics
@settings(max_examples=150)
@given(call=calls())
def test_agrees_with_the_reference(call: Call) -> None:
    agrees_with_the_reference(call)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("candidates", [None, 300])
def test_the_released_network(dtype: torch.dtype, candidates: int | None) -> None:
    agrees_with_the_reference(make_call(130, 50, CAN, candidates=candidates, dtype=dtype, orders=3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_may_be_float32_with_16_bit_feeds(dtype: torch.dtype) -> None:
    call = make_call(20, 9, dtype=dtype, params_dtype=torch.float32, orders=2)
    agrees_with_the_reference(call)
    output = run(call)
    feed, params = gradients(output, call, torch.ones_like(output))
    assert (feed.dtype, params.dtype) == (dtype, torch.float32)


@pytest.mark.numerics
@settings(max_examples=40)
@given(
    options=networks(),
    dims=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    candidates=st.one_of(st.none(), st.integers(1, 5)),
    seed=st.integers(0, 99),
)
def test_gradcheck(
    options: dict[str, Any], dims: list[int], candidates: int | None, seed: int
) -> None:
    torch.manual_seed(seed)
    call = make_call(3, 4, tuple(dims), candidates=candidates, dtype=torch.float64, **options)
    check = torch.autograd.gradcheck  # a small eps, since relu and selu have kinks
    assert check(
        lambda feed, params: recops.coaction(feed, params, call.dims, **call.options),
        (call.feed, call.params),
        eps=1e-7,
        atol=1e-5,
    )


def test_small_powers_keep_their_digits() -> None:
    """Embeddings start at 0.01. Their third power, 1e-6, must stay accurate in a tanh."""
    call = make_call(9, 12, orders=3, ragged=False)
    call.feed.data *= 0.01

    def agree(actual: Tensor, expected: Tensor) -> None:
        rtol = 2e-4 if actual.is_leaf else 1e-4  # for gradients and for the output
        torch.testing.assert_close(actual, expected.float(), rtol=rtol, atol=1e-10)

    weight = torch.zeros(9, 36)
    weight[:, 24:] = 1  # features of the third order
    agrees_with_the_reference(call, weight, agree)


@pytest.mark.parametrize("activation", ["tanh", "selu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_activations_are_accurate_everywhere(activation: str, dtype: torch.dtype) -> None:
    x = torch.cat([torch.logspace(-30, 2, 4000), -torch.logspace(-30, 2, 4000), torch.zeros(1)])
    feed, params = x.to(dtype)[:, None, None], torch.ones(len(x), 1, dtype=dtype)
    options: dict[str, Any] = {"activation": activation, "activate_last": True}
    actual = recops.coaction(feed, params, (1, 1), **options)
    expected = reference.coaction(feed.double(), params.double(), (1, 1), **options)
    torch.testing.assert_close(actual.double(), expected, rtol=6e-7, atol=1e-38)


def test_infinity_and_nan_affect_only_their_candidate() -> None:
    call = make_call(40, 6, orders=2, ragged=False)
    clean = run(call)
    with torch.no_grad():
        call.feed[3, 2, 5] = torch.nan
        call.params[17, 100] = torch.nan
        call.feed[30, 0, 0] = torch.inf
    output = run(call)
    touched = ~torch.isfinite(output).all(1) | (output != clean).any(1)
    assert touched.nonzero().flatten().tolist() == [3, 17, 30]
    assert output[[3, 17]].isnan().any(1).all()


@pytest.mark.parametrize("activation", ["tanh", "relu", "selu"])
@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
@pytest.mark.parametrize("independent", [False, True])
def test_nonfinite_parameters_do_not_read_padding(
    activation: str, bad: float, independent: bool
) -> None:
    """Neither padding nor other candidates' lengths change the result of such a candidate."""
    feed, lengths = torch.randn(5, 21, 4), torch.tensor([20, 0, 13, 3, 0])
    params = torch.randn(5, 2 * 35 if independent else 35)
    params[1:4] = bad
    options: dict[str, Any] = {"orders": 2, "bias": True, "activation": activation}
    options |= {"activate_last": True, "order_independent": independent}

    def results(rows: slice, time: int) -> list[Tensor]:
        leaves = [t[rows].clone().requires_grad_() for t in (feed[:, :time], params)]
        out = recops.coaction(*leaves, (4, 3, 2, 2, 2), lengths=lengths[rows], **options)
        return [out.detach(), *torch.autograd.grad(out.sum(), leaves)]

    together = results(slice(5), 21)
    assert together[0].isfinite().all(1).tolist()[::4] == [True, True]
    for row in (1, 4):
        assert all(result[row].eq(0).all() for result in together)
    for row, length in ((2, 13), (3, 3)):
        alone = results(slice(row, row + 1), length)
        for one, other in zip(alone, together, strict=True):
            assert torch.equal(one[0].isfinite(), other[row][: len(one[0])].isfinite())


def test_events_past_the_lengths_are_never_read() -> None:
    call = make_call(50, 20, orders=3, bias=True)
    expected = run(call)
    weight = torch.randn_like(expected)
    expected_grads = gradients(expected, call, weight)
    past = torch.arange(20) >= call.options["lengths"][:, None]
    with torch.no_grad():
        call.feed[past] = torch.nan
    output = run(call)
    assert torch.equal(output, expected)
    grads = gradients(output, call, weight)
    assert torch.equal(grads[0], expected_grads[0])
    assert torch.equal(grads[1], expected_grads[1])
    assert grads[0][past].eq(0).all()
