"""Composite of the last step of a search: the items of the best leaves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from recops.ops._data_checks import DataChecks
from recops.ops._shapes import check_dim, check_numel, check_shape
from recops.ops.trie.composite._filter import ItemFilter
from recops.ops.trie.composite._tries import FlatTries, grouped

_OP = "constrained_beam_search"


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
    """Compute ``recops::trie_beam_items``. Reads the device once, with priors twice.

    Slower than a dedicated kernel: without priors it finds the allowed items by binary searches
    over the counts of a leaf, with priors it lists and sorts all items of the leaves.
    """
    check_dim(_OP, "nodes", nodes, 2)
    check_shape(_OP, "scores", scores, *nodes.shape)
    rows, checks = len(nodes), DataChecks()
    groups = [(first_child, tokens, stamp), *grouped(more_tries or [], 3)]
    tries = FlatTries(_OP, groups, depth, trie_index, rows, checks)
    nodes, scores = _checked_leaves(tries, nodes, scores, checks)
    items = ItemFilter(_OP, tries, [trie[2] for trie in groups], allowed, bans, checks)
    arrays = [(item_ids, item_rows), *grouped(more_items or [], 2)]
    _check_arrays(tries, arrays, item_priors)

    begin, end = tries.items(nodes)
    row = items.row_like(nodes)
    available = items.before(end, row) - items.before(begin, row)  # (rows, beams)
    total = available.cumsum(1)
    slot = torch.arange(num_beams, device=nodes.device).expand(rows, -1).contiguous()
    beam = torch.searchsorted(total, slot, right=True)
    is_item = beam < nodes.shape[1]
    beam = beam.clamp(max=nodes.shape[1] - 1)
    rank = slot - (total - available).gather(1, beam)
    if item_priors is None:
        position = items.select(
            begin.gather(1, beam), end.gather(1, beam), rank, max(tries.num_items)
        )
        checks.read()
    else:
        is_read = (available > 0) & (total - available < num_beams)
        size = (end - begin).where(is_read, 0)
        (count,) = checks.read(size.sum())
        entries = _Entries(begin, size, count)
        ordered = _by_prior(tries, items, entries, [each[1] for each in arrays], item_priors)
        entry = (entries.offsets.gather(1, beam) + rank).clamp(0, max(count - 1, 0))
        position = pad(ordered, (0, 1))[entry]

    ids = tries.choose([_take(own_ids, position) for own_ids, _ in arrays])
    leaf, score = nodes.gather(1, beam), scores.gather(1, beam)
    sids = tries.sids(leaf.where(is_item, 0)).int()
    return (
        ids.where(is_item, -1),
        sids.masked_fill(~is_item[:, :, None], -1),
        score.masked_fill(~is_item, -torch.inf),
    )


def _check_arrays(
    tries: FlatTries, arrays: Sequence[Sequence[Tensor]], priors: Sequence[Tensor] | None
) -> None:
    count = len(tries.num_items)
    if len(arrays) != count or (priors is not None and len(priors) != count):
        raise ValueError(
            f"{_OP}: item_ids, item_rows and item_prior must have an entry for each of {count} "
            f"tries, got {sum(map(len, arrays))} and {len(priors or [])} tensors"
        )
    for t, (num_items, (item_ids, item_rows)) in enumerate(
        zip(tries.num_items, arrays, strict=True)
    ):
        check_numel(_OP, "item_ids", item_ids, num_items)
        check_numel(_OP, "item_rows", item_rows, num_items)
        if priors is not None:
            check_numel(_OP, "item_prior", priors[t], num_items)


def _checked_leaves(
    tries: FlatTries, nodes: Tensor, scores: Tensor, checks: DataChecks
) -> tuple[Tensor, Tensor]:
    """Return nodes that are −1 or leaves, and their scores; at least one column of each."""
    nodes = tries.checked_nodes(nodes, checks)
    checks.add(
        (nodes >= 0) & (nodes < tries.leaf_of_row[:, None]),
        lambda wrong: ValueError(
            f"{_OP}: nodes must be leaves, from {int(tries.leaf_of_row[wrong[0]])} on, "
            f"got {int(nodes[tuple(wrong)])}"
        ),
    )
    if nodes.shape[1] == 0:
        return pad(nodes, (0, 1), value=-1), pad(scores, (0, 1))
    return nodes, scores


class _Entries:
    """Items of the leaves in ``[rows, beams]``, one after the other.

    Attributes:
        offsets: the first entry of each leaf, ``[rows, beams]``.
        leaf: the leaf of each entry, as row times beams plus beam.
        row: the row of each entry.
        position: the item position of each entry.
    """

    def __init__(self, begin: Tensor, size: Tensor, count: int) -> None:
        self.offsets = (size.flatten().cumsum(0) - size.flatten()).view_as(size)
        leaves = torch.arange(size.numel(), device=size.device)
        self.leaf = leaves.repeat_interleave(size.flatten(), output_size=count)
        self.row = self.leaf // size.shape[1]
        within = torch.arange(count, device=size.device) - self.offsets.flatten()[self.leaf]
        self.position = begin.flatten()[self.leaf] + within


def _by_prior(
    tries: FlatTries,
    items: ItemFilter,
    entries: _Entries,
    item_rows: Sequence[Tensor],
    priors: Sequence[Tensor],
) -> Tensor:
    """Return the positions of entries: per leaf, allowed ones by descending prior, then others."""
    position, row = entries.position, entries.row
    is_allowed = items.before(position + 1, row) > items.before(position, row)
    checks, values = DataChecks(), torch.zeros_like(position, dtype=priors[0].dtype)
    for t, (rows_of_items, prior) in enumerate(zip(item_rows, priors, strict=True)):
        is_of_trie = tries.index[row] == t
        item_row = _take(rows_of_items, position).long()
        value = _take(prior, item_row)
        _check_priors(position, item_row, value, is_of_trie & is_allowed, len(prior), checks)
        values = torch.where(is_of_trie, value, values)
    checks.read()
    order = values.sort(descending=True, stable=True).indices
    group = 2 * entries.leaf + (~is_allowed).long()
    return position[order[group[order].sort(stable=True).indices]]


def _check_priors(
    position: Tensor,
    item_row: Tensor,
    value: Tensor,
    is_read: Tensor,
    count: int,
    checks: DataChecks,
) -> None:
    checks.add(
        is_read & ((item_row < 0) | (item_row >= count)),
        lambda wrong: IndexError(
            f"{_OP}: item_rows must be from 0 to {count - 1}, "
            f"got item_rows[{int(position[wrong[0]])}] = {int(item_row[wrong[0]])}"
        ),
    )
    checks.add(
        is_read & value.isnan(),
        lambda wrong: ValueError(
            f"{_OP}: item_prior must hold no NaN, got item_prior[{int(item_row[wrong[0]])}] = NaN"
        ),
    )


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Return ``values[index]`` with the index clamped; zeros if there are no values."""
    if len(values) == 0:
        return values.new_zeros(index.shape)
    return values[index.clamp(0, len(values) - 1)]
