"""Composite that builds a trie from semantic IDs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from recops.ops._composite import first_index
from recops.ops._shapes import check_shape
from recops.ops.trie.composite._sizes import check_depth

_INT32_MAX = 2**31 - 1


def trie_build(
    sids: Tensor, item_ids: Tensor, vocab_sizes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute ``recops::trie_build`` by one stable sort per level."""
    op = "SidTrie.from_sids"
    count, depth, device = item_ids.numel(), len(vocab_sizes), sids.device
    check_depth(op, depth)
    check_shape(op, "sids", sids, count, depth)
    sizes = torch.tensor(vocab_sizes, device=device)
    wrong = first_index((sids < 0) | (sids >= sizes))
    if wrong is not None:
        row, level = wrong
        raise ValueError(
            f"{op}: sids[{row}, {level}] is {int(sids[row, level])}, "
            f"outside the level's vocabulary of {vocab_sizes[level]}"
        )
    rows = torch.arange(count, device=device)
    for level in reversed(range(depth)):
        rows = rows[sids[rows, level].sort(stable=True).indices]
    ordered = sids[rows].long()
    # parts[l, i]: sorted SID i differs from its predecessor in the first l + 1 tokens.
    differs = pad(ordered[1:] != ordered[:-1], (0, 0, 1, 0) if count else (0, 0, 0, 0), value=True)
    parts = differs.cumsum(1).bool().T
    firsts = [level_parts.nonzero()[:, 0] for level_parts in parts]  # first item of each node
    level_counts = [1, *(len(first) for first in firsts)]
    num_nodes = sum(level_counts)
    if num_nodes + count > _INT32_MAX:
        raise ValueError(f"{op}: nodes and items together pass 2^31 − 1")

    tokens = [torch.zeros(1, dtype=torch.int64, device=device)]
    first_child = []
    starts, node_firsts = 1, torch.zeros(1, dtype=torch.int64, device=device)
    for level, first in enumerate(firsts):
        tokens.append(ordered[first, level])
        first_child.append(starts + torch.searchsorted(first, node_firsts))
        starts, node_firsts = starts + len(first), first
    first_child.append(num_nodes + node_firsts)
    first_child.append(torch.tensor([num_nodes + count], device=device))
    children = torch.cat(first_child)
    if count == 0:
        children = torch.ones(2, dtype=torch.int64, device=device)

    ids = item_ids[rows]
    id_order = ids.sort(stable=True).indices
    repeated = first_index(ids[id_order][1:] == ids[id_order][:-1])
    if repeated is not None:
        raise ValueError(f"{op}: item id {int(ids[id_order[repeated[0]]])} is repeated")
    all_tokens = torch.cat(tokens).to(torch.int32 if max(vocab_sizes) > 65536 else torch.uint16)
    return (
        children.int(),
        all_tokens,
        ids,
        rows.int(),
        id_order.int(),
        _stamp(children, torch.cat(tokens), ids),
    )


def _stamp(*contents: Tensor) -> Tensor:
    """Return the fingerprint of ``csrc/trie/fingerprint.h``; integers wrap around."""
    state = torch.full((), 0x243F6A8885A308D3, device=contents[0].device)
    for values in contents:
        position = torch.arange(1, len(values) + 1, device=values.device)
        mixed = (values ^ (position * 0x1E3779B97F4A7C15)) * 0x2545F4914F6CDD1D
        mixed = (mixed ^ (mixed >> 29)) * 0x369DEA0F31A53F85
        state = (state ^ (mixed ^ (mixed >> 32)).sum()) * 0x1E3779B97F4A7C15 + len(values)
    return ((state >> 2) & ((1 << 62) - 1)) | (1 << 62)
