"""Co-action: its reference, forward and backward, over every kind of network; errors; machinery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from coaction_inputs import CAN, DTYPES, Call, calls, make_call, networks, params_width
from instruction_sets import results_at_each
from recops import reference
from tolerances import AGREEMENT


def run(call: Call, function: Callable[..., Tensor] = recops.coaction) -> Tensor:
    return function(*call.arguments, **call.options)


def gradients(output: Tensor, call: Call, weight: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output, (call.feed, call.params), weight.to(output.dtype))


def assert_agrees(actual: Tensor, expected: Tensor) -> None:
    """Up to rounding, of the scale of all values: sums of thousands cancel in some places."""
    size = expected.abs().max().item() if expected.numel() else 0.0
    tolerance = AGREEMENT[actual.dtype]
    torch.testing.assert_close(
        actual,
        expected.to(actual.dtype),
        rtol=tolerance["rtol"],
        atol=tolerance["atol"] * max(1.0, size),
    )


@settings(max_examples=150)
@given(call=calls())
def test_agrees_with_the_reference(call: Call) -> None:
    twin = call.twin()
    output, expected = run(call), run(twin, reference.coaction)
    assert output.dtype == call.feed.dtype
    assert_agrees(output, expected)
    weight = torch.randn(output.shape).to(output.dtype)
    found, due = gradients(output, call, weight), gradients(expected, twin, weight)
    for actual, other in zip(found, due, strict=True):
        assert_agrees(actual, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("candidates", [None, 300])
def test_the_released_network(dtype: torch.dtype, candidates: int | None) -> None:
    call = make_call(130, 50, CAN, candidates=candidates, dtype=dtype, orders=3)
    twin = call.twin()
    output, expected = run(call), run(twin, reference.coaction)
    assert_agrees(output, expected)
    weight = torch.randn(output.shape).to(dtype)
    found, due = gradients(output, call, weight), gradients(expected, twin, weight)
    for actual, other in zip(found, due, strict=True):
        assert_agrees(actual, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_may_be_float32_beside_16_bits(dtype: torch.dtype) -> None:
    call = make_call(20, 9, dtype=dtype, params_dtype=torch.float32, orders=2)
    output = run(call)
    assert output.dtype == dtype
    assert_agrees(output, run(call.twin(), reference.coaction))
    feed, params = gradients(output, call, torch.ones_like(output))
    assert (feed.dtype, params.dtype) == (dtype, torch.float32)


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
    # Beside relu's and selu's kinks, that is.
    check = torch.autograd.gradcheck
    assert check(
        lambda feed, params: recops.coaction(feed, params, call.dims, **call.options),
        (call.feed, call.params),
        eps=1e-7,
        atol=1e-5,
    )


def test_small_powers_keep_their_digits() -> None:
    """Embeddings begin at 0.01: their third power is 1e-6, and not to be lost in a tanh."""
    call = make_call(9, 12, orders=3, ragged=False)
    call.feed.data *= 0.01
    twin = call.twin()
    output, expected = run(call), run(twin, reference.coaction)
    torch.testing.assert_close(output, expected.float(), rtol=1e-4, atol=1e-10)
    weight = torch.zeros_like(output)
    weight[:, 24:] = 1  # of the third order
    found, due = gradients(output, call, weight), gradients(expected, twin, weight)
    for actual, other in zip(found, due, strict=True):
        torch.testing.assert_close(actual, other.float(), rtol=2e-4, atol=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "selu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_activations_are_accurate_everywhere(activation: str, dtype: torch.dtype) -> None:
    x = torch.cat([torch.logspace(-30, 2, 4000), -torch.logspace(-30, 2, 4000), torch.zeros(1)])
    feed, params = x.to(dtype)[:, None, None], torch.ones(len(x), 1, dtype=dtype)
    options: dict[str, Any] = {"activation": activation, "activate_last": True}
    actual = recops.coaction(feed, params, (1, 1), **options)
    expected = reference.coaction(feed.double(), params.double(), (1, 1), **options)
    torch.testing.assert_close(actual.double(), expected, rtol=6e-7, atol=1e-38)


def test_infinities_and_nan_stay_with_their_candidate() -> None:
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


def test_what_lies_past_the_lengths_is_never_read() -> None:
    call = make_call(50, 20, orders=3, bias=True)
    expected = run(call)
    weight = torch.randn_like(expected)
    due = gradients(expected, call, weight)
    past = torch.arange(20) >= call.options["lengths"][:, None]
    with torch.no_grad():
        call.feed[past] = torch.nan
    output = run(call)
    assert torch.equal(output, expected)
    found = gradients(output, call, weight)
    assert torch.equal(found[0], due[0])
    assert torch.equal(found[1], due[1])
    assert found[0][past].eq(0).all()


# ---- The same bits, and torch's own machinery.


@pytest.mark.parametrize("candidates", [None, 700])
def test_results_do_not_depend_on_the_number_of_threads(
    candidates: int | None, set_threads: Callable[[int], None]
) -> None:
    call = make_call(300 if candidates is None else 3, 90, candidates=candidates, orders=3)

    def everything() -> tuple[Tensor, ...]:
        output = run(call)
        return output, *gradients(output, call, torch.ones_like(output))

    set_threads(1)
    expected = everything()
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, one_thread in zip(everything(), expected, strict=True):
            assert torch.equal(actual, one_thread)


ON_THIS_ISA = """
import sys
import torch
import recops

