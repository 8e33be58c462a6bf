"""Co-action with opcheck, torch.compile, export and autocast, and its determinism."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from coaction_inputs import CAN, Call, assert_agrees, gradients, make_call, run
from compilation import inductor_in_ci
from instruction_sets import results_at_each

pytestmark = pytest.mark.composites


@pytest.mark.composites(False)
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


@pytest.mark.composites(False)
def test_instruction_sets_agree(tmp_path: Path) -> None:
    calls_at_isa = [
        make_call(40, 13, orders=3),
        make_call(2, 13, (5, 3, 6), candidates=50, orders=2, bias=True, activation="selu"),
        make_call(3, 30, (4, 4, 4), dtype=torch.bfloat16, orders=2, bias=True),
        make_call(9, 5, (7, 3), dtype=torch.float64, activation="none"),
    ]
    inputs = [(*call.arguments, call.options) for call in calls_at_isa]
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


@pytest.mark.composites(False)
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@inductor_in_ci
def test_compiles_into_one_graph_of_dynamic_shape(backend: str) -> None:
    def function(feed: Tensor, params: Tensor, lengths: Tensor, index: Tensor) -> Tensor:
        return recops.coaction(feed, params, CAN, orders=3, lengths=lengths, feed_index=index)

    compiled = torch.compile(function, fullgraph=True, backend=backend, dynamic=True)
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


@pytest.mark.composites(False)
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


def test_autocast_accepts_16_bit_parameters_with_float32_feeds() -> None:
    feed, params = torch.randn(2, 3, 2), torch.randn(2, 4)
    expected = recops.coaction(feed, params.bfloat16().float(), [2, 2])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(recops.coaction(feed, params.bfloat16(), [2, 2]), expected)
    with pytest.raises(TypeError, match="params must be"):
        recops.coaction(feed, params.bfloat16(), [2, 2])


def test_there_is_no_second_derivative() -> None:
    feed, params = torch.randn(2, 3, 2, requires_grad=True), torch.randn(2, 4)
    tables, ids = torch.randn(4, 2, requires_grad=True), torch.tensor([[1, 2, 3]])
    parameters, one = torch.randn(2, 4), torch.tensor([1])
    for out, leaf in (
        (recops.coaction(feed, params, [2, 2]), feed),
        (recops.coaction_gather(tables, ids, parameters, one, [2, 2]), tables),
        (recops.coaction_multi([(feed, params, [2, 2])]), feed),
    ):
        out = out[0] if isinstance(out, list) else out
        (grad,) = torch.autograd.grad(out.square().sum(), leaf, create_graph=True)
        with pytest.raises(NotImplementedError, match="co-action has no second derivative"):
            (grad.square().sum() + leaf.square().sum()).backward()
