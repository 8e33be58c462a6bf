"""Embedding bags with opcheck, torch.compile, export and autocast, and their determinism."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import recops
from compilation import every_backend
from embedding_inputs import INDICES, example, gradients
from instruction_sets import results_at_each
from tolerances import DTYPES

pytestmark = pytest.mark.composites


@pytest.mark.composites(False)
@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(
    dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    weights = [torch.randn(9000, 70).to(dtype).requires_grad_() for _ in range(2)]
    ids, rows = torch.randint(9000, (400, 60)), torch.randint(9000, (400,))
    ids[:, 30:] = ids[:, 30:] % 5  # rows that most of the batch use

    def everything() -> list[Tensor]:
        bags = [(weights[0], ids), (weights[1], rows), (weights[0], rows)]
        out = recops.embedding_bags(bags, padding_idx=0)
        return [out, *gradients(out, weights, out.detach())]

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
for weight, ids in torch.load(sys.argv[1]):
    table = weight.clone().requires_grad_()
    out = recops.embedding_bags([(table, ids), (table, ids[:, 0])], padding_idx=0)
    results += [out.detach(), *torch.autograd.grad(out, table, out.detach())]
torch.save(results, sys.argv[2])
"""


@pytest.mark.composites(False)
def test_instruction_sets_agree_to_the_bit(tmp_path: Path) -> None:
    inputs = [
        (torch.randn(40, width).to(dtype), torch.randint(40, (30, 20)).to(index))
        for width in (1, 3, 7, 18, 33, 100)
        for dtype in DTYPES
        for index in INDICES
    ]
    results = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            assert torch.equal(actual, expected)


@pytest.mark.parametrize("index", INDICES)
def test_opcheck(index: torch.dtype) -> None:
    ids = [torch.randint(4, shape).to(index) for shape in ((3, 4), (3,), (3, 2))]
    tables, ops = [0, 1, 0], torch.ops.recops
    for learns in ((False, False), (True, True), (False, True)):
        weights = [
            torch.randn(size, requires_grad=yes)
            for size, yes in zip(((7, 5), (4, 3)), learns, strict=True)
        ]
        for padding in (-1, 2):
            torch.library.opcheck(ops.embedding_bags.default, (weights, ids, tables, padding))
    for rows in ([7, 4], [7, -1]):
        arguments = (torch.randn(3, 13), ids, tables, rows, [5, 3], 2)
        torch.library.opcheck(ops.embedding_bags_backward.default, arguments)


class Model(torch.nn.Module):
    def forward(self, weight: Tensor, ids: Tensor) -> Tensor:
        return recops.embedding_bags([(weight, ids), (weight, ids[:, 0])], padding_idx=0)


@pytest.mark.composites(False)
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@every_backend
def test_compiles_into_one_graph_of_dynamic_shape(backend: str) -> None:
    compiled = torch.compile(Model(), fullgraph=True, backend=backend, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for size, width, rows, each in [(10, 6, 4, 3), (23, 9, 7, 5), (64, 18, 12, 20)]:
        weight = torch.randn(size, width, requires_grad=True)
        ids = torch.randint(size, (rows, each))
        actual, expected = compiled(weight, ids), Model()(weight, ids)
        assert torch.equal(actual, expected)
        grad = torch.randn(expected.shape)
        (grads,), (correct,) = (
            gradients(actual, [weight], grad),
            gradients(expected, [weight], grad),
        )
        torch.testing.assert_close(grads, correct)
    assert graphs["unique_graphs"] == 1


@pytest.mark.composites(False)
def test_exports() -> None:
    rows, size = torch.export.Dim("rows", min=2), torch.export.Dim("size", min=2)
    inputs = torch.randn(12, 6), torch.randint(12, (4, 3))
    shapes = {"weight": {0: size}, "ids": {0: rows}}
    program = torch.export.export(Model(), inputs, dynamic_shapes=shapes).module()
    weight, ids = torch.randn(31, 6), torch.randint(31, (9, 3))
    torch.testing.assert_close(program(weight, ids), Model()(weight, ids))


def test_autocast_keeps_the_tables_dtype() -> None:
    bags = example()
    expected = recops.embedding_bags(bags)
    with torch.autocast("cpu", torch.bfloat16):
        actual = recops.embedding_bags(bags)
    assert torch.equal(actual, expected)
