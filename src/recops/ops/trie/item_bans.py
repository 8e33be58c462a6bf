"""Bans of items per row of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import INDICES, check_list, check_tensor, check_tuple
from recops._load import ops
from recops.ops.trie._batch import Tries, check_tries
from recops.state.item_bans import ItemBans
from recops.state.trie import SidTrie

__all__ = ["item_bans"]


def item_bans(
    trie: Tries,
    ids: list[Tensor] | tuple[Tensor, Tensor],
    *,
    trie_index: Tensor | None = None,
) -> ItemBans:
    """Ban items per row, such as those that a user has seen, in O(log num_items) per id.

    Args:
        trie: the trie, or several.
        ids: a list of B tensors of item ids, or the pair ``(ids [*], offsets [B + 1])`` of two
            int64 tensors; row b has ``ids[offsets[b]:offsets[b + 1]]``. Ids that are not in the
            row's trie are skipped, because a user may have seen items that are no longer sold.
        trie_index: ``[B]`` int32 or int64, the index of each row's trie if there are several.

    Returns:
        The bans of B rows.

    Raises:
        TypeError: ids have another dtype, or ``trie`` is not a trie.
        ValueError: the offsets do not match the ids.
        IndexError: a trie index is out of range.

    Source: this library.

    Examples:
        >>> trie = recops.SidTrie.from_sids(torch.tensor([[0, 0], [1, 0], [1, 1]]), vocab_sizes=2)
        >>> bans = recops.item_bans(trie, [torch.tensor([2, 7]), torch.tensor([0])])
        >>> bans.positions.tolist(), bans.offsets.tolist()  # there is no item 7
        ([-1, 2, 0], [0, 2, 3])
    """
    op = "item_bans"
    return make_bans(op, "ids", check_tries(op, trie, trie_index), ids, trie_index)


def make_bans(
    op: str,
    name: str,
    tries: list[SidTrie],
    ids: list[Tensor] | tuple[Tensor, Tensor],
    trie_index: Tensor | None,
) -> ItemBans:
    """Return the bans of ``ids``; errors name the argument ``name`` of ``op``."""
    device = tries[0].device
    if isinstance(ids, tuple):
        flat, offsets = check_tuple(op, name, ids, ("ids", "offsets"))
        check_tensor(op, f"{name}[0]", flat, ndim=1, dtypes=INDICES, device=device)
        check_tensor(op, f"{name}[1]", offsets, ndim=1, dtypes=[torch.int64], device=device)
    else:
        rows = check_list(op, name, ids)
        for b, row in enumerate(rows):
            check_tensor(op, f"{name}[{b}]", row, ndim=1, dtypes=INDICES, device=device)
        offsets = torch.tensor([0, *(len(row) for row in rows)], device=device).cumsum(0)
        flat = torch.cat(rows) if rows else torch.empty(0, dtype=torch.int64, device=device)
    positions = ops.trie_bans(
        [each.item_ids for each in tries],
        [each.id_order for each in tries],
        trie_index,
        flat.to(torch.int64),
        offsets,
    )
    return ItemBans(positions, offsets, torch.stack([each.stamp for each in tries]))


def _fake(
    item_ids: list[Tensor],
    id_order: list[Tensor],
    trie_index: Tensor | None,
    ids: Tensor,
    offsets: Tensor,
) -> Tensor:
    return ids.new_empty(ids.shape, dtype=torch.int32)


torch.library.register_fake("recops::trie_bans", _fake)
