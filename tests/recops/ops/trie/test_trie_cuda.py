"""CUDA ops of tries where no GPU runs their kernels: they call the composites."""

from __future__ import annotations

import subprocess
import sys

import pytest

from recops._load import cuda_library

# Calls the CUDA implementations with tensors of the CPU, on which no kernel can run.
CALLS = """
import torch, recops
from recops._load import cuda_library
from recops.ops.trie._batch import ban_tensors, mask_tensors, trie_tensors
torch.ops.load_library(cuda_library().path)
cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)

def is_equal(op, *arguments):
    expected, actual = op(*arguments), op.redispatch(cuda, *arguments)
    if isinstance(expected, torch.Tensor):
        expected, actual = (expected,), (actual,)
    return all(torch.equal(a, b) for a, b in zip(expected, actual, strict=True))

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
beams = (torch.zeros(3, 2, dtype=torch.int32), torch.rand(3, 2), 7, "none")
step = torch.ops.recops.trie_beam_step.default
logits, trie = torch.randn(3, 2, 6), (first.first_child, first.tokens, first.stamp, 3)
print(is_equal(step, logits, *trie, *beams, None, None, None, None, None))
print(is_equal(step, logits, *trie, *beams, [6] * 6, index, trie_tensors(more),
               mask_tensors("", masks, tries), ban_tensors("", bans, tries)))

model_tokens = torch.arange(18, dtype=torch.int32)
trie_tokens = torch.full((3, 20), -1, dtype=torch.int32)
for level in range(3):
    trie_tokens[level, 6 * level : 6 * level + 6] = torch.arange(6)
sequences = torch.tensor([[19, 1], [2, 19], [0, 0], [19, 3]])
print(is_equal(torch.ops.recops.trie_next_logits.default, torch.randn(4, 21), sequences, -1, 19,
               trie_tensors([first]), [6] * 3, model_tokens, trie_tokens, [20],
               mask_tensors("", masks[0], [first])))
"""


@pytest.mark.skipif(cuda_library() is None, reason="the CUDA library was not built")
def test_ops_call_composites_where_no_kernel_can_run() -> None:
    result = subprocess.run(
        [sys.executable, "-c", CALLS], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True"] * 3
