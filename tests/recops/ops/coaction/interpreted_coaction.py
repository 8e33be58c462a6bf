"""Triton kernels of co-action, run by Triton's interpreter.

test_coaction_triton.py runs this file in a separate process, because the interpreter is chosen when
Triton is imported. The interpreter runs programs one after another, so it shows no races.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

from coaction_inputs import CAN, Call, assert_agrees, make_call, params_width
from interpreted import HostReads
from recops import reference
from recops.ops.coaction import composite
from recops.ops.coaction import triton as kernels
from recops.ops.coaction.triton import launch as forward_launch
from recops.ops.coaction.triton.gradients import candidate_gradients
from recops.ops.coaction.triton.kernels.layers import activate
from recops.ops.coaction.triton.launch import NetInputs, forward
from recops.ops.coaction.triton.net import (
    LEAST_WIDTH,
    MOST_ORDERS,
    MOST_WIDTH,
    fits,
    make_net,
)
from recops.ops.coaction.triton.table import BACKWARD, FORWARD, MOST_SETS, EventTiles, select
from recops.state.coaction import CoactionOptions

DTYPES = [torch.float32, torch.bfloat16, torch.float16]

NETWORKS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "released": (CAN, {"orders": 3}),
    "biases and a mean": (CAN, {"orders": 2, "bias": True, "pool": "mean"}),
    "last layer active": ((5, 3, 2), {"bias": True, "activate_last": True}),
    "last layer only": ((5, 3, 2), {"orders": 2, "concat_hidden": False}),
    "three layers of selu": ((4, 6, 3, 2), {"activation": "selu", "bias": True}),
    "relu in sets": ((4, 3, 2), {"activation": "relu", "orders": 2, "order_independent": True}),
    "sets with biases": (
        (3, 4, 2, 1),
        {"orders": 2, "order_independent": True, "bias": True, "activate_last": True},
    ),
    "linear": ((6, 5, 3), {"activation": "none", "orders": 3, "bias": True}),
    "one feature": ((1, 1), {"orders": 2}),
    "wide": ((20, 30, 7), {"orders": 2}),
}


def inputs_of(call: Call) -> NetInputs:
    return NetInputs(
        call.feed.detach(), call.params.detach(), call.dims, CoactionOptions(**call.options)
    )


def random_grad(inputs: NetInputs) -> Tensor:
    width = inputs.options.output_width(inputs.dims)
    return torch.randn(inputs.candidates, width).to(inputs.feed.dtype)


def assert_call(call: Call) -> None:
    """Check the results and both gradients of a call against float64."""
    twin, inputs = call.twin(), inputs_of(call)
    output = kernels.coaction(inputs.feed, inputs.params, call.dims, *inputs.options)
    expected = reference.coaction(*twin.arguments, **twin.options)
    assert_agrees(output, expected)
    assert output.dtype == call.feed.dtype
    grad = random_grad(inputs)
    grads = kernels.coaction_backward(grad, inputs.feed, inputs.params, call.dims, *inputs.options)
    correct = torch.autograd.grad(expected, (twin.feed, twin.params), grad.double())
    for actual, other, operand in zip(grads, correct, (call.feed, call.params), strict=True):
        assert_agrees(actual, other)
        assert (actual.dtype, actual.shape) == (operand.dtype, operand.shape)


@pytest.mark.parametrize("candidates", [None, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_agree_with_the_reference(network: str, candidates: int | None) -> None:
    dims, options = NETWORKS[network]
    assert_call(make_call(2, 7, dims, candidates=candidates, **options))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("index", [torch.int32, torch.int64], ids=str)
def test_dtypes(dtype: torch.dtype, index: torch.dtype) -> None:
    assert_call(make_call(2, 5, (4, 3, 2), candidates=3, dtype=dtype, index=index, orders=2))


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_16_bit_feeds_with_parameters_of_32(dtype: torch.dtype) -> None:
    assert_call(make_call(2, 5, (4, 3), dtype=dtype, params_dtype=torch.float32, orders=2))


@pytest.mark.parametrize("layout", ["transposed", "backwards"])
def test_strided_inputs(layout: str) -> None:
    assert_call(make_call(3, 5, (4, 3), layout=layout, orders=2))


@pytest.mark.parametrize("time", [0, 1])
def test_histories_of_no_event_and_of_one(time: int) -> None:
    assert_call(make_call(3, time, (4, 3), ragged=False, bias=True, pool="mean"))


DIMS_OF = {32: (3, 12, 2), 64: (20, 12, 2)}


def call_for(launch: EventTiles) -> Call:
    """Return a call that fills a launch configuration, with several tiles of events."""
    time = 2 * launch.block_time + 3
    call = make_call(2, time, DIMS_OF[launch.values], ragged=False, orders=2)
    call.options["lengths"] = torch.tensor([time, time - 1])
    return call


@pytest.mark.parametrize("launch", FORWARD, ids=str)
def test_every_configuration_of_the_forward_pass(launch: EventTiles) -> None:
    call = call_for(launch)
    inputs = inputs_of(call)
    net = make_net(call.dims, inputs.options, backward=False)
    assert select(FORWARD, net.values, net.SETS) == launch
    out = torch.empty(2, 2 * sum(call.dims[1:]))
    forward(inputs, out, launch)
    assert_agrees(out, reference.coaction(*call.twin().arguments, **call.options))


@pytest.mark.parametrize("launch", BACKWARD, ids=str)
def test_every_configuration_of_the_backward_pass(launch: EventTiles) -> None:
    call = call_for(launch)
    inputs, twin = inputs_of(call), call.twin()
    net = make_net(call.dims, inputs.options, backward=True)
    assert select(BACKWARD, net.values, net.SETS) == launch
    grad = random_grad(inputs)
    grads = candidate_gradients(inputs, grad, torch.float32, torch.float32, launch)
    output = reference.coaction(*twin.arguments, **twin.options)
    correct = torch.autograd.grad(output, (twin.feed, twin.params), grad.double())
    for actual, other in zip(grads, correct, strict=True):
        assert_agrees(actual, other)


def test_results_repeat() -> None:
    inputs = inputs_of(make_call(2, 20, CAN, candidates=3, orders=2))
    arguments = (inputs.feed, inputs.params, CAN, *inputs.options)
    assert torch.equal(kernels.coaction(*arguments), kernels.coaction(*arguments))
    grad = random_grad(inputs)
    for one, other in zip(
        kernels.coaction_backward(grad, *arguments),
        kernels.coaction_backward(grad, *arguments),
        strict=True,
    ):
        assert torch.equal(one, other)


# ---- Activations.


@triton.jit
def _activate_values(x_ptr, out_ptr, ACTIVATION: tl.constexpr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(out_ptr + at, activate(tl.load(x_ptr + at), ACTIVATION))


@pytest.mark.parametrize("activation", ["tanh", "selu"])
def test_activations_are_accurate_everywhere(activation: str) -> None:
    x = torch.cat([torch.logspace(-30, 2, 2047), -torch.logspace(-30, 2, 2048), torch.zeros(1)])
    actual = torch.empty_like(x)
    _activate_values[(1,)](x, actual, activation, len(x))
    expected = getattr(torch.nn.functional, activation)(x.double())
    torch.testing.assert_close(actual.double(), expected, rtol=6e-7, atol=1e-38)


def test_small_powers_keep_their_digits() -> None:
    call = make_call(2, 6, orders=3, ragged=False)
    call.feed.data *= 0.01
    inputs = inputs_of(call)
    actual = kernels.coaction(inputs.feed, inputs.params, CAN, *inputs.options)
    expected = reference.coaction(*call.twin().arguments, **call.options)
    torch.testing.assert_close(actual, expected.float(), rtol=1e-4, atol=1e-10)


# ---- Values that are not finite, and indices out of range.


def test_an_infinite_value_does_not_meet_padding() -> None:
    """Infinity times a padded weight would be NaN."""
    call = make_call(1, 3, (3, 3, 2), ragged=False, activation="relu")
    with torch.no_grad():
        call.feed.abs_()
        call.params.abs_()
        call.feed[0, 1, 2] = torch.inf
    inputs = inputs_of(call)
    output = kernels.coaction(inputs.feed, inputs.params, call.dims, *inputs.options)
    assert output.isposinf().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("activation", ["tanh", "relu", "selu"])
def test_values_that_are_not_finite_stay_with_their_candidate(activation: str, bad: float) -> None:
    options: dict[str, Any] = {"orders": 2, "activation": activation, "bias": True}
    call = make_call(4, 5, (4, 3, 2), ragged=False, **options)
    call.options["lengths"] = torch.tensor([5, 3, 0, 5])
    with torch.no_grad():
        call.feed[0, 2, 1] = torch.nan
        call.feed[1, 3:] = bad  # past the length
        call.params[2] = bad  # of an empty history
        call.params[1, -1] = bad
    inputs = inputs_of(call)
    actual = kernels.coaction(inputs.feed, inputs.params, call.dims, *inputs.options)
    expected = reference.coaction(inputs.feed, inputs.params, call.dims, **call.options)
    torch.testing.assert_close(actual, expected, equal_nan=True, rtol=1e-4, atol=1e-4)
    assert actual[0].isnan().any()
    assert actual[2:].isfinite().all()


def make_tables(
    dtype: torch.dtype = torch.float32, *, candidates: int | None = None, **options: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments and options of a gather; ids past the lengths are invalid."""
    dims, users, time = (4, 3, 2), 4, 6
    sets = options.get("orders", 1) if options.get("order_independent") else 1
    width = params_width(dims, bias=options.get("bias", False), sets=sets)
    feed_table, params_table = torch.randn(7, 4).to(dtype), (torch.randn(3, width) / 2).to(dtype)
    lengths = torch.tensor([6, 0, 3, 5])
    history = torch.randint(0, 7, (users, time))
    history[torch.arange(time) >= lengths[:, None]] = -7
    targets = torch.randint(0, 3, (candidates or users,))
    if candidates:
        options["feed_index"] = torch.randint(0, users, (candidates,))
    return (feed_table, history, params_table, targets, dims), {**options, "lengths": lengths}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("candidates", [None, 7])
