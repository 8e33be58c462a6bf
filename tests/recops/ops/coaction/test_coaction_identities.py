"""Identities of co-action: closed forms, symmetries and additivity."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from coaction_inputs import CAN, make_call

pytestmark = pytest.mark.composites

CLOSE: dict[str, float] = {"rtol": 1e-12, "atol": 1e-12}


def run(call: Any, **changes: Any) -> Tensor:
    return recops.coaction(*call.arguments, **{**call.options, **changes}).detach()


def test_the_last_layer_is_linear_in_the_pooled_hidden_layer() -> None:
    call = make_call(30, 9, orders=3, dtype=torch.float64)
    output = run(call).unflatten(1, (3, 12))
    hidden, last = output[:, :, :8], output[:, :, 8:]
    weight = call.params.detach()[:, 128:].unflatten(1, (8, 4))
    torch.testing.assert_close(torch.einsum("bci,bio->bco", hidden, weight), last, **CLOSE)


def test_the_last_bias_counts_once_per_event() -> None:
    call = make_call(30, 9, orders=2, bias=True, dtype=torch.float64)
    output = run(call).unflatten(1, (2, 12))
    row = call.params.detach()
    weight, bias = row[:, 136:168].unflatten(1, (8, 4)), row[:, 168:]
    expected = torch.einsum("bci,bio->bco", output[:, :, :8], weight)
    expected = expected + call.options["lengths"][:, None, None] * bias[:, None]
    torch.testing.assert_close(output[:, :, 8:], expected, **CLOSE)


def test_one_linear_layer_is_a_bilinear_form() -> None:
    """(Σ_t p_t) W is a second-order term of a factorization machine, with one W per candidate."""
    call = make_call(30, 9, (16, 4), dtype=torch.float64, ragged=False)
    feed, weight = call.feed.detach(), call.params.detach().unflatten(1, (16, 4))
    torch.testing.assert_close(run(call), (feed.sum(1)[:, None] @ weight)[:, 0], **CLOSE)


@pytest.mark.parametrize("orders", [1, 3])
def test_without_activation_layers_multiply(orders: int) -> None:
    call = make_call(20, 6, orders=orders, dtype=torch.float64, activation="none")
    both = call.params.detach()
    product = both[:, :128].unflatten(1, (16, 8)) @ both[:, 128:].unflatten(1, (8, 4))
    single = recops.coaction(
        call.feed.detach(), product.flatten(1), (16, 4), **call.options, concat_hidden=False
    )
    torch.testing.assert_close(run(call, concat_hidden=False), single, **CLOSE)


def test_the_order_of_events_does_not_matter() -> None:
    call = make_call(30, 9, orders=3, dtype=torch.float64, ragged=False)
    expected = run(call)
    call.feed = call.feed.detach()[:, torch.randperm(9)]
    torch.testing.assert_close(run(call), expected, **CLOSE)


def test_the_order_of_candidates_does_not_matter() -> None:
    call = make_call(7, 9, candidates=60, orders=3)
    expected = run(call)
    order = torch.randperm(60)
    call.params = call.params.detach()[order]
    index = call.options["feed_index"][order]
    assert torch.equal(run(call, feed_index=index), expected[order])


def test_shared_users_equal_repeated_users() -> None:
    call = make_call(7, 21, candidates=100, orders=3, dtype=torch.float64)
    output = recops.coaction(*call.arguments, **call.options)
    weight = torch.randn_like(output)
    feed, params = torch.autograd.grad(output, (call.feed, call.params), weight)
    index = call.options["feed_index"]
    expanded = call.feed.detach()[index].requires_grad_()
    lengths = call.options["lengths"][index]
    other = recops.coaction(expanded, call.params, CAN, orders=3, lengths=lengths)
    torch.testing.assert_close(output, other, **CLOSE)
    one, two = torch.autograd.grad(other, (expanded, call.params), weight)
    torch.testing.assert_close(feed, torch.zeros_like(feed).index_add(0, index, one), **CLOSE)
    torch.testing.assert_close(params, two, **CLOSE)


def test_results_of_new_events_add_to_the_old_result() -> None:
    call = make_call(40, 12, orders=3, bias=True, dtype=torch.float64, ragged=False)
    feed, params, dims = (x.detach() if isinstance(x, Tensor) else x for x in call.arguments)
    options: dict[str, Any] = {"orders": 3, "bias": True}
    total = recops.coaction(feed, params, dims, **options)
    old = recops.coaction(feed[:, :7], params, dims, **options)
    new = recops.coaction(feed[:, 7:], params, dims, **options)
    torch.testing.assert_close(old + new, total, **CLOSE)


def test_the_mean_is_the_sum_divided_by_the_length() -> None:
    call = make_call(40, 12, orders=2, dtype=torch.float64)
    lengths = call.options["lengths"]
    lengths[3] = 0
    mean = run(call, pool="mean")
    assert mean[3].eq(0).all()
    torch.testing.assert_close(mean * lengths[:, None], run(call), **CLOSE)


def test_independent_orders_equal_separate_calls() -> None:
    call = make_call(10, 8, orders=3, order_independent=True, bias=True, dtype=torch.float64)
    output = run(call).chunk(3, 1)
    for order, params in enumerate(call.params.detach().chunk(3, 1), 1):
        power = call.feed.detach() ** order
        lengths = call.options["lengths"]
        expected = recops.coaction(power, params, CAN, bias=True, lengths=lengths)
        torch.testing.assert_close(output[order - 1], expected, **CLOSE)


def test_a_constant_one_in_the_feed_is_a_bias() -> None:
    """1^c is 1, and 0 at padding. The production op of the paper implements its bias this way."""
    call = make_call(20, 9, (4, 5), orders=2, bias=True, activate_last=True, dtype=torch.float64)
    ones = torch.cat([call.feed.detach(), torch.ones(20, 9, 1, dtype=torch.float64)], 2)
    other = recops.coaction(
        ones,
        call.params.detach(),
        (5, 5),
        orders=2,
        activate_last=True,
        lengths=call.options["lengths"],
    )
    torch.testing.assert_close(run(call), other, **CLOSE)
