"""What the rows of a batch decode in: one trie or several, the masks of each, and bans by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils import _pytree

from recops._load import ops
from recops.ops._checks import INDICES, check_tensor
from recops.ops.trie import SidTrie
from recops.ops.trie_mask import ItemMask

Tries = SidTrie | Sequence[SidTrie]
"""One trie for all rows of a batch, or several of one depth, of which each row names its own."""
Masks = ItemMask | Sequence[ItemMask]
"""A mask of the one trie, or one for each of several."""


def tries_of(op: str, trie: Tries, trie_index: Tensor | None) -> list[SidTrie]:
    """The tries, alike in depth and device, and indexed where there are several.

    Raises:
        TypeError: something else than tries; an index of another dtype.
        ValueError: no trie, several of different depth or device, or no index where one is due.
    """
    if isinstance(trie, SidTrie) and trie_index is None:
        return [trie]
    tries = [trie] if isinstance(trie, SidTrie) else trie
    if not isinstance(tries, list | tuple):
        raise TypeError(f"{op}: trie must be a SidTrie, got {type(trie).__name__}")
    for each in tries:
        if not isinstance(each, SidTrie):
            raise TypeError(f"{op}: trie must hold SidTries, got {type(each).__name__}")
    if not tries:
        raise ValueError(f"{op}: trie must hold at least one SidTrie")
    first = tries[0]
    if len(tries) > 1:
        if trie_index is None:
            raise ValueError(f"{op}: trie_index must tell each row's of the {len(tries)} tries")
        for each in tries[1:]:
            if each.depth != first.depth or each.device != first.device:
                raise ValueError(
                    f"{op}: tries must agree in depth and device, got depths {first.depth} and "
                    f"{each.depth} on {first.device} and {each.device}"
                )
    if trie_index is not None:
        check_tensor(op, "trie_index", trie_index, ndim=1, dtypes=INDICES, device=first.device)
    return list(tries)


def tensors_of(tries: Sequence[SidTrie]) -> list[Tensor]:
    """What the ops take of tries: first_child, tokens and stamp of each."""
    return [t for each in tries for t in (each.first_child, each.tokens, each.stamp)]


def masks_of(op: str, allowed: Masks, tries: list[SidTrie]) -> list[Tensor]:
    """What the ops take of masks: words and stamp of each trie's.

    Raises:
        TypeError: something else than masks.
        ValueError: not one for each trie, or on another device.
    """
    masks = [allowed] if isinstance(allowed, ItemMask) else allowed
    if not isinstance(masks, list | tuple):
        raise TypeError(f"{op}: allowed must be an ItemMask, got {type(allowed).__name__}")
    for mask in masks:
        if not isinstance(mask, ItemMask):
            raise TypeError(f"{op}: allowed must hold ItemMasks, got {type(mask).__name__}")
        if mask.words.device != tries[0].device:
            raise ValueError(f"{op}: allowed must be on {tries[0].device}, got {mask.words.device}")
    if len(masks) != len(tries):
        raise ValueError(f"{op}: allowed must hold {len(tries)} masks, got {len(masks)}")
    return [t for mask in masks for t in (mask.words, mask.stamp)]


@dataclass(frozen=True, eq=False)
class ItemBans:
    """Items that a row of a batch must not be recommended: :func:`item_bans` makes it.

    Where an :class:`ItemMask` takes num_items / 8 bytes a row, this takes four a banned item, and
    decoding looks only at nodes with a ban below them. A pytree of three tensors.

    Attributes:
        positions: ``[*]`` int32, each row's ascending item positions in its trie; −1 bans nothing.
        offsets: ``[B + 1]`` int64: row b's are ``offsets[b]`` up to ``offsets[b + 1]``.
        stamps: ``[number of tries]`` int64, the versions of the tries.
    """

    positions: Tensor
    offsets: Tensor
    stamps: Tensor


def bans_of(op: str, banned: ItemBans) -> list[Tensor]:
    """What the ops take of bans.

    Raises:
        TypeError: something else than bans.
    """
    if not isinstance(banned, ItemBans):
        raise TypeError(f"{op}: banned must be ItemBans, got {type(banned).__name__}")
    return [banned.positions, banned.offsets, banned.stamps]


Bans = ItemBans | list[Tensor] | tuple[Tensor, Tensor]
"""Bans made before, or what :func:`item_bans` makes them of."""

_BANS = ("positions", "offsets", "stamps")
_pytree.register_pytree_node(
    ItemBans,
    lambda bans: ([getattr(bans, name) for name in _BANS], None),
    lambda leaves, _: ItemBans(*leaves),
    serialized_type_name="recops.ItemBans",
    flatten_with_keys_fn=lambda bans: (
        [(_pytree.GetAttrKey(name), getattr(bans, name)) for name in _BANS],
        None,
    ),
)


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
    """
    op = "item_bans"
    tries = tries_of(op, trie, trie_index)
    device = tries[0].device
    if isinstance(ids, tuple):
        flat, offsets = ids
    else:
        rows = list(ids)
        offsets = torch.tensor([0, *(len(row) for row in rows)], device=device).cumsum(0)
        flat = torch.cat(rows) if rows else torch.empty(0, dtype=torch.int64, device=device)
    check_tensor(op, "ids", flat, ndim=1, dtypes=INDICES, device=device)
    check_tensor(op, "offsets", offsets, ndim=1, dtypes=[torch.int64], device=device)
    positions = ops.trie_bans(
        [each.item_ids for each in tries],
        [each.id_order for each in tries],
        trie_index,
        flat.to(torch.int64),
        offsets,
    )
    return ItemBans(positions, offsets, torch.stack([each.stamp for each in tries]))


def _fake_bans(
    item_ids: list[Tensor],
    id_order: list[Tensor],
    trie_index: Tensor | None,
    ids: Tensor,
    offsets: Tensor,
) -> Tensor:
    return ids.new_empty(ids.shape, dtype=torch.int32)


torch.library.register_fake("recops::trie_bans", _fake_bans)
