"""CUDA ops of memory networks on tensors of the CPU: with kernels on the host, and without one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from emulated_op import COMPILER, build_library, results_of_calls
from recops._load import cuda_library

# Checkpoints are compared only without lengths: no kernel writes those of rows that have ended.
HPMN = """
import torch, recops

torch.manual_seed(0)
ops = torch.ops.recops
calls = []

for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    values = lambda *shape: torch.randn(shape, dtype=wide)
    for hidden in (5, 130) if dtype == torch.float32 else (5,):
        has_kernel = dtype != torch.float64 and hidden <= 128
        x = values(4, 6, 6).to(dtype)[..., ::2]
        w_hh = values(2, hidden, 3 * hidden).mT / hidden**0.5
        weights = ([values(3 * hidden, 3), values(3 * hidden, hidden) / hidden**0.5], w_hh,
                   values(2, 3 * hidden), [1, 2])
        memory, count = values(4, 2, hidden), torch.randint(5, (4,))
        lengths = torch.tensor([6, 0, 3, 4])
        for options in ((None, 2), (lengths, 0)):
            arguments = (x, memory, count, *weights, *options)
            calls.append((has_kernel, ops.hpmn_scan.default, arguments))
        rows = torch.tensor([2, 0, 2, 2, 3, 0])
        arguments = (memory, count, rows, x[0], *weights)
        calls.append((has_kernel, ops.hpmn_step_.default, arguments))
        calls.append((False, ops.hpmn_step_.default, (memory, count, rows[:0], x[0, :0], *weights)))
"""
CALLS = {"hpmn": HPMN}


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which(COMPILER) is None:
        pytest.skip("building the ops needs a compiler")
    return build_library("memory_cuda_op", tmp_path_factory.mktemp("ops"))


@pytest.mark.slow
@pytest.mark.skipif(cuda_library() is None, reason="the CUDA library was not built")
@pytest.mark.parametrize("network", CALLS)
def test_ops_call_composites_where_no_kernel_can_run(network: str) -> None:
    library = cuda_library()
    assert library is not None
    results = results_of_calls(CALLS[network], library.path, "call", exact=False)
    assert results == ["agrees"] * len(results)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["call", "capture"])
@pytest.mark.parametrize("network", CALLS)
def test_ops_with_kernels_on_the_host_agree_with_the_cpu(
    emulated: Path, network: str, how: str
) -> None:
    """A capture allows no access of the host to device memory, and only the current stream."""
    results = results_of_calls(CALLS[network], emulated, how, exact=False)
    assert results == ["agrees"] * len(results)
