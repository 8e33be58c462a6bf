"""Checks of the contents of a trie's tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


def problems(
    tensors: Mapping[str, Tensor], vocab_sizes: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    """Yield the name of each invalid tensor and its problem; later checks rely on earlier ones."""
    depth, device = len(vocab_sizes), tensors["tokens"].device
    nodes, items = tensors["tokens"].numel(), tensors["item_ids"].numel()
    first_child, tokens = tensors["first_child"].long(), tensors["tokens"].to(torch.int64)
    counts = first_child.diff()
    if first_child[0] != 1 or first_child[-1] != nodes + items or bool((counts < 0).any()):
        yield "first_child", "must rise from 1 to num_nodes + num_items"
        return
    starts = [0]
    for _ in range(depth + 1):
        if starts[-1] > nodes:
            break
        starts.append(int(first_child[starts[-1]]))
    if len(starts) != depth + 2 or starts[-1] != nodes or sorted(starts) != starts:
        yield "first_child", f"must make a trie of depth {depth}, got other levels"
        return
    if items and bool((counts == 0).any()):
        yield "first_child", "must give every node a child, got one without"
    for level, vocab in enumerate(vocab_sizes):
        level_tokens = tokens[starts[level + 1] : starts[level + 2]]
        if bool(((level_tokens < 0) | (level_tokens >= vocab)).any()):
            yield "tokens", f"must be from 0 to {vocab - 1} at level {level}, got others"
    later_sibling = torch.ones(nodes, dtype=torch.bool, device=device)
    later_sibling[0] = False
    later_sibling[first_child[:-1][first_child[:-1] < nodes]] = False
    if bool((later_sibling[1:] & (tokens.diff() <= 0)).any()):
        yield "tokens", "must ascend among siblings"

    positions = torch.arange(items, device=device)
    for name in ("item_rows", "id_order"):
        if not torch.equal(tensors[name].long().sort().values, positions):
            yield name, "must hold every position once"
            return
    ids = tensors["item_ids"][tensors["id_order"].long()]
    if bool((ids[1:] <= ids[:-1]).any()):
        yield "id_order", "must order the ids, each once"
