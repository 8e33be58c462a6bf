"""A language model's logits with what leads to no item forbidden, defined: prefix by prefix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops.ops.trie import SidTrie
from recops.ops.trie_mask import ItemMask
from recops.ops.trie_next_logits import TokenMap
from recops.reference.trie import item_mask


def trie_next_logits(
    logits: Tensor,
    sequences: Tensor,
    trie: SidTrie,
    token_map: TokenMap,
    *,
    prompt_length: int | None,
    begin_token: int,
    end_tokens: Sequence[int],
    allowed: ItemMask | None = None,
) -> Tensor:
    """The tokens that follow a sequence's in some allowed item's SID, and no others."""
    rows, depth = len(logits), trie.depth
    sids = torch.empty(trie.num_items, depth, dtype=torch.long)  # by position, of model tokens
    levels = token_map.model_tokens.long().split(list(trie.vocab_sizes))
    starts = [*trie.level_starts(), trie.num_nodes + trie.num_items]
    for level, tokens in enumerate(levels):
        for node in range(starts[level + 1], starts[level + 2]):
            first, last = node, node + 1
            for _ in range(level + 1, depth + 1):
                first, last = int(trie.first_child[first]), int(trie.first_child[last])
            sids[first - trie.num_nodes : last - trie.num_nodes, level] = tokens[trie.tokens[node]]
    bits = torch.ones(1, trie.num_items, dtype=torch.bool)
    if allowed is not None:
        bits = torch.atleast_2d(item_mask(allowed, trie))
    bits = bits.repeat_interleave(rows // len(bits), 0)

    result = torch.full_like(logits, -torch.inf)
    for row, sequence in enumerate(sequences.tolist()):
        if prompt_length is not None:
            prefix = sequence[prompt_length:]
        elif begin_token in sequence:
            prefix = sequence[len(sequence) - sequence[::-1].index(begin_token) :]
        if prompt_length is None and (begin_token not in sequence or len(prefix) > depth):
            result[row] = logits[row]
            continue
        following = []
        if len(prefix) < depth:
            fits = (sids[:, : len(prefix)] == torch.tensor(prefix, dtype=torch.long)).all(1)
            following = sids[fits & bits[row], len(prefix)].tolist()
        result[row, following] = logits[row, following]
        if not following:
            result[row, list(end_tokens)] = 0
    return result
