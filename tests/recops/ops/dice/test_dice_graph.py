"""Dice with opcheck, torch.compile, export and autocast, and its determinism."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from compilation import every_backend
from dice_inputs import either, make, results
from instruction_sets import results_at_each
from tolerances import AGREEMENT, DTYPES

pytestmark = pytest.mark.composites


@pytest.mark.composites(False)
@either
@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(dtype, of_batch, set_threads) -> None:
    operands = make(900, 1615, of_batch=of_batch, dtype=dtype)
    set_threads(1)
    expected = results(operands)
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, correct in zip(results(operands), expected, strict=True):
            assert torch.equal(actual, correct)


ON_THIS_ISA = """
import sys, torch, recops
found = []
for x, *others in torch.load(sys.argv[1]):
    x.requires_grad_()
    others[0].requires_grad_()
    out, mean, var = recops.dice(x, *others)
    out.square().sum().backward()
    found += [out.detach(), mean, var, x.grad, others[0].grad]
torch.save(found, sys.argv[2])
"""


@pytest.mark.composites(False)
def test_instruction_sets_agree(tmp_path: Path) -> None:
    inputs = [
        make(70, 83, of_batch=of_batch, dtype=dtype)
        for of_batch in (True, False)
        for dtype in (torch.float32, torch.float64)
    ]
    outputs = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in outputs[1:]:
        for actual, expected in zip(result, outputs[0], strict=True):
            close = dict(AGREEMENT[expected.dtype])
            close["atol"] *= max(1.0, expected.abs().max().item())
            torch.testing.assert_close(actual, expected, **close)


@either
def test_there_is_no_second_derivative(of_batch: bool) -> None:
    x, *others = make(of_batch=of_batch)
    x.requires_grad_()
    out, _, _ = recops.dice(x, *others)
    (grad,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="dice has no second derivative"):
        grad.sum().backward()


@either
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(dtype: torch.dtype, of_batch: bool) -> None:
    x, alpha, *statistics = make(of_batch=of_batch, dtype=dtype)
    moments = statistics or [None, None]
    leaves = (x.clone().requires_grad_(), alpha.clone().requires_grad_())
    torch.library.opcheck(torch.ops.recops.dice.default, (*leaves, *moments, 1e-8))
    _, *used = torch.ops.recops.dice(x, alpha, *moments, 1e-8)
    backward = (torch.randn_like(x), x, alpha, *used, 1e-8, of_batch)
    torch.library.opcheck(torch.ops.recops.dice_backward.default, backward)


@pytest.mark.composites(False)
@either
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@every_backend
def test_compiles_into_one_graph_of_dynamic_shape(of_batch: bool, backend: str) -> None:
    compiled = torch.compile(recops.dice, fullgraph=True, backend=backend, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for rows, columns in [(10, 6), (23, 9), (64, 17)]:
        operands = make(rows, columns, of_batch=of_batch)
        for actual, correct in zip(results(operands, compiled), results(operands), strict=True):
            torch.testing.assert_close(actual, correct)
    assert graphs["unique_graphs"] == 1


@pytest.mark.composites(False)
@either
def test_exports(of_batch: bool) -> None:
    class Gate(torch.nn.Module):
        def forward(self, *operands: Tensor) -> Any:
            return recops.dice(*operands)

    small, large = (tuple(make(rows, of_batch=of_batch)) for rows in (4, 9))
    shapes = ({0: torch.export.Dim("rows", min=2)}, *[None] * (len(small) - 1))
    program = torch.export.export(Gate(), small, dynamic_shapes=(shapes,))
    for actual, correct in zip(program.module()(*large), recops.dice(*large), strict=True):
        assert torch.equal(actual, correct)


@either
def test_autocast_computes_in_float32(of_batch: bool) -> None:
    x, *others = make(of_batch=of_batch, dtype=torch.bfloat16)
    expected = recops.dice(x.float(), *others)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = recops.dice(x, *others)
    for actual, correct in zip(outputs, expected, strict=True):
        assert torch.equal(actual, correct)