def test_rows_of_tables(candidates: int | None, dtype: torch.dtype) -> None:
    arguments, options = make_tables(dtype, candidates=candidates, orders=2, bias=True)
    feed_table, history, params_table, targets, dims = arguments
    settings = CoactionOptions(**options)
    wide = [table.double().requires_grad_() for table in (feed_table, params_table)]
    output = kernels.coaction_gather(*arguments, False, *settings)
    expected = reference.coaction_gather(wide[0], history, wide[1], targets, dims, **options)
    assert_agrees(output, expected)
    grad = torch.randn(output.shape).to(dtype)
    correct = torch.autograd.grad(expected, wide, grad.double())
    dense = kernels.coaction_gather_backward(grad, *arguments, *settings)
    for actual, other in zip(dense, correct, strict=True):
        assert_agrees(actual, other)
        assert actual.dtype == dtype
    feed_ids, of_feed, params_ids, of_params = kernels.coaction_gather_backward_sparse(
        grad, *arguments, *settings
    )
    users = options.get("feed_index", torch.arange(4))
    assert torch.equal(feed_ids, history[users][history[users] >= 0].unique())
    assert torch.equal(params_ids, targets.unique())
    assert torch.equal(of_feed, dense[0][feed_ids])
    assert torch.equal(of_params, dense[1][params_ids])


