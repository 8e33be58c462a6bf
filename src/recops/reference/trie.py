"""Tries and constrained beam search, defined: dense over the vocabulary, or item by item.

The same signatures as the ops; :func:`sid_trie` and :func:`item_mask` stand for
``SidTrie.from_sids`` and ``SidTrie.mask``, and answer in plain Python objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recops.ops.constrained_beam_search import BeamResult
from recops.ops.trie import SidTrie
from recops.ops.trie_beam_step import BeamStep
from recops.ops.trie_mask import ItemMask


class TrieArrays(NamedTuple):
    """What a :class:`recops.SidTrie` holds, all int64."""

    first_child: Tensor
    tokens: Tensor
    item_ids: Tensor
    item_rows: Tensor
    id_order: Tensor


def sid_trie(sids: Tensor, item_ids: Tensor | None = None) -> TrieArrays:
    """The arrays of ``SidTrie.from_sids``, level by level from the sorted SIDs."""
    count, depth = sids.shape
    ids = torch.arange(count) if item_ids is None else item_ids.long()
    rows = torch.arange(count)
    for level in reversed(range(depth)):
        rows = rows[sids[rows, level].argsort(stable=True)]
    ordered = sids[rows].long()

    first_child, tokens = [1], [0]
    level_nodes = torch.zeros(count, dtype=torch.long)  # which node of its level each item is below
    next_node = 1
    for level in range(depth):
        keys = torch.stack([level_nodes, ordered[:, level]], 1)
        pairs, child = torch.unique(keys, dim=0, return_inverse=True)
        tokens += pairs[:, 1].tolist()
        children = torch.bincount(pairs[:, 0]).tolist()
        for number in children:
            next_node += number
            first_child.append(next_node)
        level_nodes = child
    for number in torch.bincount(level_nodes).tolist():
        next_node += number
        first_child.append(next_node)
    if count == 0:
        first_child = [1, 1]
    return TrieArrays(
        torch.tensor(first_child), torch.tensor(tokens), ids[rows], rows, ids[rows].argsort()
    )


def item_mask(mask: ItemMask, trie: SidTrie) -> Tensor:
    """``[num_items]`` or ``[B, num_items]`` bool: the mask by item position, unpacked."""
    bits = (mask.words.unsqueeze(-1) >> torch.arange(64)) & 1
    return bits.flatten(-2)[..., : trie.num_items].bool()


def _children(trie: SidTrie, node: int) -> range:
    """The children of a node, or the items (as num_nodes + position) of a leaf."""
    return range(int(trie.first_child[node]), int(trie.first_child[node + 1]))


def _level(trie: SidTrie, node: int) -> int:
    return sum(start <= node for start in trie.level_starts()[1:-1])


def _is_offered(trie: SidTrie, child: int, allowed: Tensor | None) -> bool:
    """Whether an allowed item is below ``child``."""
    if child >= trie.num_nodes:
        return allowed is None or bool(allowed[child - trie.num_nodes])
    return any(_is_offered(trie, below, allowed) for below in _children(trie, child))


def trie_beam_step(
    logits: Tensor,
    trie: SidTrie,
    nodes: Tensor,
    scores: Tensor,
    *,
    num_beams: int,
    normalize: str = "vocab",
    allowed: ItemMask | None = None,
) -> BeamStep:
    """See :func:`recops.trie_beam_step`: every token of every beam is scored, and all sorted."""
    batch, width, vocab = logits.shape
    logits = logits if logits.dtype == torch.float64 else logits.float()
    bits = None if allowed is None else item_mask(allowed, trie).expand(batch, -1)
    child_of = torch.full((batch, width, vocab), -1, dtype=torch.int32)
    for b in range(batch):
        for m in range(width):
            node = int(nodes[b, m])
            if node < 0 or scores[b, m] == -torch.inf or _level(trie, node) == trie.depth:
                continue
            for child in _children(trie, node):
                if _is_offered(trie, child, None if bits is None else bits[b]):
                    child_of[b, m, int(trie.tokens[child])] = child

    is_child = child_of >= 0
    live = is_child.any(2, keepdim=True)
    read = live.expand_as(logits) if normalize == "vocab" else is_child
    if bool((read & ~(logits < torch.inf)).any()):
        raise ValueError("trie_beam_step: logits hold NaN or +inf")
    logits = logits.masked_fill(~read, -torch.inf)
    if normalize != "none":
        logits = logits.log_softmax(2)  # NaN in rows that are −inf throughout
    totals = (logits + scores.to(logits.dtype).unsqueeze(2)).masked_fill(~is_child, -torch.inf)
    totals = totals.nan_to_num(nan=-torch.inf, neginf=-torch.inf).flatten(1)

    # A stable sort keeps ties in order of parent and token.
    best, order = totals.sort(dim=1, descending=True, stable=True)
    slots = min(num_beams, order.shape[1])
    chosen = order[:, :slots]
    found = best[:, :slots] > -torch.inf

    def place(values: Tensor, fill: float) -> Tensor:
        padded = values.new_full((batch, num_beams), fill)
        padded[:, :slots] = values.masked_fill(~found, fill)
        return padded

    return BeamStep(
        place(best[:, :slots], -torch.inf),
        place(chosen % max(vocab, 1), -1).int(),
        place(chosen // max(vocab, 1), -1).int(),
        place(child_of.flatten(1).gather(1, chosen), -1),
    )


def constrained_beam_search(
    step: Callable[[Tensor | None, Tensor | None], Tensor],
    trie: SidTrie,
    *,
    batch_size: int,
    num_beams: int,
    normalize: str = "vocab",
    allowed: ItemMask | None = None,
    widths: Sequence[int] | None = None,
    item_prior: Tensor | None = None,
) -> BeamResult:
    """See :func:`recops.constrained_beam_search`; hypotheses are Python lists."""
    nodes = torch.zeros(batch_size, 1, dtype=torch.int32)
    scores = torch.zeros(batch_size, 1)
    paths: list[list[list[int]]] = [[[]] for _ in range(batch_size)]
    tokens = parents = None
    for width in widths or [num_beams] * trie.depth:
        scores, tokens, parents, nodes = trie_beam_step(
            step(tokens, parents),
            trie,
            nodes,
            scores,
            num_beams=width,
            normalize=normalize,
            allowed=allowed,
        )
        paths = [
            [
                [*paths[b][max(int(p), 0)], int(t)]
                for p, t in zip(parents[b], tokens[b], strict=True)
            ]
            for b in range(batch_size)
        ]

    bits = None if allowed is None else item_mask(allowed, trie).expand(batch_size, -1)
    item_ids = torch.full((batch_size, num_beams), -1)
    sids = torch.full((batch_size, num_beams, trie.depth), -1, dtype=torch.int32)
    best = scores.new_full((batch_size, num_beams), -torch.inf)
    for b in range(batch_size):
        place = 0
        for m, node in enumerate(nodes[b].tolist()):
            items = [i - trie.num_nodes for i in _children(trie, node)] if node >= 0 else []
            if bits is not None:
                items = [i for i in items if bits[b, i]]
            if item_prior is not None:
                items.sort(key=lambda i: -float(item_prior[int(trie.item_rows[i])]))
            for item in items[: num_beams - place]:
                item_ids[b, place] = trie.item_ids[item]
                sids[b, place] = torch.tensor(paths[b][m])
                best[b, place] = scores[b, m]
                place += 1
    return BeamResult(item_ids, sids, best)
