"""Composites of lookups in a trie: nodes of prefixes, items and tokens below nodes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from recops.ops._data_checks import DataChecks
from recops.ops.trie.composite._sizes import check_depth
from recops.ops.trie.composite._tries import FlatTries


def trie_find(first_child: Tensor, tokens: Tensor, depth: int, sids: Tensor) -> Tensor:
    """Compute ``recops::trie_find`` by binary searches of all rows at once, without a read.

    Slower than a dedicated kernel, because each step of a search is several kernels.
    """
    op = "SidTrie.find"
    check_depth(op, depth)
    if sids.ndim != 2 or sids.shape[1] > depth:
        raise ValueError(f"{op}: sids must be [n, at most {depth}], got {list(sids.shape)}")
    tries = FlatTries(op, [(first_child, tokens)], depth, None, len(sids), DataChecks())
    nodes = torch.zeros(len(sids), dtype=torch.int64, device=sids.device)
    for token in sids.long().unbind(1):
        nodes = tries.find_child(nodes, token)
    return nodes.int()


def trie_items(
    first_child: Tensor, tokens: Tensor, depth: int, item_ids: Tensor, nodes: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::trie_items``. Reads checks and the number of items from the device."""
    op = "SidTrie.items"
    nodes, checks = nodes.flatten(), DataChecks()
    tries = FlatTries(op, [(first_child, tokens)], depth, None, len(nodes), checks)
    if len(item_ids) != tries.num_items[0]:
        raise ValueError(
            f"{op}: item_ids must have {tries.num_items[0]} values, got [{len(item_ids)}]"
        )
    begin, end = tries.items(tries.checked_nodes(nodes, checks))
    offsets = pad((end - begin).cumsum(0), (1, 0))
    (total,) = checks.read(offsets[-1])
    starts = (begin - offsets[:-1]).repeat_interleave(end - begin, output_size=total)
    return offsets, item_ids[starts + torch.arange(total, device=nodes.device)]


def trie_allowed_tokens(
    first_child: Tensor, tokens: Tensor, depth: int, nodes: Tensor, vocab_size: int
) -> Tensor:
    """Compute ``recops::trie_allowed_tokens``. Reads the device once, for the checks."""
    op = "SidTrie.allowed_tokens"
    if vocab_size < 0:
        raise ValueError(f"{op}: vocab_size must be at least 0, got {vocab_size}")
    nodes, checks = nodes.flatten(), DataChecks()
    tries = FlatTries(op, [(first_child, tokens)], depth, None, len(nodes), checks)
    nodes = tries.checked_nodes(nodes, checks)
    begin, end = tries.children(nodes)

    def error(wrong: list[int]) -> Exception:
        node = wrong[0]
        outside = token[node][is_outside[node]]
        return ValueError(
            f"{op}: vocab_size must cover the tokens of node {int(nodes[node])}, "
            f"got {vocab_size} and token {int(outside[0]) if len(outside) else vocab_size}"
        )

    width = min(vocab_size + 1, tries.most_children)  # siblings have different tokens
    child = begin[:, None] + torch.arange(width, device=nodes.device)
    is_child = child < end[:, None]
    token = tries.token(child)
    is_outside = is_child & ((token < 0) | (token >= vocab_size))
    checks.add(is_outside.any(1) | (end - begin > vocab_size), error)
    token = token.where(is_child, vocab_size).clamp(0, vocab_size)
    # Absent children write to an extra column. All writes are true, so their order is irrelevant.
    allowed = torch.zeros((len(nodes), vocab_size + 1), dtype=torch.bool, device=nodes.device)
    allowed = allowed.scatter(1, token, True)[:, :vocab_size].contiguous()
    checks.read()
    return allowed
