"""Composites that make masks and bans from item ids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from recops.ops._data_checks import DataChecks
from recops.ops._shapes import check_numel
from recops.ops.trie.composite._ragged import is_rising, row_of_entry
from recops.ops.trie.composite._tries import row_indices


def trie_mask(
    item_ids: Tensor, id_order: Tensor, ids: Tensor, offsets: Tensor, keep: bool, missing_ok: bool
) -> Tensor:
    """Compute ``recops::trie_mask``. Reads the device once, for the checks.

    A dedicated kernel writes bits; this writes a bool per item and row, and packs them.
    """
    op, checks = "SidTrie.mask", DataChecks()
    _check_offsets(op, ids, offsets, checks)
    position = _positions(op, item_ids, id_order, ids, checks)
    if not missing_ok:
        checks.add(
            position < 0,
            lambda missing: ValueError(
                f"{op}: ids must be in the trie (missing_ok=True skips others), "
                f"got {int(ids[missing[0]])}"
            ),
        )
    rows, count = len(offsets) - 1, len(item_ids)
    bits = torch.full((rows, count + 1), not keep, device=ids.device)
    if rows:
        # All writes have the same value, so their order is irrelevant.
        bits[row_of_entry(offsets, len(ids)), position.where(position >= 0, count)] = keep
    checks.read()
    return _pack(bits[:, :count])


def trie_bans(
    item_ids: Sequence[Tensor],
    id_order: Sequence[Tensor],
    trie_index: Tensor | None,
    ids: Tensor,
    offsets: Tensor,
) -> Tensor:
    """Compute ``recops::trie_bans``. Reads the device once, for the checks.

    Slower than a dedicated kernel: it searches for all ids in all tries, and sorts all bans.
    """
    op, checks = "item_bans", DataChecks()
    rows = max(len(offsets) - 1, 0)
    index = row_indices(op, trie_index, len(item_ids), rows, ids.device, checks)
    _check_offsets(op, ids, offsets, checks)
    position = torch.full_like(ids, -1)
    row = row_of_entry(offsets, len(ids)) if rows else position[:0]
    for t, (own_ids, own_order) in enumerate(zip(item_ids, id_order, strict=True)):
        own = _positions(op, own_ids, own_order, ids, checks)
        if rows:
            position = torch.where(index[row] == t, own, position)
    checks.read()
    keys = ((row << 32) + position + 1).sort().values
    return ((keys & 0xFFFFFFFF) - 1).int()


def _pack(bits: Tensor) -> Tensor:
    """Return the mask words ``[rows, W]`` of bits ``[rows, num_items]``."""
    width = -(-bits.shape[1] // 64)
    bits = pad(bits, (0, 64 * width - bits.shape[1])).view(len(bits), width, 64)
    return (bits.long() << torch.arange(64, device=bits.device)).sum(2)


def _check_offsets(op: str, ids: Tensor, offsets: Tensor, checks: DataChecks) -> None:
    if len(offsets) < 1:
        raise ValueError(f"{op}: offsets must have an entry more than there are rows, got none")
    checks.add(
        ~is_rising(offsets, len(ids)),
        lambda _: ValueError(
            f"{op}: offsets must rise from 0 to the number of ids, {len(ids)}, got others"
        ),
    )


def _positions(
    op: str, item_ids: Tensor, id_order: Tensor, ids: Tensor, checks: DataChecks
) -> Tensor:
    """Return the position of each id, or −1."""
    count = len(item_ids)
    check_numel(op, "id_order", id_order, count)
    if count == 0 or len(ids) == 0:
        return torch.full_like(ids, -1)
    order = id_order.long()
    checks.add(
        (order < 0) | (order >= count),
        lambda _: IndexError(f"{op}: id_order must hold positions of items, got others"),
    )
    order = order.clamp(0, count - 1)
    position = order[torch.searchsorted(item_ids[order], ids).clamp(max=count - 1)]
    return position.where(item_ids[position] == ids, -1)
