"""CUDA ops of tries on tensors of the CPU: with kernels on the host, and without a kernel."""

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

# Calls the CUDA implementations and prints whether they agree with the CPU's.
CALLS = """
import sys
import torch, recops
from recops.ops.trie._batch import ban_tensors, mask_tensors, trie_tensors
torch.ops.load_library(sys.argv[1])
cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)

def print_equal(op, *arguments):
    expected, actual = op(*arguments), op.redispatch(cuda, *arguments)
    if isinstance(expected, torch.Tensor):
        expected, actual = (expected,), (actual,)
    print(all(torch.equal(a, b) for a, b in zip(expected, actual, strict=True)))

torch.manual_seed(0)
tries = [
    recops.SidTrie.from_sids(torch.randint(6, (40, 3)), item_ids=torch.arange(40), vocab_sizes=6)
    for _ in range(2)
]
masks = [trie.mask(keep=torch.arange(0, 40, 2)) for trie in tries]
index = torch.tensor([1, 0, 1])
banned = [torch.tensor(ids, dtype=torch.int64) for ids in ([3], [], [5, 6])]
bans = recops.item_bans(tries, banned, trie_index=index)
first, *more = tries
beams = (torch.tensor([[0, 1], [2, 0], [0, -1]]), torch.rand(3, 2), 7, "none")
step = torch.ops.recops.trie_beam_step.default
trie = (first.first_child, first.tokens, first.stamp, 3)
for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
    logits = torch.randn(3, 2, 12).to(dtype)[:, :, ::2]
    of_dtype = (beams[0], beams[1].double() if dtype == torch.float64 else beams[1], *beams[2:])
    print_equal(step, logits, *trie, *of_dtype, None, None, None, None, None)
    print_equal(step, logits, *trie, *of_dtype, [6] * 6, index, trie_tensors(more),
                mask_tensors("", masks, tries), ban_tensors("", bans, tries))

model_tokens = torch.arange(18, dtype=torch.int32)
trie_tokens = torch.full((3, 20), -1, dtype=torch.int32)
for level in range(3):
    trie_tokens[level, 6 * level : 6 * level + 6] = torch.arange(6)
sequences = torch.tensor([[19, 1], [2, 19], [0, 0], [19, 3]])
next_logits, in_place = torch.ops.recops.trie_next_logits, torch.ops.recops.trie_next_logits_
for allowed in ([], mask_tensors("", masks[0], [first])):
    arguments = (sequences, -1, 19, trie_tensors([first]), [6] * 3, model_tokens, trie_tokens, [20],
                 allowed)
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        for logits in (torch.randn(4, 21).to(dtype), torch.randn(4, 42).to(dtype)[:, ::2]):
            print_equal(next_logits.default, logits, *arguments)
            expected = next_logits(logits, *arguments)
            in_place.default.redispatch(cuda, logits, *arguments)
            print(torch.equal(logits, expected))
"""


def results_of(library: Path | str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", CALLS, library], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.skipif(cuda_library() is None, reason="the CUDA library was not built")
def test_ops_call_composites_where_no_kernel_can_run() -> None:
    library = cuda_library()
    assert library is not None
    results = results_of(library.path)
    assert results == ["True"] * len(results)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(COMPILER) is None, reason="building the ops needs a compiler")
def test_ops_with_kernels_on_the_host_agree_with_the_cpu(tmp_path: Path) -> None:
    library = tmp_path / "trie_cuda_op.so"
    command = [COMPILER, "-std=c++20", "-shared", "-fPIC", "-fvisibility=hidden", "-O1"]
    command += [f"-I{CSRC}", "-isystem", str(TORCH / "include")]
    command += ["-DTORCH_TARGET_VERSION=0x020a000000000000", str(CSRC / "tests/trie_cuda_op.cpp")]
    command += [str(TORCH / "lib/libtorch_cpu.so"), "-o", str(library)]
    subprocess.run(command, check=True)
    results = results_of(library)
    assert results == ["True"] * len(results)
