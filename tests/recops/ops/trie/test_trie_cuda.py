"""CUDA ops of tries on tensors of the CPU: with kernels on the host, and without a kernel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from emulated_op import COMPILER, build_library, results_of_calls
from recops._load import cuda_library

CALLS = """
import torch, recops
from recops.ops.trie._batch import ban_tensors, mask_tensors, trie_tensors

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
calls = []

beams = (torch.tensor([[0, 1], [2, 0], [0, -1]]), torch.rand(3, 2), 7, "none")
step = torch.ops.recops.trie_beam_step.default
trie = (first.first_child, first.tokens, first.stamp, 3)

for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
    logits = torch.randn(3, 2, 12).to(dtype)[:, :, ::2]
    has_kernel = dtype != torch.float64
    of_dtype = (beams[0], beams[1] if has_kernel else beams[1].double(), *beams[2:])

    calls += [
        (has_kernel, step, (logits, *trie, *of_dtype, None, None, None, None, None)),

        (has_kernel, step, (logits, *trie, *of_dtype, [6] * 6, index, trie_tensors(more),
                            mask_tensors("", masks, tries), ban_tensors("", bans, tries))),
    ]

model_tokens = torch.arange(18, dtype=torch.int32)
trie_tokens = torch.full((3, 20), -1, dtype=torch.int32)
for level in range(3):
    trie_tokens[level, 6 * level : 6 * level + 6] = torch.arange(6)

sequences = torch.tensor([[19, 1], [2, 19], [0, 0], [19, 3]])
for allowed in ([], mask_tensors("", masks[0], [first])):
    arguments = (sequences, -1, 19, trie_tensors([first]), [6] * 3, model_tokens, trie_tokens, [20],
                 allowed)

    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        for logits in (torch.randn(4, 21).to(dtype), torch.randn(4, 42).to(dtype)[:, ::2]):
            for op in (torch.ops.recops.trie_next_logits, torch.ops.recops.trie_next_logits_):
                calls.append((True, op.default, (logits, *arguments)))
"""


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which(COMPILER) is None:
        pytest.skip("building the ops needs a compiler")
    return build_library("trie_cuda_op", tmp_path_factory.mktemp("ops"))


@pytest.mark.skipif(cuda_library() is None, reason="the CUDA library was not built")
def test_ops_call_composites_where_no_kernel_can_run() -> None:
    library = cuda_library()
    assert library is not None
    results = results_of_calls(CALLS, library.path, "call")
    assert results == ["agrees"] * len(results)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["call", "capture"])
def test_ops_with_kernels_on_the_host_agree_with_the_cpu(emulated: Path, how: str) -> None:
    """A capture allows no access of the host to device memory, and only the current stream."""
    results = results_of_calls(CALLS, emulated, how)
    assert results == ["agrees"] * len(results)
