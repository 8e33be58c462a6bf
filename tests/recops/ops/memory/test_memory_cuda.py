"""CUDA ops of memory networks on tensors of the CPU: with kernels on the host, and without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emulated_op import results_of_calls
from recops._load import cuda_library

# Checkpoints of HPMN are compared only without lengths: the CPU kernel does not write those of rows
# that have ended. Those of MIMN have another layout on each device.
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
        kept = ops.hpmn_scan(x, memory, count, *weights, None, 2)[1]
        for lengths in (None, lengths):
            arguments = (values(4, 2, hidden), x, memory, count, *weights, lengths, 2, kept)
            calls.append((has_kernel, ops.hpmn_scan_backward.default, arguments))

        rows = torch.tensor([2, 0, 2, 2, 3, 0])
        arguments = (memory, count, rows, x[0], *weights)
        calls.append((has_kernel, ops.hpmn_step_.default, arguments))
        calls.append((False, ops.hpmn_step_.default, (memory, count, rows[:0], x[0, :0], *weights)))
"""
MIMN = """
import torch, recops

torch.manual_seed(0)
ops = torch.ops.recops
calls = []

for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    values = lambda *shape: torch.randn(shape, dtype=wide) / 2
    for d, h, m, utilization in ((5, 6, 3, "code"), (4, 3, 2, "paper"), (3, 5, 33, "none")):
        has_kernel = dtype != torch.float64 and m <= 32
        heads = 4 * d + 6

        params = [values(3 * h, 2 * d), values(h, 3 * h).mT, values(3 * h), values(heads, h + m),
                  values(heads), values(m, m), values(3 * d, 2 * d), values(3 * d, d),
                  values(3 * d), values(h, h + d), values(h)]

        network = (params, values(m, d) if utilization == "code" else None, 3.0)
        shapes = (h,), (d,), (m, d), (m,), (d,), (m, d), (d,)
        state = [values(4, *shape) for shape in shapes]

        x = values(4, 6, 2 * d).to(dtype)[..., ::2]
        lengths = torch.tensor([6, 0, 3, 4])
        for options in ((None, utilization, 1, 0), (lengths, utilization, 2, 0)):
            calls.append((has_kernel, ops.mimn_scan.default, (x, state, *network, *options)))

        grads = (values(4, 6, h).to(dtype), [values(4, *shape) for shape in shapes], values(4, m))
        kept = values(0, 4, h + d + 2 * m * d + m)
        options = (lengths, utilization, 2, 6, kept)
        arguments = (*grads, x, state, *network, *options)
        calls.append((has_kernel, ops.mimn_scan_backward.default, arguments))

        rows, count = torch.tensor([2, 0, 2, 2, 3, 0]), torch.arange(4)
        events = (state, count, rows, x[0], *network, utilization, 1)
        calls.append((has_kernel, ops.mimn_step_.default, events))
        none = (state, count, rows[:0], x[0, :0], *network, utilization, 1)
        calls.append((False, ops.mimn_step_.default, none))

        reads = (state, rows, x[0], *network, utilization, 1)
        calls.append((has_kernel, ops.mimn_read.default, reads))
"""
CALLS = {"hpmn": HPMN, "mimn": MIMN}


@pytest.fixture(scope="module")
def emulated(emulated_library: Callable[[str], Path]) -> Path:
    return emulated_library("memory_cuda_op")


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
