"""Primitives of external memories: definitions, gradients and errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import recops
from recops import reference

INPUTS: dict[str, tuple[Tensor, ...]] = {
    "memory_address": (torch.randn(3, 5), torch.randn(3, 4, 5), torch.rand(3)),
    "memory_read": (torch.rand(3, 4), torch.randn(3, 4, 5)),
    "memory_write": (torch.randn(3, 4, 5), torch.rand(3, 4), torch.rand(3, 5), torch.randn(3, 5)),
    "memory_utilization": (torch.rand(3, 4),),
    "memory_covariance": (torch.randn(3, 4, 5),),
}
every_primitive = pytest.mark.parametrize("name", INPUTS)


@pytest.mark.numerics
@every_primitive
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_agrees_with_the_reference(name: str, dtype: torch.dtype) -> None:
    inputs = [tensor.to(dtype) for tensor in INPUTS[name]]
    results, correct = getattr(recops, name)(*inputs), getattr(reference, name)(*inputs)
    assert results.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(results, correct)


@pytest.mark.numerics
@every_primitive
def test_gradcheck(name: str) -> None:
    leaves = tuple(tensor.double().requires_grad_() for tensor in INPUTS[name])
    assert torch.autograd.gradcheck(getattr(recops, name), leaves)


@every_primitive
def test_opcheck(name: str) -> None:
    op = getattr(torch.ops.recops, name).default
    leaves = tuple(tensor.clone().requires_grad_() for tensor in INPUTS[name])
    torch.library.opcheck(op, (*leaves, True) if name == "memory_covariance" else leaves)


@every_primitive
def test_compiles_into_one_graph(name: str) -> None:
    function: Callable[..., Tensor] = getattr(recops, name)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*INPUTS[name]), function(*INPUTS[name]))


@every_primitive
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(name: str, dtype: torch.dtype) -> None:
    leaves = [tensor.to(dtype).requires_grad_() for tensor in INPUTS[name]]
    for module in (recops, reference):
        function: Callable[..., Tensor] = getattr(module, name)
        expected = function(*leaves)
        with torch.autocast("cpu", torch.bfloat16):
            results = function(*leaves)
        assert results.dtype == torch.float32
        assert torch.equal(results, expected)
        weights = torch.randn_like(expected)
        correct = torch.autograd.grad(expected, leaves, weights)
        for actual, reference_gradient in zip(
            torch.autograd.grad(results, leaves, weights), correct, strict=True
        ):
            assert torch.equal(actual, reference_gradient)


@pytest.mark.parametrize("compiles", [False, True])
def test_autocast_does_not_change_the_norm_of_the_covariance(compiles: bool) -> None:
    def norm(memory: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return recops.memory_covariance(memory, squared=False)

    (memory,) = INPUTS["memory_covariance"]
    run = torch.compile(norm, fullgraph=True, backend="aot_eager") if compiles else norm
    assert torch.equal(run(memory), recops.memory_covariance(memory, squared=False))


@pytest.mark.parametrize(
    ("name", "inputs", "error", "message"),
    [
        ("memory_address", (torch.zeros(2, 5), torch.zeros(3, 4, 5), torch.zeros(3)), ValueError,
         r"key must be \(3, 5\), got \(2, 5\)"),
        ("memory_address", (torch.zeros(3, 5), torch.zeros(3, 5), torch.zeros(3)), ValueError,
         "memory must have 3 dimensions"),
        ("memory_read", (torch.zeros(3, 3), torch.zeros(3, 4, 5)), ValueError,
         r"weights must be \(3, 4\), got \(3, 3\)"),
        ("memory_write", (torch.zeros(3, 4, 5), torch.zeros(3, 4), torch.zeros(3, 4),
                          torch.zeros(3, 5)), ValueError, r"erase must be \(3, 5\), got \(3, 4\)"),
        ("memory_utilization", (torch.zeros(3, 4).long(),), TypeError, "usage must be one of"),
        ("memory_covariance", (torch.zeros(4, 5),), ValueError, "memory must have 3 dimensions"),
    ],
)  # fmt: skip
def test_errors(
    name: str, inputs: tuple[Tensor, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"{name}: {message}"):
        getattr(recops, name)(*inputs)
