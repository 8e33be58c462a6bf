"""What the rows of a batch decode in, as the ops take it: tries, the masks of each, bans by row."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from recops._checks import INDICES, check_tensor
from recops.state.item_bans import ItemBans
from recops.state.item_mask import ItemMask
from recops.state.trie import SidTrie

Tries = SidTrie | Sequence[SidTrie]
"""One trie for all rows of a batch, or several of one depth, of which each row names its own."""
Masks = ItemMask | Sequence[ItemMask]
"""A mask of the one trie, or one for each of several."""
Bans = ItemBans | list[Tensor] | tuple[Tensor, Tensor]
"""Bans made before, or what :func:`recops.item_bans` makes them of."""


def tries_of(op: str, trie: Tries, trie_index: Tensor | None) -> list[SidTrie]:
    """The tries, alike in depth and device, and indexed where there are several.

    Raises:
        TypeError: something else than tries; an index of another dtype.
        ValueError: no trie, several that differ in depth or device, or have no index.
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
                f"{op}: trie_index must tell each row's of the {len(tries)} tries, got None"
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


def bans_of(op: str, banned: ItemBans, tries: list[SidTrie]) -> list[Tensor]:
    """What the ops take of bans.

    Raises:
        TypeError: something else than bans.
        ValueError: on another device.
    """
    if not isinstance(banned, ItemBans):
        raise TypeError(f"{op}: banned must be ItemBans, got {type(banned).__name__}")
    if banned.positions.device != tries[0].device:
        raise ValueError(
            f"{op}: banned must be on {tries[0].device}, got {banned.positions.device}"
        )
    return [banned.positions, banned.offsets, banned.stamps]