results = []
for feed, params, dims, options in torch.load(sys.argv[1]):
    output = recops.coaction(feed, params, dims, **options)
    grads = torch.autograd.grad(output.sum(), (feed, params))
    results += [output.detach(), *grads]
torch.save(results, sys.argv[2])
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    made = [
        make_call(40, 13, orders=3),
        make_call(2, 13, (5, 3, 6), candidates=50, orders=2, bias=True, activation="selu"),
        make_call(3, 30, (4, 4, 4), dtype=torch.bfloat16, orders=2, bias=True),
        make_call(9, 5, (7, 3), dtype=torch.float64, activation="none"),
    ]
    inputs = [(*call.arguments, call.options) for call in made]
    results = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            assert_agrees(actual, expected.double())


def op_arguments(call: Call) -> tuple[Any, ...]:
    options = call.options
    return (
        *call.arguments[:2],
        list(call.dims),
        options["orders"],
        options.get("lengths"),
        options.get("feed_index"),
        options.get("bias", False),
        options.get("activation", "tanh"),
        False,
        True,
        "sum",
        False,
    )


def test_opcheck() -> None:
    call = make_call(4, 5, (3, 4, 2), candidates=9, orders=2, bias=True)
    arguments = op_arguments(call)
    torch.library.opcheck(torch.ops.recops.coaction.default, arguments)
    plain = tuple(a.detach() if isinstance(a, Tensor) else a for a in arguments)
    grad = torch.randn(9, 2 * 6)
    torch.library.opcheck(torch.ops.recops.coaction_backward.default, (grad, *plain))


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiles_into_one_graph_of_dynamic_shape() -> None:
    def function(feed: Tensor, params: Tensor, lengths: Tensor, index: Tensor) -> Tensor:
        return recops.coaction(feed, params, CAN, orders=3, lengths=lengths, feed_index=index)

    compiled = torch.compile(function, fullgraph=True, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for users, time, candidates in [(5, 7, 11), (9, 4, 30), (17, 20, 6)]:
        call = make_call(users, time, candidates=candidates)
        arguments = (call.feed, call.params, *call.options.values())
        actual, expected = compiled(*arguments), function(*arguments)
        assert torch.equal(actual, expected)
        weight = torch.randn_like(actual)
        for one, other in zip(
            gradients(actual, call, weight), gradients(expected, call, weight), strict=True
        ):
            assert torch.equal(one, other)
    assert graphs["unique_graphs"] == 1


def test_exports() -> None:
    class Unit(torch.nn.Module):
        def forward(self, feed: Tensor, params: Tensor, lengths: Tensor) -> Tensor:
            return recops.coaction(feed, params, CAN, orders=3, lengths=lengths)

    size, time = torch.export.Dim("size", min=2), torch.export.Dim("time", min=2)
    call = make_call(12, 6)
    shapes = {"feed": {0: size, 1: time}, "params": {0: size}, "lengths": {0: size}}
    arguments = (call.feed.detach(), call.params.detach(), call.options["lengths"])
    program = torch.export.export(Unit(), arguments, dynamic_shapes=shapes)
    call = make_call(31, 9)
    arguments = (call.feed.detach(), call.params.detach(), call.options["lengths"])
    assert torch.equal(program.module()(*arguments), Unit()(*arguments))


def test_autocast_computes_in_float32() -> None:
    call = make_call(9, 5, orders=3)
    expected = run(call)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(call), expected)


