"""Codebook overlap with opcheck, torch.compile, export and autocast, and its determinism."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import recops
from codebook_overlap_inputs import KERNELS, shares
from compilation import every_backend
from instruction_sets import results_at_each
from tolerances import AGREEMENT, DTYPES


def everything(codebook: Tensor, usage: Tensor) -> list[Tensor]:
    results: list[Tensor] = []
    for kernel in KERNELS:
        books, share = codebook.clone().requires_grad_(), usage.clone().requires_grad_()
        overlap, row_sums = recops.codebook_overlap(books, share, 0.7, kernel=kernel)
        results += [overlap, row_sums, *torch.autograd.grad(overlap, (books, share))]
    return [result.detach() for result in results]


@pytest.mark.parametrize("dtype", DTYPES[::3])
def test_results_do_not_depend_on_the_number_of_threads(
    dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    codebook, usage = torch.randn(700, 24).to(dtype), shares(700, dtype)
    set_threads(1)
    expected = everything(codebook, usage)
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, one_thread in zip(everything(codebook, usage), expected, strict=True):
            assert torch.equal(actual, one_thread)


ON_THIS_ISA = """
import sys
import torch
import recops

results = []
for codebook, usage in torch.load(sys.argv[1]):
    codebook.requires_grad_()
    for kernel in ("bhattacharyya", "product", "minimum"):
        overlap, row_sums = recops.codebook_overlap(codebook, usage, 0.7, kernel=kernel)
        results += [overlap.detach(), row_sums.detach(), *torch.autograd.grad(overlap, codebook)]
torch.save(results, sys.argv[2])
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    inputs = [(torch.randn(100, 13).to(d), shares(100, d)) for d in DTYPES[::3]]
    results = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            torch.testing.assert_close(actual, expected, **AGREEMENT[expected.dtype])


@pytest.mark.composites
def test_opcheck() -> None:
    codebook, usage = torch.randn(9, 5), shares(9, torch.float32)
    ops = torch.ops.recops
    differentiable = (
        codebook.clone().requires_grad_(),
        usage.clone().requires_grad_(),
        0.5,
        "minimum",
    )
    torch.library.opcheck(ops.codebook_overlap.default, differentiable)
    backward = (torch.tensor(1.0), usage, codebook, usage, 0.5, "minimum")
    torch.library.opcheck(ops.codebook_overlap_backward.default, backward)


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@every_backend
def test_compiles_into_one_graph_of_dynamic_shape(backend: str) -> None:
    compiled = torch.compile(
        recops.effective_capacity, fullgraph=True, backend=backend, dynamic=True
    )
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for size, dim in [(10, 6), (23, 9), (64, 17)]:
        codebook, usage = torch.randn(size, dim, requires_grad=True), shares(size, torch.float32)
        actual, expected = (
            compiled(codebook, usage, 0.5),
            recops.effective_capacity(codebook, usage, 0.5),
        )
        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(
            torch.autograd.grad(actual, codebook), torch.autograd.grad(expected, codebook)
        )
    assert graphs["unique_graphs"] == 1


def test_exports() -> None:
    class Overlap(torch.nn.Module):
        def forward(self, codebook: Tensor, usage: Tensor) -> tuple[Tensor, Tensor]:
            return recops.codebook_overlap(codebook, usage, 0.5)

    size = torch.export.Dim("size", min=2)
    codebook, usage = torch.randn(12, 6), shares(12, torch.float32)
    program = torch.export.export(
        Overlap(), (codebook, usage), dynamic_shapes={"codebook": {0: size}, "usage": {0: size}}
    )
    codebook, usage = torch.randn(31, 6), shares(31, torch.float32)
    for actual, expected in zip(
        program.module()(codebook, usage),
        recops.codebook_overlap(codebook, usage, 0.5),
        strict=True,
    ):
        assert torch.equal(actual, expected)


@pytest.mark.composites
def test_autocast_computes_in_float32() -> None:
    codebook, usage = torch.randn(30, 6), shares(30, torch.float32)
    expected = recops.codebook_overlap(codebook, usage, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        actual = recops.codebook_overlap(codebook, usage, 0.5)
    assert torch.equal(actual[1], expected[1])


@pytest.mark.composites
def test_there_is_no_second_derivative() -> None:
    books, share = torch.randn(6, 3, requires_grad=True), torch.full((6,), 1 / 6)
    overlap, _ = recops.codebook_overlap(books, share, 0.7)
    (grad,) = torch.autograd.grad(overlap.sum(), books, create_graph=True)
    with pytest.raises(NotImplementedError, match="codebook overlap has no second derivative"):
        grad.sum().backward()
