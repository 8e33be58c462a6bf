"""Argument checks for tries, masks and bans of a batch, and their tensors for the ops."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from recops._checks import INDICES, check_tensor
from recops.state.item_bans import ItemBans
from recops.state.item_mask import ItemMask
from recops.state.trie import SidTrie

Tries = SidTrie | Sequence[SidTrie]
"""One trie for all rows of a batch, or several tries of one depth with an index per row."""
Masks = ItemMask | Sequence[ItemMask]
"""A mask of the only trie, or one mask per trie."""
Bans = ItemBans | list[Tensor] | tuple[Tensor, Tensor]
"""Bans, or the ``ids`` argument of :func:`recops.item_bans`."""


def check_tries(op: str, trie: Tries, trie_index: Tensor | None) -> list[SidTrie]:
    """Check ``trie`` and ``trie_index`` and return the tries as a list.

    Raises:
        TypeError: an element is not a trie, or the index has another dtype.
        ValueError: there is no trie, tries differ in depth or device, or there are several tries
            without an index.
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
        raise ValueError(f"{op}: trie must hold at least one SidTrie, got none")
    first = tries[0]
    if len(tries) > 1:
        if trie_index is None:
            raise ValueError(
                f"{op}: trie_index must give the index of each row's trie, "
                f"got None for {len(tries)} tries"
            )
        for each in tries[1:]:
            if each.depth != first.depth or each.device != first.device:
                raise ValueError(
                    f"{op}: trie must hold tries of one depth on one device, got depths "
                    f"{first.depth} and {each.depth} on {first.device} and {each.device}"
                )
    if trie_index is not None:
        check_tensor(op, "trie_index", trie_index, ndim=1, dtypes=INDICES, device=first.device)
    return list(tries)


def trie_tensors(tries: Sequence[SidTrie]) -> list[Tensor]:
    """Return the tensors of tries that the ops take: first_child, tokens and stamp of each."""
    return [t for each in tries for t in (each.first_child, each.tokens, each.stamp)]


def mask_tensors(op: str, allowed: Masks, tries: list[SidTrie]) -> list[Tensor]:
    """Check masks and return the tensors that the ops take: words and stamp of each.

    Raises:
        TypeError: an element is not a mask.
        ValueError: there is not one mask per trie, or a mask is on another device.
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


def ban_tensors(op: str, banned: ItemBans, tries: list[SidTrie]) -> list[Tensor]:
    """Check bans and return the tensors that the ops take: positions, offsets and stamps.

    Raises:
        TypeError: ``banned`` is not an :class:`ItemBans`.
        ValueError: the bans are on another device.
    """
    if not isinstance(banned, ItemBans):
        raise TypeError(f"{op}: banned must be ItemBans, got {type(banned).__name__}")
    if banned.positions.device != tries[0].device:
        raise ValueError(
            f"{op}: banned must be on {tries[0].device}, got {banned.positions.device}"
        )
    return [banned.positions, banned.offsets, banned.stamps]
