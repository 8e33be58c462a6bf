"""Bans by row, made of item ids."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import INDICES, check_list, check_tensor, check_tuple
from recops._load import ops
from recops.ops.trie._batch import Tries, tries_of
from recops.state.item_bans import ItemBans
from recops.state.trie import SidTrie

__all__ = ["item_bans"]


def item_bans(
    trie: Tries,
    ids: list[Tensor] | tuple[Tensor, Tensor],
    *,
    trie_index: Tensor | None = None,
) -> ItemBans:
    """Ban items by row, as what a user has seen. O(log num_items) an id, whatever the catalogue.

    Args:
        trie: the trie, or several.
        ids: a list of B tensors of item ids, or the pair ``(ids [*], offsets [B + 1])`` of two
            int64 tensors, row b's being ``ids[offsets[b]:offsets[b + 1]]``. Ids that the row's
            trie does not hold are skipped: a user may have seen what is no longer sold.
        trie_index: ``[B]`` int32 or int64, each row's trie, where there are several.

    Returns:
        The bans of B rows.

    Raises:
        TypeError: ids of another dtype; no trie.
        ValueError: offsets that do not fit the ids.
        IndexError: a trie index out of range.

    Source: ours.

    Examples:
        >>> trie = recops.SidTrie.from_sids(torch.tensor([[0, 0], [1, 0], [1, 1]]), vocab_sizes=2)
        >>> bans = recops.item_bans(trie, [torch.tensor([2, 7]), torch.tensor([0])])
        >>> bans.positions.tolist(), bans.offsets.tolist()  # there is no item 7
        ([-1, 2, 0], [0, 2, 3])
    """
    op = "item_bans"
    return make_bans(op, "ids", tries_of(op, trie, trie_index), ids, trie_index)


def make_bans(
    op: str,
    name: str,
    tries: list[SidTrie],
    ids: list[Tensor] | tuple[Tensor, Tensor],
    trie_index: Tensor | None,
) -> ItemBans:
    """The bans of ``ids``, which are the argument ``name`` of ``op``."""
    device = tries[0].device
    if isinstance(ids, tuple):
        flat, offsets = check_tuple(op, name, ids, ("ids", "offsets"))
        check_tensor(op, f"{name}[0]", flat, ndim=1, dtypes=INDICES, device=device)
        check_tensor(op, f"{name}[1]", offsets, ndim=1, dtypes=[torch.int64], device=device)
    else:
        rows = check_list(op, name, ids)
        for place, row in enumerate(rows):
            check_tensor(op, f"{name}[{place}]", row, ndim=1, dtypes=INDICES, device=device)
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
