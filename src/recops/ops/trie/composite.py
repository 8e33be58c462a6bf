"""Composites of tries and constrained beam search.

A batch's tries lie one after the other in flat tensors, so that rows of several tries take the same
steps. The level starts of the tries are read from the device at each call, as the data checks and
the sizes of results demand.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from recops.ops._composite import first_index

_DEPTH_LIMIT = 1 << 16
_INT32_MAX = 2**31 - 1


class _Tries:
    """Tries of a batch in flat tensors, and the trie of each row."""

    def __init__(
        self,
        op: str,
        tries: Sequence[Sequence[Tensor]],
        depth: int,
        trie_index: Tensor | None,
        rows: int,
    ) -> None:
        device = tries[0][0].device
        _check_depth(op, depth)
        self.depth = depth
        starts = torch.stack([_level_starts(trie[0], depth) for trie in tries]).tolist()
        for (first_child, tokens, *_), own in zip(tries, starts, strict=True):
            _check_structure(op, len(first_child), len(tokens), own)
        self.level_starts = [own[:-1] for own in starts]
        self.num_nodes = [own[-2] for own in starts]
        self.num_items = [own[-1] - own[-2] for own in starts]
        self.first_child = torch.cat([trie[0] for trie in tries]).long()
        self.tokens = torch.cat([trie[1].long() for trie in tries])
        self.index = _row_indices(op, trie_index, len(tries), rows, device)
        self.nodes_of_row = torch.tensor(self.num_nodes, device=device)[self.index]
        self.leaf_of_row = torch.tensor([own[-3] for own in starts], device=device)[self.index]
        bases = [0]
        for count in self.num_nodes:
            bases.append(bases[-1] + count)
        self.token_base = torch.tensor(bases[:-1], device=device)[self.index]
        self.child_base = self.token_base + self.index  # first_child has one entry more per trie

    def check_nodes(self, op: str, nodes: Tensor) -> Tensor:
        """Return nodes ``[rows, …]`` as int64, after checking that they are −1 or in the tries."""
        nodes = nodes.long()
        count = _like_rows(self.nodes_of_row, nodes)
        wrong = first_index((nodes < -1) | (nodes >= count))
        if wrong is not None:
            raise IndexError(
                f"{op}: nodes must be from 0 to {int(self.nodes_of_row[wrong[0]]) - 1}, "
                f"or -1 for none, got {int(nodes[tuple(wrong)])}"
            )
        return nodes

    def below(self, nodes: Tensor) -> Tensor:
        """Return ``first_child`` of nodes ``[rows, …]``, read within the arrays."""
        most = _like_rows(self.nodes_of_row, nodes)
        base = _like_rows(self.child_base, nodes)
        return self.first_child[base + nodes.clamp(min=0).minimum(most)]

    def token(self, nodes: Tensor) -> Tensor:
        """Return the tokens of the edges to nodes ``[rows, …]``, read within the arrays."""
        most = _like_rows(self.nodes_of_row, nodes) - 1
        base = _like_rows(self.token_base, nodes)
        return self.tokens[base + nodes.clamp(min=0).minimum(most)]

    def children(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first child and the end; an empty interval for leaves and for −1."""
        most = _like_rows(self.nodes_of_row, nodes)
        is_inner = (nodes >= 0) & (nodes < _like_rows(self.leaf_of_row, nodes))
        begin = self.below(nodes).clamp(min=0).minimum(most)
        end = self.below(nodes + 1).maximum(begin).minimum(most)
        return begin.where(is_inner, 0), end.where(is_inner, 0)

    def items(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first item position below nodes and the end; an empty interval for −1."""
        most = _like_rows(self.nodes_of_row, nodes)
        begin, end = nodes, nodes + 1
        for _ in range(self.depth + 1):
            is_node = begin < most
            begin, end = (
                self.below(begin).where(is_node, begin),
                self.below(end).where(is_node, end),
            )
        is_node = nodes >= 0
        begin = (begin - most).clamp(min=0)
        return begin.where(is_node, 0), (end - most).maximum(begin).where(is_node, 0)

    def find_child(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """Return the child of each node for a token, or −1."""
        low, end = self.children(nodes)
        high = end
        for _ in range(max(self.num_nodes).bit_length()):
            middle = (low + high) // 2
            is_below = (self.token(middle) < tokens) & (low < high)
            low, high = (
                (middle + 1).where(is_below, low),
                high.where(is_below, middle.minimum(high)),
            )
        return low.where((low < end) & (self.token(low) == tokens), -1)

    def sids(self, leaves: Tensor) -> Tensor:
        """Return the tokens ``[rows, K, depth]`` on the paths to leaves ``[rows, K]``."""
        # The children of a flat trie ascend, and `gap` separates the tries.
        gap = _INT32_MAX + 1
        counts = torch.tensor(self.num_nodes, device=leaves.device) + 1
        owner = torch.repeat_interleave(
            torch.arange(len(counts), device=leaves.device),
            counts,
            output_size=len(self.first_child),
        )
        keys = self.first_child + gap * owner
        shift = gap * self.index[:, None]
        nodes, tokens = leaves, []
        for _ in range(self.depth):
            tokens.append(self.token(nodes))
            nodes = torch.searchsorted(keys, nodes + shift, right=True) - 1
            nodes = (nodes - self.child_base[:, None]).clamp(min=0)
        return torch.stack(tokens[::-1], -1)


def _check_depth(op: str, depth: int) -> None:
    if not 1 <= depth <= _DEPTH_LIMIT:
        raise ValueError(f"{op}: depth must be from 1 to {_DEPTH_LIMIT}, got {depth}")


def _level_starts(first_child: Tensor, depth: int) -> Tensor:
    """Return the first node of levels 0 … depth + 1, then the end of the items."""
    last = len(first_child) - 1
    starts = [first_child.new_tensor(0, dtype=torch.int64), first_child.new_tensor(1).long()]
    for _ in range(depth):
        starts.append(first_child[starts[-1].clamp(0, last)].long())
    return torch.stack([*starts, first_child[last].long()])


def _check_structure(op: str, children: int, num_nodes: int, starts: list[int]) -> None:
    """Check the level starts of a trie, which :func:`_level_starts` returned."""
    depth = len(starts) - 3
    if children != num_nodes + 1:
        raise ValueError(f"{op}: first_child must have {num_nodes + 1} values, got [{children}]")
    for level in range(1, depth + 1):
        start, following = starts[level], starts[level + 1]
        if not start <= following <= num_nodes:
            raise ValueError(
                f"{op}: trie must be in breadth-first order, got first_child[{start}] = {following}"
            )
    if starts[-2] != num_nodes or starts[-1] < num_nodes:
        raise ValueError(f"{op}: trie must be of depth {depth}, got first_child of another")


def _row_indices(
    op: str, trie_index: Tensor | None, count: int, rows: int, device: torch.device
) -> Tensor:
    """Return the trie of each row."""
    if trie_index is None:
        return torch.zeros(rows, dtype=torch.int64, device=device)
    if trie_index.numel() != rows:
        raise ValueError(f"{op}: trie_index must have {rows} values, got {list(trie_index.shape)}")
    index = trie_index.long()
    wrong = first_index((index < 0) | (index >= count))
    if wrong is not None:
        raise IndexError(
            f"{op}: trie_index must be from 0 to {count - 1}, "
            f"got trie_index{wrong} = {int(index[wrong[0]])}"
        )
    return index


def _like_rows(values: Tensor, tensor: Tensor) -> Tensor:
    """Return values per row in a shape that broadcasts over the other dimensions of ``tensor``."""
    return values.view(-1, *[1] * (tensor.ndim - 1))


def _grouped(tensors: Sequence[Tensor], size: int) -> list[Sequence[Tensor]]:
    return [tensors[i : i + size] for i in range(0, len(tensors), size)]


# ---- Items that may be recommended


def _allowed_items(
    op: str,
    tries: _Tries,
    stamps: Sequence[Tensor],
    allowed: Sequence[Tensor] | None,
    bans: Sequence[Tensor] | None,
    rows: int,
) -> Tensor | None:
    """Return which items each row allows, ``[rows, most items]``; None if all are allowed."""
    if not allowed and not bans:
        return None
    most, device = max(tries.num_items), tries.index.device
    bits = torch.ones((rows, most), dtype=torch.bool, device=device)
    if allowed:
        masks = _grouped(allowed, 2)
        if len(masks) != len(stamps) or len(allowed) % 2:
            raise ValueError(
                f"{op}: allowed must have words and stamp of a mask for each of {len(stamps)} "
                f"tries, got {len(allowed)} tensors"
            )
        for t, (words, stamp) in enumerate(masks):
            _check_version(op, "allowed", stamp, stamps[t])
            _check_mask(op, words, tries.num_items[t], rows)
            own = _unpack(words, tries.num_items[t]).expand(rows, -1)
            own = pad(own, (0, most - tries.num_items[t]))
            bits = torch.where((tries.index == t)[:, None], own, bits)
    if bans:
        positions, offsets, versions = bans
        for t, stamp in enumerate(stamps):
            _check_version(op, "banned", versions.flatten()[t], stamp)
        bits = _without_bans(op, tries, bits, positions, offsets)
    return bits


def _check_version(op: str, name: str, stamp: Tensor, of_trie: Tensor) -> None:
    actual, expected = int(stamp), int(of_trie)
    if actual != expected:
        raise ValueError(f"{op}: {name} must be of trie version {expected}, got version {actual}")


def _check_mask(op: str, words: Tensor, num_items: int, rows: int) -> None:
    width = -(-num_items // 64)
    if words.ndim not in (1, 2) or words.shape[-1] != width:
        raise ValueError(
            f"{op}: allowed must hold {num_items} items, in {width} words, got {list(words.shape)}"
        )
    if words.ndim == 2 and len(words) != rows:
        raise ValueError(
            f"{op}: allowed must have a row for each of the batch's {rows}, got {len(words)}"
        )


def _unpack(words: Tensor, num_items: int) -> Tensor:
    """Return the bits of mask words ``[…, W]`` by item position."""
    bits = (words[..., None] >> torch.arange(64, device=words.device)) & 1
    return bits.flatten(-2)[..., :num_items].bool()


def _pack(bits: Tensor) -> Tensor:
    """Return the mask words ``[rows, W]`` of bits ``[rows, num_items]``."""
    width = -(-bits.shape[1] // 64)
    bits = pad(bits, (0, 64 * width - bits.shape[1])).view(len(bits), width, 64)
    return (bits.long() << torch.arange(64, device=bits.device)).sum(2)


def _without_bans(
    op: str, tries: _Tries, bits: Tensor, positions: Tensor, offsets: Tensor
) -> Tensor:
    rows, most = bits.shape
    if len(offsets) != rows + 1:
        raise ValueError(
            f"{op}: banned must have the offsets of the batch's {rows} rows, "
            f"got {list(offsets.shape)}"
        )
    if not _rise_to(offsets, len(positions)):
        raise ValueError(
            f"{op}: banned must have offsets that rise from 0 to the number of positions, "
            f"{len(positions)}, got others"
        )
    row = _rows_of(offsets, len(positions))
    items = torch.tensor(tries.num_items, device=bits.device)[tries.index]
    position = positions.long()
    is_wrong = position >= items[row]
    falls = (position[1:] < position[:-1]) & (row[1:] == row[:-1])
    wrong = first_index(is_wrong | pad(falls, (1, 0) if len(position) else (0, 0)))
    if wrong is not None:
        bad = int(row[wrong[0]])
        raise ValueError(
            f"{op}: banned must hold ascending positions below {int(items[bad])}, "
            f"got others in row {bad}"
        )
    # Entries of −1 write to an extra column. All writes are False, so their order is irrelevant.
    wide = pad(bits, (0, 1))
    wide[row, position.where(position >= 0, most)] = False
    return wide[:, :most]


def _rise_to(offsets: Tensor, count: int) -> bool:
    is_valid = (offsets[0] == 0) & (offsets[-1] == count) & (offsets[1:] >= offsets[:-1]).all()
    return bool(is_valid)


def _rows_of(offsets: Tensor, count: int) -> Tensor:
    """Return the row of each of ``count`` entries of ragged rows."""
    entries = torch.arange(count, device=offsets.device)
    return torch.searchsorted(offsets, entries, right=True) - 1


def _counts(bits: Tensor) -> Tensor:
    """Return the number of true entries before each position, ``[rows, count + 1]``."""
    return pad(bits.cumsum(1, dtype=torch.int64), (1, 0))


# ---- Beam search


def trie_beam_step(
    logits: Tensor,
    first_child: Tensor,
    tokens: Tensor,
    stamp: Tensor,
    depth: int,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    normalize: str,
    vocab_sizes: Sequence[int] | None,
    trie_index: Tensor | None,
    more_tries: Sequence[Tensor] | None,
    allowed: Sequence[Tensor] | None,
    bans: Sequence[Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute ``recops::trie_beam_step``.

    Much slower than a dedicated kernel: it scores and sorts ``beams · V`` children per row, present
    or not, and with a mask or bans counts the allowed items of each row at each step.
    """
    op = "trie_beam_step"
    rows, _, vocab = logits.shape
    groups = [(first_child, tokens, stamp), *_grouped(more_tries or [], 3)]
    tries = _Tries(op, groups, depth, trie_index, rows)
    nodes = tries.check_nodes(op, nodes)
    bits = _allowed_items(op, tries, [trie[2] for trie in groups], allowed, bans, rows)

    _check_beams(op, tries, nodes, scores, vocab_sizes, vocab)
    begin, end = tries.children(nodes)  # (rows, beams)
    is_dead = (nodes < 0) | (scores == -torch.inf)
    end = end.where(~is_dead, begin)
    child = begin[:, :, None] + torch.arange(vocab, device=logits.device)
    is_child = child < end[:, :, None]
    if bits is not None:
        is_child &= _has_allowed_item(tries, bits, child)
    is_live = is_child.any(2)
    logits = logits.to(scores.dtype)
    token = tries.token(child).clamp(max=max(vocab - 1, 0))
    own = logits.gather(2, token)
    _check_logits(op, tries, logits, begin, end, is_live, is_child, own, normalize)

    if normalize != "none" and vocab:
        among = logits if normalize == "vocab" else own.masked_fill(~is_child, -torch.inf)
        largest = among.amax(2, keepdim=True)  # subtracted first, so that large logits lose nothing
        own = (own - largest) - (among - largest).logsumexp(2, keepdim=True)
    totals = (own + scores[:, :, None]).masked_fill(~is_child, -torch.inf)
    totals = totals.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).flatten(1)
    # The stable sort orders ties by parent, then by token.
    best, order = totals.sort(dim=1, descending=True, stable=True)
    best, order = best[:, :num_beams], order[:, :num_beams]
    is_candidate = best > -torch.inf
    missing = num_beams - best.shape[1]

    def column(values: Tensor) -> Tensor:
        return pad(values.masked_fill(~is_candidate, -1).int(), (0, missing), value=-1)

    return (
        pad(best, (0, missing), value=-torch.inf),
        column(token.flatten(1).gather(1, order)),
        column(order // max(vocab, 1)),
        column(child.flatten(1).gather(1, order)),
    )


def _check_beams(
    op: str,
    tries: _Tries,
    nodes: Tensor,
    scores: Tensor,
    vocab_sizes: Sequence[int] | None,
    vocab: int,
) -> None:
    """Check that live beams have scores, and logits of a size for their level's vocabulary."""
    wrong = first_index((nodes >= 0) & scores.isnan())
    if wrong is not None:
        raise ValueError(f"{op}: scores must hold no NaN, got scores{wrong} = NaN")
    if vocab_sizes is None:
        return
    for t, starts in enumerate(tries.level_starts):
        own = vocab_sizes[t * tries.depth : (t + 1) * tries.depth]
        of_trie = nodes.where((tries.index == t)[:, None], -1)
        for level, size in enumerate(own):
            is_at_level = (of_trie >= starts[level]) & (of_trie < starts[level + 1])
            if size > vocab and bool(is_at_level.any()):
                raise ValueError(
                    f"{op}: logits must cover the vocabulary of level {level}, {size} tokens, "
                    f"got {vocab}"
                )


def _has_allowed_item(tries: _Tries, bits: Tensor, nodes: Tensor) -> Tensor:
    """Return whether an allowed item is below each of the nodes ``[rows, …]``."""
    begin, end = tries.items(nodes.minimum(_like_rows(tries.nodes_of_row, nodes) - 1))
    counts = _counts(bits)
    before = counts.gather(1, begin.flatten(1).clamp(max=bits.shape[1]))
    until = counts.gather(1, end.flatten(1).clamp(max=bits.shape[1]))
    return (until > before).view(nodes.shape)


def _check_logits(
    op: str,
    tries: _Tries,
    logits: Tensor,
    begin: Tensor,
    end: Tensor,
    is_live: Tensor,
    is_child: Tensor,
    of_children: Tensor,
    normalize: str,
) -> None:
    """Check that logits have a column for each child's token, and no NaN and no +inf."""
    vocab = logits.shape[2]
    is_wide = is_live & ((tries.token(end - 1) >= vocab) | (end - begin > vocab))
    is_bad = (
        ~(logits < torch.inf) if normalize == "vocab" else is_child & ~(of_children < torch.inf)
    )
    wrong = first_index(is_wide | (is_live & is_bad.any(2)))
    if wrong is None:
        return
    row, beam = wrong
    if bool(is_wide[row, beam]):
        children = torch.arange(int(begin[row, beam]), int(end[row, beam]), device=logits.device)
        child_tokens = tries.tokens[tries.token_base[row] + children]
        too_large = child_tokens[child_tokens >= vocab]
        token = int(too_large[0]) if len(too_large) else vocab
        raise ValueError(
            f"{op}: logits must have a column for each token of the trie, "
            f"got {vocab} and token {token}"
        )
    raise ValueError(f"{op}: logits must hold no NaN and no +inf, got one in logits[{row}, {beam}]")


def trie_beam_items(
    first_child: Tensor,
    tokens: Tensor,
    stamp: Tensor,
    item_ids: Tensor,
    item_rows: Tensor,
    depth: int,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    trie_index: Tensor | None,
    more_tries: Sequence[Tensor] | None,
    more_items: Sequence[Tensor] | None,
    allowed: Sequence[Tensor] | None,
    bans: Sequence[Tensor] | None,
    item_priors: Sequence[Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``recops::trie_beam_items``.

    Much slower than a dedicated kernel: it counts the allowed items of each row, ``[B, N]``, and
    sorts all items of a trie by prior.
    """
    op = "constrained_beam_search"
    rows, width = nodes.shape
    groups = [(first_child, tokens, stamp), *_grouped(more_tries or [], 3)]
    tries = _Tries(op, groups, depth, trie_index, rows)
    nodes = tries.check_nodes(op, nodes)
    wrong = first_index((nodes >= 0) & (nodes < tries.leaf_of_row[:, None]))
    if wrong is not None:
        raise ValueError(
            f"{op}: nodes must be leaves, from {int(tries.leaf_of_row[wrong[0]])} on, "
            f"got {int(nodes[tuple(wrong)])}"
        )
    most = max(tries.num_items)
    bits = _allowed_items(op, tries, [trie[2] for trie in groups], allowed, bans, rows)
    if bits is None:
        bits = torch.ones((rows, most), dtype=torch.bool, device=nodes.device)
    begin, end = tries.items(nodes)

    items = [(item_ids, item_rows), *_grouped(more_items or [], 2)]
    order = torch.arange(most, device=nodes.device).expand(rows, -1)
    if item_priors:
        for t, ((_, own_rows), prior) in enumerate(zip(items, item_priors, strict=True)):
            own = _order_by_prior(op, tries, t, own_rows, prior, nodes, begin, end, bits)
            own = pad(own, (0, most - len(own)))
            order = torch.where((tries.index == t)[:, None], own, order)
    counts = _counts(bits.gather(1, order))  # a leaf's items keep its interval in `order`
    if most == 0:
        counts = bits.new_zeros((rows, 1), dtype=torch.int64)
    before = counts.gather(1, begin)
    available = counts.gather(1, end) - before  # (rows, beams)
    total = available.cumsum(1)
    slot = torch.arange(num_beams, device=nodes.device).expand(rows, -1).contiguous()
    beam = torch.searchsorted(total, slot, right=True)
    is_item = beam < width
    beam = beam.clamp(max=max(width - 1, 0))
    if width == 0 or most == 0:
        is_item = torch.zeros_like(slot, dtype=torch.bool)
        position = torch.zeros_like(slot)
        leaf, score = torch.full_like(slot, -1), scores.new_zeros(slot.shape)
    else:
        rank = slot - (total - available).gather(1, beam) + before.gather(1, beam)
        # The item of rank r is the first whose count of items up to it exceeds r.
        rank_in_row = torch.searchsorted(counts[:, 1:].contiguous(), rank.contiguous(), right=True)
        position = order.gather(1, rank_in_row.clamp(max=most - 1))
        leaf, score = nodes.gather(1, beam), scores.gather(1, beam)
    ids = torch.full_like(slot, -1)
    for t, (own_ids, _) in enumerate(items):
        if len(own_ids):
            own = own_ids[position.clamp(max=len(own_ids) - 1)]
            ids = torch.where((tries.index == t)[:, None] & is_item, own, ids)
    sids = tries.sids(leaf.where(is_item, 0)).int().masked_fill(~is_item[:, :, None], -1)
    return ids, sids, score.masked_fill(~is_item, -torch.inf)


def _order_by_prior(
    op: str,
    tries: _Tries,
    trie: int,
    item_rows: Tensor,
    prior: Tensor,
    nodes: Tensor,
    begin: Tensor,
    end: Tensor,
    bits: Tensor,
) -> Tensor:
    """Return the item positions of a trie, with the items of each leaf by descending prior."""
    count = len(item_rows)
    position = torch.arange(count, device=item_rows.device)
    # Only items that can be returned are checked: the allowed ones below the leaves.
    is_of_trie = (tries.index == trie)[:, None] & (nodes >= 0)
    changes = bits.new_zeros((len(bits), bits.shape[1] + 1), dtype=torch.int64)
    starts = begin.where(is_of_trie, bits.shape[1])
    ends = end.where(is_of_trie, bits.shape[1])
    changes = changes.scatter_add(1, starts, torch.ones_like(starts))  # exact: integers
    changes = changes.scatter_add(1, ends, -torch.ones_like(ends))
    is_read = ((changes.cumsum(1)[:, :-1] > 0) & bits).any(0)[:count]
    row = item_rows.long()
    wrong = first_index(is_read & ((row < 0) | (row >= count)))
    if wrong is not None:
        raise IndexError(
            f"{op}: item_rows must be from 0 to {count - 1}, "
            f"got item_rows{wrong} = {int(row[wrong[0]])}"
        )
    value = prior[row.clamp(0, max(count - 1, 0))] if count else prior
    wrong = first_index(is_read & value.isnan())
    if wrong is not None:
        raise ValueError(
            f"{op}: item_prior must hold no NaN, got item_prior[{int(row[wrong[0]])}] = NaN"
        )
    starts_of_trie = tries.level_starts[trie]
    first = int(tries.num_nodes[trie])
    base = sum(tries.num_nodes[:trie]) + trie
    leaves = tries.first_child[base + starts_of_trie[-2] : base + first + 1] - first
    leaf = torch.searchsorted(leaves, position, right=True)
    order = value.sort(descending=True, stable=True).indices
    return order[leaf[order].sort(stable=True).indices]


# ---- Lookups


def trie_find(first_child: Tensor, tokens: Tensor, depth: int, sids: Tensor) -> Tensor:
    """Compute ``recops::trie_find`` by binary search of all rows in step."""
    op = "SidTrie.find"
    if sids.ndim != 2 or sids.shape[1] > depth:
        raise ValueError(f"{op}: sids must be [n, at most {depth}], got {list(sids.shape)}")
    tries = _Tries(op, [(first_child, tokens)], depth, None, len(sids))
    nodes = torch.zeros(len(sids), dtype=torch.int64, device=sids.device)
    for token in sids.long().unbind(1):
        nodes = tries.find_child(nodes, token)
    return nodes.int()


def trie_items(
    first_child: Tensor, tokens: Tensor, depth: int, item_ids: Tensor, nodes: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::trie_items``. Reads the number of items from the device."""
    op = "SidTrie.items"
    nodes = nodes.flatten()
    tries = _Tries(op, [(first_child, tokens)], depth, None, len(nodes))
    if len(item_ids) != tries.num_items[0]:
        raise ValueError(
            f"{op}: item_ids must have {tries.num_items[0]} values, got [{len(item_ids)}]"
        )
    begin, end = tries.items(tries.check_nodes(op, nodes))
    end = end.clamp(max=len(item_ids))
    counts = (end - begin).clamp(min=0)
    offsets = pad(counts.cumsum(0), (1, 0))
    total = int(offsets[-1])
    starts = torch.repeat_interleave(begin - offsets[:-1], counts, output_size=total)
    return offsets, item_ids[starts + torch.arange(total, device=nodes.device)]


def trie_allowed_tokens(
    first_child: Tensor, tokens: Tensor, depth: int, nodes: Tensor, vocab_size: int
) -> Tensor:
    """Compute ``recops::trie_allowed_tokens``."""
    op = "SidTrie.allowed_tokens"
    if vocab_size < 0:
        raise ValueError(f"{op}: vocab_size must be at least 0, got {vocab_size}")
    nodes = nodes.flatten()
    tries = _Tries(op, [(first_child, tokens)], depth, None, len(nodes))
    nodes = tries.check_nodes(op, nodes)
    begin, end = tries.children(nodes)
    wrong = first_index((end > begin) & (tries.token(end - 1) >= vocab_size))
    if wrong is not None:
        token = tries.tokens[int(begin[wrong[0]]) : int(end[wrong[0]])]
        raise ValueError(
            f"{op}: vocab_size must cover the tokens of node {int(nodes[wrong[0]])}, "
            f"got {vocab_size} and token {int(token[token >= vocab_size][0])}"
        )
    child = begin[:, None] + torch.arange(vocab_size, device=nodes.device)
    token = tries.token(child).where(child < end[:, None], vocab_size).clamp(max=vocab_size)
    allowed = torch.zeros((len(nodes), vocab_size + 1), dtype=torch.bool, device=nodes.device)
    return allowed.scatter(1, token, True)[:, :vocab_size].contiguous()


def trie_mask(
    item_ids: Tensor, id_order: Tensor, ids: Tensor, offsets: Tensor, keep: bool, missing_ok: bool
) -> Tensor:
    """Compute ``recops::trie_mask``. Makes a bool per item and row before packing."""
    op = "SidTrie.mask"
    _check_offsets(op, ids, offsets)
    position = _positions(op, item_ids, id_order, ids)
    if not missing_ok:
        missing = first_index(position < 0)
        if missing is not None:
            raise ValueError(
                f"{op}: ids must be in the trie (missing_ok=True skips others), "
                f"got {int(ids[missing[0]])}"
            )
    count = len(item_ids)
    bits = torch.full((len(offsets) - 1, count + 1), not keep, device=ids.device)
    # All writes have the same value, so their order is irrelevant.
    bits[_rows_of(offsets, len(ids)), position.where(position >= 0, count)] = keep
    return _pack(bits[:, :count])


def trie_bans(
    item_ids: Sequence[Tensor],
    id_order: Sequence[Tensor],
    trie_index: Tensor | None,
    ids: Tensor,
    offsets: Tensor,
) -> Tensor:
    """Compute ``recops::trie_bans``. Searches all ids in all tries."""
    op = "item_bans"
    rows = len(offsets) - 1
    index = _row_indices(op, trie_index, len(item_ids), rows, ids.device)
    _check_offsets(op, ids, offsets)
    row = _rows_of(offsets, len(ids))
    position = torch.full_like(ids, -1)
    for t, (own_ids, own_order) in enumerate(zip(item_ids, id_order, strict=True)):
        own = _positions(op, own_ids, own_order, ids)
        position = torch.where(index[row] == t, own, position)
    keys = ((row << 32) + position + 1).sort().values
    return ((keys & 0xFFFFFFFF) - 1).int()


def _check_offsets(op: str, ids: Tensor, offsets: Tensor) -> None:
    if len(offsets) < 1:
        raise ValueError(f"{op}: offsets must have an entry more than there are rows, got none")
    if not _rise_to(offsets, len(ids)):
        raise ValueError(
            f"{op}: offsets must rise from 0 to the number of ids, {len(ids)}, got others"
        )


def _positions(op: str, item_ids: Tensor, id_order: Tensor, ids: Tensor) -> Tensor:
    """Return the position of each id, or −1."""
    order, count = id_order.long(), len(item_ids)
    if count == 0:
        return torch.full_like(ids, -1)
    if len(ids) and first_index((order < 0) | (order >= count)) is not None:
        raise IndexError(f"{op}: id_order must hold positions of items, got others")
    order = order.clamp(0, count - 1)
    position = order[torch.searchsorted(item_ids[order], ids).clamp(max=count - 1)]
    return position.where(item_ids[position] == ids, -1)


# ---- Next logits


def trie_next_logits(
    logits: Tensor,
    sequences: Tensor,
    prompt_length: int,
    begin_token: int,
    trie: Sequence[Tensor],
    vocab_sizes: Sequence[int],
    model_tokens: Tensor,
    trie_tokens: Tensor,
    end_tokens: Sequence[int],
    allowed: Sequence[Tensor],
) -> Tensor:
    """Compute ``recops::trie_next_logits``. With a mask, counts the allowed items of each row."""
    op = "SidTrieLogitsProcessor"
    (rows, vocab), length, depth = logits.shape, sequences.shape[1], len(vocab_sizes)
    device = logits.device
    _check_next(op, logits, sequences, prompt_length, model_tokens, trie_tokens, depth, end_tokens)
    masks = len(allowed[0]) if allowed and allowed[0].ndim == 2 else 1
    if (rows % masks if masks else rows) != 0:
        raise ValueError(
            f"{op}: allowed must have rows that divide those of scores, {rows}, got {masks}"
        )
    if allowed and allowed[0].ndim == 2 and masks:
        allowed = [allowed[0].repeat_interleave(rows // masks, 0), allowed[1]]
    tries = _Tries(op, [trie], depth, None, rows)
    bits = _allowed_items(op, tries, [trie[2]], allowed, None, rows)

    level = _tokens_so_far(sequences, prompt_length, begin_token, depth)
    nodes = torch.zeros(rows, dtype=torch.int64, device=device)
    width = trie_tokens.shape[1]
    for step in range(min(depth, length)):
        column = (length - level + step).clamp(0, max(length - 1, 0))
        token = sequences.gather(1, column[:, None])[:, 0]
        is_known = (token >= 0) & (token < width)
        own = trie_tokens[step].long()
        mapped = own[token.clamp(0, max(width - 1, 0))] if width else token
        child = tries.find_child(nodes, mapped.where(is_known, -1))
        nodes = child.where(step < level, nodes)
    nodes = nodes.where(level < depth, -1)

    begin, end = tries.children(nodes)
    sizes = torch.tensor(vocab_sizes, device=device)
    size_of_row = sizes[level.clamp(max=depth - 1)]
    child = begin[:, None] + torch.arange(max(vocab_sizes), device=device)
    is_child = child < end[:, None]
    token = tries.token(child)
    is_mapped = (token >= 0) & (token < size_of_row[:, None])
    # Tokens of siblings ascend, so the last child has the largest.
    is_bad = (end > begin) & (tries.token(end - 1) >= size_of_row)
    if bool(is_bad.any() | (is_child & ~is_mapped).any()):
        raise ValueError(f"{op}: trie must hold tokens of its levels' vocabularies, got others")
    if bits is not None:
        is_child &= _has_allowed_item(tries, bits, child)
    starts = (sizes.cumsum(0) - sizes)[level.clamp(max=depth - 1)]
    entry = (starts[:, None] + token).clamp(0, len(model_tokens) - 1)
    column = model_tokens.long()[entry].where(is_child, vocab)
    # Absent children write −inf to an extra column.
    wide = pad(logits, (0, 1), value=-torch.inf)
    result = torch.full_like(wide, -torch.inf).scatter(1, column, wide.gather(1, column))
    result = result[:, :vocab]
    is_end = torch.zeros(vocab, dtype=torch.bool, device=device)
    is_end[torch.tensor(end_tokens, dtype=torch.int64, device=device)] = True
    result = result.masked_fill(~is_child.any(1, keepdim=True) & is_end, 0)
    if prompt_length < 0:
        return torch.where((level > depth)[:, None], logits, result)
    return result.contiguous()


def _tokens_so_far(sequences: Tensor, prompt_length: int, begin_token: int, depth: int) -> Tensor:
    """Return the number of tokens of its semantic ID that each sequence has.

    It is above ``depth`` if the ID is complete or has no start.
    """
    rows, length = sequences.shape
    if prompt_length >= 0:
        return torch.full((rows,), length - prompt_length, device=sequences.device)
    tail = sequences[:, max(length - depth - 1, 0) :].flip(1)
    if tail.shape[1] == 0:
        return torch.full((rows,), depth + 1, device=sequences.device)
    is_begin = tail == begin_token
    count = torch.arange(tail.shape[1], device=sequences.device)
    return count.where(is_begin, depth + 1).amin(1)


def _check_next(
    op: str,
    logits: Tensor,
    sequences: Tensor,
    prompt_length: int,
    model_tokens: Tensor,
    trie_tokens: Tensor,
    levels: int,
    end_tokens: Sequence[int],
) -> None:
    (rows, vocab), length = logits.shape, sequences.shape[1]
    if len(sequences) != rows:
        raise ValueError(
            f"{op}: input_ids must have a row for each of scores', {rows}, got {len(sequences)}"
        )
    if length < prompt_length:
        raise ValueError(
            f"{op}: prompt_length must be at most {length}, the tokens of input_ids, "
            f"got {prompt_length}"
        )
    depth, width = trie_tokens.shape
    if depth != levels or width > vocab:
        raise ValueError(
            f"{op}: token_map must name tokens of {levels} levels below the model's vocabulary of "
            f"{vocab}, got {list(trie_tokens.shape)}"
        )
    wrong = first_index((model_tokens < 0) | (model_tokens >= vocab))
    if wrong is not None:
        raise ValueError(
            f"{op}: token_map must hold columns of scores, from 0 to {vocab - 1}, "
            f"got {int(model_tokens[wrong[0]])}"
        )
    for token in end_tokens:
        if not 0 <= token < vocab:
            raise ValueError(
                f"{op}: eos_token_id must be a column of scores, from 0 to {vocab - 1}, got {token}"
            )


# ---- Construction


def trie_build(
    sids: Tensor, item_ids: Tensor, vocab_sizes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute ``recops::trie_build`` by one stable sort per level.

    The stamp is another hash than that of the CPU kernel, whose steps depend on each other.
    """
    op = "SidTrie.from_sids"
    count, depth = sids.shape
    device = sids.device
    _check_depth(op, depth)
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
    """Return a positive hash of the contents, from sums of mixed words, which wrap around."""
    state = torch.full((), 0x243F6A8885A308D3, device=contents[0].device)
    for values in contents:
        position = torch.arange(1, len(values) + 1, device=values.device)
        mixed = (values ^ (position * 0x1E3779B97F4A7C15)) * 0x2545F4914F6CDD1D
        mixed = (mixed ^ (mixed >> 29)) * 0x369DEA0F31A53F85
        state = (state ^ (mixed ^ (mixed >> 32)).sum()) * 0x1E3779B97F4A7C15 + len(values)
    return ((state >> 2) & ((1 << 62) - 1)) | (1 << 62)
