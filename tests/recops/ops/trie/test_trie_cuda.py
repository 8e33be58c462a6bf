"""CUDA ops of tries on tensors of the CPU: with kernels on the host, and without a kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emulated_op import results_of_calls, run_script
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

root = (first.first_child, first.tokens, 3)
nodes = torch.randint(-1, first.num_nodes, (20, 2)).T[0]  # not contiguous
sids = torch.randint(6, (50, 3))
calls += [(True, torch.ops.recops.trie_find.default, (*root, sids[:, :length].int()))
          for length in range(4)]
calls += [
    (True, torch.ops.recops.trie_find.default, (*root, sids)),
    (True, torch.ops.recops.trie_items.default, (*root, first.item_ids, nodes)),
    (False, torch.ops.recops.trie_items.default, (*root, first.item_ids, nodes[:0])),
    (True, torch.ops.recops.trie_allowed_tokens.default, (*root, nodes.int(), 7)),
    (False, torch.ops.recops.trie_allowed_tokens.default, (*root, nodes[:0], 7)),
]

ids, offsets = torch.randint(45, (30,)), torch.tensor([0, 12, 12, 30])
orders = ([each.item_ids for each in tries], [each.id_order for each in tries])
for keep in (True, False):
    calls.append((True, torch.ops.recops.trie_mask.default,
                  (first.item_ids, first.id_order, ids, offsets, keep, True)))
calls += [
    (True, torch.ops.recops.trie_bans.default, (*orders, index, ids, offsets)),
    (True, torch.ops.recops.trie_bans.default, (orders[0][:1], orders[1][:1], None, ids, offsets)),
    (False, torch.ops.recops.trie_bans.default, (*orders, index[:0], ids[:0], offsets[:1])),
]

beam_items = torch.ops.recops.trie_beam_items.default
leaves = first.num_nodes - 1 - torch.randint(first.num_leaves, (6, 3)).int().T[:, ::2]
leaves[0, 1] = -1
of_first = (first.first_child, first.tokens, first.stamp, first.item_ids, first.item_rows, 3)
more_items = [more[0].item_ids, more[0].item_rows]
both = (index, trie_tensors(more), more_items, mask_tensors("", masks, tries),
        ban_tensors("", bans, tries))
for dtype in (torch.float32, torch.float64):
    for priors in (None, [torch.rand(40).to(dtype) for _ in range(2)]):
        has_kernel = dtype == torch.float32
        scores = torch.rand(3, 3).to(dtype)
        calls.append((has_kernel, beam_items, (*of_first, leaves, scores, 8, *[None] * 5,
                                               priors and priors[:1])))
        shared = leaves.clamp(max=more[0].num_nodes - 1)
        is_leaf = shared >= more[0].num_nodes - more[0].num_leaves
        calls.append((has_kernel, beam_items, (*of_first, shared.where(is_leaf, -1), scores, 8,
                                               *both, priors)))

for sizes in ([6, 6, 6], [100000, 2], [2] * 33):
    for ids in (torch.arange(90), torch.randperm(90) * 7 - 300):
        sids = torch.stack([torch.randint(size, (90,)) for size in sizes], 1)
        build = torch.ops.recops.trie_build.default
        calls += [(len(sizes) < 33, build, (sids, ids, sizes)),
                  (len(sizes) < 33, build, (sids.int().T.contiguous().T, ids, sizes)),
                  (False, build, (sids[:0], ids[:0], sizes))]
"""

ERRORS = """
import sys, torch, recops
from recops.ops._composite import define_composite

torch.ops.load_library(sys.argv[1])
trie = recops.SidTrie.from_sids(torch.tensor([[0, 0], [1, 0], [1, 1]]), vocab_sizes=2)
root = (trie.first_child, trie.tokens, 2)
calls = {
    "trie_items": [(*root, trie.item_ids, torch.tensor([0, 6])),
                   (*root, trie.item_ids, torch.tensor([-2])),
                   (*root, trie.item_ids[1:], torch.tensor([0]))],
    "trie_allowed_tokens": [(*root, torch.tensor([6]), 2), (*root, torch.tensor([0, 1]), 1)],
    "trie_mask": [
        (trie.item_ids, trie.id_order, torch.tensor([7]), torch.tensor([0, 1]), True, False),
        (trie.item_ids, trie.id_order, torch.tensor([1]), torch.tensor([1, 1]), True, True)],
    "trie_bans": [
        ([trie.item_ids], [trie.id_order], torch.tensor([1]), torch.tensor([1]),
         torch.tensor([0, 1])),
        ([trie.item_ids], [trie.id_order], None, torch.tensor([1]), torch.tensor([0, 2, 1]))],
    "trie_build": [(torch.tensor([[0, 0], [1, 2]]), torch.arange(2), [2, 2]),
                   (torch.tensor([[0, 0], [1, -1]]), torch.arange(2), [2, 2]),
                   (torch.tensor([[0, 0], [1, 1], [0, 1]]), torch.tensor([7, 8, 7]), [2, 2])],
}
keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
for name, arguments_of_calls in calls.items():
    if not hasattr(torch.ops.recops_composite, name):  # this build has no CUDA library
        define_composite(name)
    op = getattr(torch.ops.recops, name).default
    for arguments in arguments_of_calls:
        messages = []
        for call in (op, lambda *given: op.redispatch(keys, *given)):
            try:
                call(*arguments)
                messages.append("no error")
            except (IndexError, ValueError) as error:
                messages.append(f"{type(error).__name__}: {error}")
        print("agrees" if messages[0] == messages[1] != "no error" else messages)
"""


@pytest.fixture(scope="module")
def emulated(emulated_library: Callable[[str], Path]) -> Path:
    return emulated_library("trie_cuda_op")


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


@pytest.mark.slow
def test_errors_in_data_that_an_op_reads_are_those_of_the_cpu(emulated: Path) -> None:
    result = run_script(ERRORS, emulated)
    assert set(result.stdout.splitlines()) == {"agrees"}, result.stdout + result.stderr
