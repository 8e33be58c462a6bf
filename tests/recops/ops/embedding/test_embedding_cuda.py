"""CUDA ops of embedding bags on tensors of the CPU: with kernels on the host, and without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emulated_op import results_of_calls
from recops._load import cuda_library

# Integers, whose sums have the same bits in any order.
CALLS = """
import torch, recops

torch.manual_seed(0)
forward, backward = (getattr(torch.ops.recops, name).default
                     for name in ("embedding_bags", "embedding_bags_backward"))
calls = []

for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
    has_kernel = dtype != torch.float64
    weights = [torch.randint(-9, 9, size).to(dtype) for size in ((40, 6), (5, 16), (7, 1))]
    ids = [torch.randint(5, (12, 3)), torch.randint(40, (12,)), torch.randint(5, (12, 4)).int(),
           torch.randint(7, (12, 0))]

    tables = [1, 0, 1, 2]
    grad = torch.randint(-9, 9, (12, 39)).to(dtype)
    for padding in (-1, 3):
        calls.append((has_kernel, forward, (weights, ids, tables, padding)))
        for rows in ([40, 5, 7], [-1, 5, -1]):
            arguments = (grad, ids, tables, rows, [6, 16, 1], padding)
            calls.append((has_kernel, backward, arguments))

    strided = torch.stack([grad, -grad], 2)[..., 0]
    calls.append((False, backward, (strided, ids, tables, [40, 5, 7], [6, 16, 1], -1)))
    one = grad[:1].expand(12, -1)
    calls.append((False, backward, (one, ids, tables, [40, 5, 7], [6, 16, 1], 3)))

    columns = [weight.mT.contiguous().mT for weight in weights]
    strided_ids = [each.mT.contiguous().mT if each.ndim == 2 else each for each in ids]
    calls.append((False, forward, (columns, strided_ids, tables, 3)))

    many = [torch.randint(40, (12, 2)) for _ in range(33)]
    calls.append((has_kernel, forward, (weights[:1], many, [0] * 33, -1)))
    grad = torch.randint(-9, 9, (12, 33 * 6)).to(dtype)
    calls.append((False, backward, (grad, many, [0] * 33, [40], [6], -1)))
"""

# Updates round more than once, so results are close, not equal.
UPDATES = """
import torch, recops

torch.manual_seed(0)
update = torch.ops.recops.embedding_bags_update_.default
calls = []

for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
    has_kernel = dtype != torch.float64
    sizes = (40, 6), (5, 16), (7, 1)
    ids = [torch.randint(5, (12, 3)), torch.randint(40, (12,)), torch.randint(5, (12, 4)).int(),
           torch.randint(7, (12, 2))]
    for optimizer in ("sgd", "adagrad", "rowwise_adagrad"):
        weights = [torch.randn(size).to(dtype) for size in sizes]
        state_type = dtype if dtype == torch.float64 else torch.float32
        states = [torch.rand(size if optimizer == "adagrad" else size[:1]).to(state_type)
                  for size in sizes if optimizer != "sgd"]
        grad = torch.randn(12, 39).to(dtype)
        options = (optimizer, 0.125, 0.25, 0.5, 3)
        calls.append((has_kernel, update, (weights, states, grad, ids, [1, 0, 1, 2], *options)))
        strided = torch.stack([grad, -grad], 2)[..., 0]
        calls.append((False, update, (weights, states, strided, ids, [1, 0, 1, 2], *options)))

        many = [torch.randint(40, (12, 2)) for _ in range(33)]
        grad = torch.randn(12, 33 * 6).to(dtype)
        arguments = (weights[:1], states[:1], grad, many, [0] * 33, *options)
        calls.append((False, update, arguments))
"""


@pytest.fixture(scope="module")
def emulated(emulated_library: Callable[[str], Path]) -> Path:
    return emulated_library("embedding_cuda_op")


@pytest.mark.skipif(cuda_library() is None, reason="the CUDA library was not built")
def test_ops_call_composites_where_no_kernel_can_run() -> None:
    library = cuda_library()
    assert library is not None
    results = results_of_calls(CALLS, library.path, "call")
    results += results_of_calls(UPDATES, library.path, "call", exact=False)
    assert results == ["agrees"] * len(results)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["call", "capture"])
def test_ops_with_kernels_on_the_host_agree_with_the_cpu(emulated: Path, how: str) -> None:
    """A capture allows no access of the host to device memory, and only the current stream."""
    results = results_of_calls(CALLS, emulated, how)
    results += results_of_calls(UPDATES, emulated, how, exact=False)
    assert results == ["agrees"] * len(results)