def test_indices_out_of_range_give_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where data is checked, the errors are those of the CPU."""
    arguments, options = make_tables(candidates=10)
    feed_table, history, params_table, targets, dims = arguments
    users = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 1, 2])
    settings = CoactionOptions(lengths=options["lengths"], feed_index=users)
    expected = kernels.coaction_gather(*arguments, False, *settings)
    assert expected.isfinite().all()
    history, targets, lengths = history.clone(), targets.clone(), options["lengths"].clone()
    history[0, 5], targets[1], targets[2], lengths[3] = 7, 3, -1, 7
    users = users.clone()
    users[5:7] = torch.tensor([4, -1])
    settings = CoactionOptions(lengths=lengths, feed_index=users)
    wrong = (feed_table, history, params_table, targets, dims)
    with pytest.raises(IndexError, match="coaction_gather: targets must be from 0 to 2"):
        kernels.coaction_gather(*wrong, False, *settings)
    monkeypatch.setattr(composite, "checks_data", lambda tensor: False)
    monkeypatch.setattr("recops.ops._composite.checks_data", lambda tensor: False)
    output = kernels.coaction_gather(*wrong, False, *settings)
    assert output[:8].isnan().all()
    assert torch.equal(output[8:], expected[8:])
    inputs = NetInputs(feed_table, params_table, dims, settings, history, targets)
    grad = torch.ones_like(output)
    _, of_params = candidate_gradients(inputs, grad, torch.float32, torch.float32)
    assert of_params[[1, 2, 3, 5, 6, 7]].isnan().all()
    assert of_params[8:].isfinite().all()
    of_feed, _ = kernels.coaction_gather_backward(grad, *wrong, *settings)
    assert of_feed.shape == feed_table.shape


# ---- Several pairs, limits and waiting.


def test_several_pairs_in_one_call() -> None:
    options = CoactionOptions(orders=2, lengths=torch.tensor([3, 0, 2]))
    feeds = [torch.randn(3, 3, 4), torch.randn(3, 3, 2)]
    params = [torch.randn(3, 18), torch.randn(3, 6)]
    sizes, depths = [4, 3, 2, 2, 3], [3, 2]
    leaves = [tensor.double().requires_grad_() for tensor in (*feeds, *params)]
    pairs = [(leaves[0], leaves[2], (4, 3, 2)), (leaves[1], leaves[3], (2, 3))]
    expected = torch.cat(reference.coaction_multi(pairs, **options._asdict()), 1)
    output = kernels.coaction_multi(feeds, params, sizes, depths, *options)
    assert_agrees(output, expected)
    grad = torch.randn_like(output)
    grads = kernels.coaction_multi_backward(grad, feeds, params, sizes, depths, *options)
    for actual, other in zip(
        grads, torch.autograd.grad(expected, leaves, grad.double()), strict=True
    ):
        assert_agrees(actual, other)


def test_sizes_beyond_the_limits_use_the_composite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_launch, "forward", lambda *_: pytest.fail("used the kernel"))
    beyond = [
        make_call(2, 3, (MOST_WIDTH + 1, 2)),
        make_call(2, 3, (2, 2), orders=MOST_ORDERS + 1),
        make_call(2, 3, (2, 2), orders=MOST_SETS + 1, order_independent=True),
        make_call(2, 3, (32, 32, 32, 32), activate_last=True),
        make_call(2, 3, (1,) * 10),
        make_call(2, 3, (2, 2), dtype=torch.float64),
        make_call(2, 3, (2, 2), candidates=0),
    ]
    for call in beyond:
        inputs = inputs_of(call)
        assert not inputs.fit()
        output = kernels.coaction(inputs.feed, inputs.params, call.dims, *inputs.options)
        assert_agrees(output, reference.coaction(*call.twin().arguments, **call.options))
        grad = random_grad(inputs)
        grads = kernels.coaction_backward(
            grad, inputs.feed, inputs.params, call.dims, *inputs.options
        )
        assert [value.shape for value in grads] == [inputs.feed.shape, inputs.params.shape]
    assert fits((MOST_WIDTH, 2), CoactionOptions(orders=MOST_ORDERS))


def test_wrong_shapes_are_refused() -> None:
    inputs = inputs_of(make_call(2, 3, (4, 2)))
    with pytest.raises(ValueError, match=r"coaction: params must be \[2, 8\], got \[2, 7\]"):
        kernels.coaction(inputs.feed, inputs.params[:, 1:], (4, 2), *inputs.options)
    with pytest.raises(ValueError, match=r"coaction_backward: grad must be \[2, 2\], got \[2, 3\]"):
        kernels.coaction_backward(
            torch.zeros(2, 3), inputs.feed, inputs.params, (4, 2), *inputs.options
        )


def test_a_call_does_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composite, "checks_data", lambda tensor: False)
    monkeypatch.setattr("recops.ops._composite.checks_data", lambda tensor: False)
    inputs = inputs_of(make_call(2, 3, (4, 2), candidates=3))
    arguments, options = make_tables(candidates=5)
    settings = CoactionOptions(**options)
    grad = torch.randn(5, 5)
    with HostReads(monkeypatch) as reads:
        output = kernels.coaction(inputs.feed, inputs.params, (4, 2), *inputs.options)
        kernels.coaction_backward(output, inputs.feed, inputs.params, (4, 2), *inputs.options)
        kernels.coaction_gather(*arguments, False, *settings)
        kernels.coaction_gather_backward(grad, *arguments, *settings)
        assert reads.names == []
        kernels.coaction_gather_backward_sparse(grad, *arguments, *settings)
    assert reads.names != []


def test_constants_describe_the_rows() -> None:
    """Widths, columns and positions of a network, as csrc/coaction/net.h draws them."""
    options = CoactionOptions(orders=2, bias=True, order_independent=True)
    net = make_net((2, 3, 1), options, backward=False)
    assert (net.WEIGHTS_AT, net.SET_WIDTH, net.SETS) == ((0, 9), 13, 2)
    assert (net.COLUMNS_AT, net.FEATURES, net.INNER) == ((-1, 0, 3), 4, 1)
    assert net.WIDTHS == (LEAST_WIDTH, 4, 1)
    backward = make_net((2, 3, 1), options, backward=True)
    assert backward.WIDTHS == (LEAST_WIDTH, LEAST_WIDTH, 1)
    last = make_net((2, 3, 1), options._replace(concat_hidden=False), backward=False)
    assert (last.COLUMNS_AT, last.FEATURES) == ((-1, -1, 0), 1)
