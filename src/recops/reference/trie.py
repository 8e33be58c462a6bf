"""Reference of tries and constrained beam search, dense over the vocabulary or item by item.

The functions have the signatures of the ops. :func:`sid_trie` is the reference of
``SidTrie.from_sids``, and :func:`item_mask` unpacks the result of ``SidTrie.mask``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recops.state.beams import BeamResult, BeamStep
from recops.state.item_bans import ItemBans
from recops.state.item_mask import ItemMask
from recops.state.token_map import TokenMap
from recops.state.trie import SidTrie


class TrieArrays(NamedTuple):
    """Tensors of a :class:`recops.SidTrie`, all int64."""

    first_child: Tensor
    tokens: Tensor
    item_ids: Tensor
    item_rows: Tensor
    id_order: Tensor


def sid_trie(sids: Tensor, item_ids: Tensor | None = None) -> TrieArrays:
    """Build the arrays of ``SidTrie.from_sids`` from the sorted SIDs, level by level."""
    count, depth = sids.shape
    ids = torch.arange(count) if item_ids is None else item_ids.long()
    rows = torch.arange(count)
    for level in reversed(range(depth)):
        rows = rows[sids[rows, level].argsort(stable=True)]
    ordered = sids[rows].long()

    first_child, tokens = [1], [0]
    level_nodes = torch.zeros(count, dtype=torch.long)  # each item's node, counted in its level
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
    """Unpack a mask to ``[num_items]`` or ``[B, num_items]`` bool, by item position."""
    bits = (mask.words.unsqueeze(-1) >> torch.arange(64)) & 1
    return bits.flatten(-2)[..., : trie.num_items].bool()


def _tries_of_rows(
    trie: SidTrie | Sequence[SidTrie], trie_index: Tensor | None, batch: int
) -> list[SidTrie]:
    tries = [trie] if isinstance(trie, SidTrie) else trie
    index = [0] * batch if trie_index is None else trie_index.tolist()
    return [tries[i] for i in index]


def _allowed_of_rows(
    trie: SidTrie | Sequence[SidTrie],
    trie_index: Tensor | None,
    batch: int,
    allowed: ItemMask | Sequence[ItemMask] | None,
    banned: ItemBans | None,
) -> list[Tensor]:
    """Return for each row which items are allowed, ``[num_items of its trie]`` bool."""
    masks = [allowed] if isinstance(allowed, ItemMask) else allowed
    index = [0] * batch if trie_index is None else trie_index.tolist()
    rows = []
    for b, row_trie in enumerate(_tries_of_rows(trie, trie_index, batch)):
        bits = torch.ones(row_trie.num_items, dtype=torch.bool)
        if masks is not None:
            bits = item_mask(masks[index[b]], row_trie).expand(batch, -1)[b].clone()
        if banned is not None:
            positions = banned.positions[banned.offsets[b] : banned.offsets[b + 1]].long()
            bits[positions[positions >= 0]] = False
        rows.append(bits)
    return rows


def _children(trie: SidTrie, node: int) -> range:
    """Return the children of a node, or the items (as num_nodes + position) of a leaf."""
    return range(int(trie.first_child[node]), int(trie.first_child[node + 1]))


def _level(trie: SidTrie, node: int) -> int:
    """Return the level of a node; the root has level 0."""
    return sum(start <= node for start in trie.level_starts()[1:-1])


def _is_offered(trie: SidTrie, child: int, allowed: Tensor) -> bool:
    """Check whether an allowed item is below ``child``."""
    if child >= trie.num_nodes:
        return bool(allowed[child - trie.num_nodes])
    return any(_is_offered(trie, below, allowed) for below in _children(trie, child))


def trie_beam_step(
    logits: Tensor,
    trie: SidTrie | Sequence[SidTrie],
    nodes: Tensor,
    scores: Tensor,
    *,
    num_beams: int,
    normalize: str = "vocab",
    allowed: ItemMask | Sequence[ItemMask] | None = None,
    banned: ItemBans | None = None,
    trie_index: Tensor | None = None,
) -> BeamStep:
    """Compute :func:`recops.trie_beam_step` by scoring and sorting all tokens of all beams."""
    batch, width, vocab = logits.shape
    logits = logits if logits.dtype == torch.float64 else logits.float()
    bits = _allowed_of_rows(trie, trie_index, batch, allowed, banned)
    child_of = torch.full((batch, width, vocab), -1, dtype=torch.int32)
    for b, row_trie in enumerate(_tries_of_rows(trie, trie_index, batch)):
        for m in range(width):
            node = int(nodes[b, m])
            if node < 0 or scores[b, m] == -torch.inf or _level(row_trie, node) == row_trie.depth:
                continue
            for child in _children(row_trie, node):
                if _is_offered(row_trie, child, bits[b]):
                    child_of[b, m, int(row_trie.tokens[child])] = child

    is_child = child_of >= 0
    live = is_child.any(2, keepdim=True)
    read = live.expand_as(logits) if normalize == "vocab" else is_child
    if bool((read & ~(logits < torch.inf)).any()):
        raise ValueError("trie_beam_step: logits hold NaN or +inf")
    logits = logits.masked_fill(~read, -torch.inf)
    if normalize != "none":
        logits = logits.log_softmax(2)  # NaN in rows where all logits are −inf
    totals = (logits + scores.to(logits.dtype).unsqueeze(2)).masked_fill(~is_child, -torch.inf)
    totals = totals.nan_to_num(nan=-torch.inf, neginf=-torch.inf).flatten(1)

    # The stable sort orders ties by parent, then by token.
    best, order = totals.sort(dim=1, descending=True, stable=True)
    slots = min(num_beams, order.shape[1])
    chosen = order[:, :slots]
    is_candidate = best[:, :slots] > -torch.inf

    def pad(values: Tensor, fill: float) -> Tensor:
        padded = values.new_full((batch, num_beams), fill)
        padded[:, :slots] = values.masked_fill(~is_candidate, fill)
        return padded

    return BeamStep(
        pad(best[:, :slots], -torch.inf),
        pad(chosen % max(vocab, 1), -1).int(),
        pad(chosen // max(vocab, 1), -1).int(),
        pad(child_of.flatten(1).gather(1, chosen), -1),
    )


def constrained_beam_search(
    step: Callable[[Tensor | None, Tensor | None], Tensor],
    trie: SidTrie | Sequence[SidTrie],
    *,
    batch_size: int,
    num_beams: int,
    normalize: str = "vocab",
    allowed: ItemMask | Sequence[ItemMask] | None = None,
    widths: Sequence[int] | None = None,
    item_prior: Tensor | Sequence[Tensor] | None = None,
    banned: ItemBans | None = None,
    trie_index: Tensor | None = None,
) -> BeamResult:
    """Compute :func:`recops.constrained_beam_search` in PyTorch, with paths as Python lists."""
    tries = _tries_of_rows(trie, trie_index, batch_size)
    depth = (trie if isinstance(trie, SidTrie) else trie[0]).depth
    nodes = torch.zeros(batch_size, 1, dtype=torch.int32)
    scores = torch.zeros(batch_size, 1)
    paths: list[list[list[int]]] = [[[]] for _ in range(batch_size)]
    tokens = parents = None
    for width in widths or [num_beams] * depth:
        scores, tokens, parents, nodes = trie_beam_step(
            step(tokens, parents),
            trie,
            nodes,
            scores,
            num_beams=width,
            normalize=normalize,
            allowed=allowed,
            banned=banned,
            trie_index=trie_index,
        )
        paths = [
            [
                [*paths[b][max(int(p), 0)], int(t)]
                for p, t in zip(parents[b], tokens[b], strict=True)
            ]
            for b in range(batch_size)
        ]

    bits = _allowed_of_rows(trie, trie_index, batch_size, allowed, banned)
    priors = [item_prior] if isinstance(item_prior, Tensor) else item_prior
    index = [0] * batch_size if trie_index is None else trie_index.tolist()
    item_ids = torch.full((batch_size, num_beams), -1)
    sids = torch.full((batch_size, num_beams, depth), -1, dtype=torch.int32)
    best = scores.new_full((batch_size, num_beams), -torch.inf)
    for b, row_trie in enumerate(tries):
        slot = 0
        for m, node in enumerate(nodes[b].tolist()):
            items = [i - row_trie.num_nodes for i in _children(row_trie, node)] if node >= 0 else []
            items = [i for i in items if bits[b][i]]
            if priors is not None:
                prior = priors[index[b]][row_trie.item_rows.long()]
                items.sort(key=lambda i, prior=prior: -float(prior[i]))  # type: ignore[misc]
            for item in items[: num_beams - slot]:
                item_ids[b, slot] = row_trie.item_ids[item]
                sids[b, slot] = torch.tensor(paths[b][m])
                best[b, slot] = scores[b, m]
                slot += 1
    return BeamResult(item_ids, sids, best)


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
    """Compute ``trie_next_logits`` by comparing prefixes with the SIDs of all allowed items."""
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
            matches = (sids[:, : len(prefix)] == torch.tensor(prefix, dtype=torch.long)).all(1)
            following = sids[matches & bits[row], len(prefix)].tolist()
        result[row, following] = logits[row, following]
        if not following:
            result[row, list(end_tokens)] = 0
    return result