# ---- Errors.

FEED, PARAMS = torch.randn(3, 5, 16), torch.randn(3, 160)
INDEX = torch.tensor([0, 1, 2])


def fails(*changed: object, **options: object) -> Callable[[], object]:
    arguments = (*changed, *(FEED, PARAMS, CAN)[len(changed) :])
    return lambda: recops.coaction(*arguments, **options)  # type: ignore[arg-type]


ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (fails(FEED.tolist()), TypeError, "feed must be a tensor, got list"),
    (fails(FEED.int()), TypeError, "feed must be one of float32"),
    (fails(FEED[0]), ValueError, "feed must have 3 dimensions"),
    (fails(FEED[:, :, :15]), ValueError, r"feed must have 16 columns, dims\[0\], got 15"),
    (fails(FEED, PARAMS.double()), TypeError, "params must be one of float32, got float6"),
    (fails(FEED, PARAMS[:, 1:]), ValueError, r"params must have 160 columns .*got 159"),
    (fails(FEED, PARAMS, CAN, bias=True), ValueError, "params must have 172 columns"),
    (
        fails(FEED, PARAMS, CAN, orders=3, order_independent=True),
        ValueError,
        "params must have 480 columns",
    ),
    (fails(FEED, PARAMS[:2]), ValueError, "without feed_index, params must have .*3 users, got 2"),
    (fails(FEED, PARAMS.to("meta")), ValueError, "params must be on cpu, got meta"),
    (fails(FEED, PARAMS, (16,)), ValueError, r"dims must name .* got \(16,\)"),
    (fails(FEED, PARAMS, (16, 0, 4)), ValueError, r"dims\[1\] must be from 1 to 2147483647, got 0"),
    (fails(orders=0), ValueError, "orders must be from 1 to 1024, got 0"),
    (fails(activation="gelu"), ValueError, "activation must be .tanh., .*got .gelu."),
    (fails(pool="max"), ValueError, "pool must be .sum. or .mean., got .max."),
    (fails(lengths=torch.ones(3)), TypeError, "lengths must be one of int32, int64"),
    (fails(lengths=INDEX[:2]), ValueError, "lengths must have 3 entries, one a user, got 2"),
    (
        fails(lengths=torch.tensor([1, 6, 7])),
        ValueError,
        r"lengths must be from 0 to 5, got lengths\[1\] = 6",
    ),
    (
        fails(lengths=torch.tensor([1, 5, -1])),
        ValueError,
        r"lengths must be .*lengths\[2\] = -1",
    ),
    (fails(feed_index=INDEX[:2]), ValueError, "feed_index must have 3 entries"),
    (fails(feed_index=INDEX + 1), IndexError, r"feed_index must be .*feed_index\[2\] = 3"),
    (fails(feed_index=-INDEX), IndexError, r"feed_index must be .*feed_index\[1\] = -1"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^coaction: {message}"):
        call()


def test_params_width_is_what_the_errors_say() -> None:
    assert params_width(CAN) == 160
    assert params_width((4,) * 9, bias=True) == 160
