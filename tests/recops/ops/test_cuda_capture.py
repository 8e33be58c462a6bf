"""What a CUDA graph forbids in a call is found: by emulated ops, and on a GPU by a capture."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from emulated_op import COMPILER, CSRC, build_library, run_script

needs_compiler = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason="building the ops needs a compiler"
)

STEP = """
import sys, torch, recops, emulated_op
torch.ops.load_library(sys.argv[1])
device = emulated_op.DeviceMemory(sys.argv[1])
trie = recops.SidTrie.from_sids(torch.tensor([[0, 1], [1, 0]]), vocab_sizes=2)
arguments = (torch.zeros(1, 1, 2), trie.first_child, trie.tokens, trie.stamp, 2,
             torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, 1), 2, "none", *[None] * 5)
print("started", flush=True)
device.capture(torch.ops.recops.trie_beam_step.default, arguments)
print("captured")
"""
READ = """
import sys, torch, recops, emulated_op
torch.ops.load_library(sys.argv[1])
device = emulated_op.DeviceMemory(sys.argv[1])
value = device.copy_of(torch.ones(1))
print(value.item(), flush=True)
device.begin()
print(value.item())
"""

# Text of csrc/trie/cuda_op.cpp, what replaces it, and what a call then does.
DEFECTS: dict[str, tuple[str, str, str]] = {
    "the default stream": (
        "cuda::beam_step(call, workspace.data_ptr(), current_stream(logits))",
        "cuda::beam_step(call, workspace.data_ptr(), nullptr)",
        "2 on another stream",
    ),
    "no device guard": (
        "const DeviceGuard guard(logits_in);\n  require_beams",
        "require_beams",
        "2 without a guard",
    ),
    "a host read of an input": (
        "call.num_tries = static_cast<int64_t>(tries.size() / kPerTrie);",
        "call.num_tries = static_cast<int64_t>(tries.size() / kPerTrie) + "
        "(tries[2].const_data_ptr<int64_t>()[0] == 0);",
        "Segmentation fault",
    ),
    "a host read of an output": (
        "  return {new_scores, new_tokens, parents, new_nodes};",
        "  require_value(call.parents[0] >= -1, op);\n"
        "  return {new_scores, new_tokens, parents, new_nodes};",
        "Segmentation fault",
    ),
}


@pytest.mark.slow
def test_a_read_of_device_memory_ends_the_process(
    emulated_library: Callable[[str], Path],
) -> None:
    result = run_script(READ, emulated_library("trie_cuda_op"))
    assert result.stdout == "1.0\n"
    assert "Segmentation fault" in result.stderr


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_the_source(defect: str) -> None:
    before, _, _ = DEFECTS[defect]
    assert (CSRC / "trie/cuda_op.cpp").read_text().count(before) == 1


@needs_compiler
@pytest.mark.full
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str, tmp_path: Path) -> None:
    before, after, symptom = DEFECTS[defect]
    shutil.copytree(CSRC, tmp_path / "csrc")
    path = tmp_path / "csrc/trie/cuda_op.cpp"
    path.write_text(path.read_text().replace(before, after))
    result = run_script(STEP, build_library("trie_cuda_op", tmp_path, tmp_path / "csrc"))
    assert result.stdout == "started\n"
    assert symptom in result.stderr
