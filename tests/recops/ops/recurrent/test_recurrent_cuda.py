"""CUDA ops of recurrent scans on tensors of the CPU: with kernels on the host, and without any."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recops._load import cuda_library

CSRC = Path(__file__).resolve().parents[4] / "csrc"
TORCH = Path(torch.__file__).parent
COMPILER = os.environ.get("CXX") or "c++"

# Calls the CUDA implementations and prints whether they agree with the CPU's. What the forward pass
# keeps has another layout on each device.
CALLS = """
import sys
import torch, recops
from recops.ops._composite import composite
torch.ops.load_library(sys.argv[1])
for op in ("scan", "scan_backward", "layer", "layer_backward"):
    name = f"recurrent_{op}"
    if not hasattr(torch.ops.recops_composite, name):  # the build has no CUDA library
        schema = str(getattr(torch.ops.recops, name).default._schema).split(name, 1)[1]
        torch.library.define(f"recops_composite::{name}", schema)
        key = "CompositeExplicitAutograd"
        torch.library.impl(f"recops_composite::{name}", key, composite(name))
cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
ops = torch.ops.recops
tolerances = {torch.float64: 1e-12, torch.float32: 2e-5}
tolerances |= {torch.bfloat16: 2**-7, torch.float16: 2**-10}

def print_close(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        good = a.shape == b.shape and a.dtype == b.dtype
        largest = max(1.0, b.abs().max().item() if b.numel() else 0.0)
        good = good and ((a - b).abs() <= tolerances[b.dtype] * largest).all().item()
        print(bool(good))

def call(forward, backward, first, *rest, keep):
    gradients = None
    for key in (None, cuda):
        run = lambda op, *args: op(*args) if key is None else op.redispatch(key, *args)
        outputs, last, kept = run(forward, first, *rest, keep)
        if gradients is None:
            weights = torch.randn_like(outputs[..., :1]).expand_as(outputs), torch.randn_like(last)
            expected = outputs, last, torch.zeros_like(kept)
            gradients = run(backward, *weights, outputs, kept, first, *rest)
        else:
            print_close((outputs, last, torch.zeros_like(kept)), expected)
            print_close(run(backward, *weights, outputs, kept, first, *rest), gradients)

torch.manual_seed(0)
scan = (ops.recurrent_scan.default, ops.recurrent_scan_backward.default)
layer = (ops.recurrent_layer.default, ops.recurrent_layer_backward.default)
for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    values = lambda *shape: torch.randn(shape, dtype=wide)
    for hidden in (5, 300) if dtype in (torch.float32, torch.float64) else (5,):
        w_hh = (values(hidden, 3 * hidden) / hidden**0.5).T
        optional = (values(3 * hidden), values(9, hidden), torch.rand(9, 4, dtype=wide))
        lengths, index = torch.randint(5, (9,)), torch.randint(6, (9,))
        gates = values(9, 3 * hidden, 4).to(dtype).transpose(1, 2)
        form = ("augru", "after", "or") if hidden == 5 else ("augru", "before", "paper")
        for keep in ("states", "gates"):
            call(*scan, gates, w_hh, *optional, lengths, None, *form, keep=keep)
            call(*scan, gates[:6], w_hh, *optional, lengths[:6], index, *form, keep=keep)
            call(*scan, gates, w_hh, None, None, None, None, None, "gru", "before", "paper",
                 keep=keep)
            call(*layer, values(9, 4, 6).to(dtype)[..., ::2], values(3 * hidden, 3), w_hh,
                 values(3 * hidden), *optional, lengths, *form, keep=keep)
"""


def results_of(library: Path | str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", CALLS, library], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(cuda_library() is None, reason="the CUDA library was not built")
def test_ops_call_composites_where_no_kernel_can_run() -> None:
    library = cuda_library()
    assert library is not None
    results = results_of(library.path)
    assert results == ["True"] * len(results)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(COMPILER) is None, reason="building the ops needs a compiler")
def test_ops_with_kernels_on_the_host_agree_with_the_cpu(tmp_path: Path) -> None:
    library = tmp_path / "recurrent_cuda_op.so"
    command = [COMPILER, "-std=c++20", "-shared", "-fPIC", "-fvisibility=hidden", "-O1"]
    command += [f"-I{CSRC}", "-isystem", str(TORCH / "include")]
    command += ["-DTORCH_TARGET_VERSION=0x020a000000000000"]
    command += [str(CSRC / "tests/recurrent_cuda_op.cpp")]
    command += [str(TORCH / "lib/libtorch_cpu.so"), "-o", str(library)]
    subprocess.run(command, check=True)
    results = results_of(library)
    assert results == ["True"] * len(results)
