"""Subsets of a trie's items, as bit masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recops._checks import INDICES, check_device, check_list, check_tensor
from recops._load import ops
from recops.state._holder import map_tensors, register_holder, require_fit

ItemIds = Tensor | Sequence[int] | Sequence[Tensor] | Sequence[Sequence[int]]
"""Item ids for all rows of a batch, or a list with the ids of each row."""

_ROW_TYPES = (Tensor, np.ndarray, list, tuple)


@dataclass(frozen=True, eq=False)
class ItemMask:
    """Subset of a trie's items, or one subset per row of a batch, made by :meth:`SidTrie.mask`.

    A pytree of two tensors, so that compiled and exported decoders take it as an input.

    Attributes:
        words: ``[W]`` or ``[B, W]`` int64, W = ⌈num_items / 64⌉. Bit p % 64 of word ⌊p / 64⌋ is set
            if the item at position p (in order of leaves, then of insertion) is allowed.
        stamp: ``[]`` int64, the version of the trie.

    Raises:
        TypeError: a tensor has another dtype.
        ValueError: a tensor has another shape or layout, or the tensors are on several devices.
    """

    words: Tensor
    stamp: Tensor

    def __post_init__(self) -> None:
        require_fit(
            self,
            words=([torch.int64], "words or rows, words"),
            stamp=([torch.int64], ""),
        )

    @property
    def version(self) -> int:
        """Version of the trie that the mask belongs to."""
        return int(self.stamp)

    def to(self, device: torch.device | str) -> ItemMask:
        """Return the mask on ``device``; the same object if it is there already."""
        target = check_device("ItemMask.to", "device", device)
        return map_tensors(self, lambda tensor: tensor.to(target))


register_holder(ItemMask, ("words", "stamp"))


def pack_mask(
    ids: ItemIds, item_ids: Tensor, id_order: Tensor, *, keep: bool, missing_ok: bool
) -> Tensor:
    """Return the words of an :class:`ItemMask` that allows only ``ids`` (keep), or all others."""
    name = "keep" if keep else "drop"
    values = ids if isinstance(ids, Tensor | np.ndarray) else check_list("SidTrie.mask", name, ids)
    is_batch = isinstance(values, list) and any(isinstance(row, _ROW_TYPES) for row in values)
    named = {f"{name}[{b}]": row for b, row in enumerate(values)} if is_batch else {name: values}
    device = item_ids.device
    rows = [_as_ids(row_name, row, device) for row_name, row in named.items()]
    offsets = torch.tensor([0, *(len(row) for row in rows)], device=device).cumsum(0)
    try:
        words = ops.trie_mask(item_ids, id_order, torch.cat(rows), offsets, keep, missing_ok)
    except ValueError as error:  # The op's message calls the argument "ids".
        raise ValueError(str(error).replace(": ids must", f": {name} must", 1)) from None
    return words if is_batch else words[0]


def _as_ids(name: str, ids: object, device: torch.device) -> Tensor:
    try:
        tensor = torch.as_tensor(ids, device=device)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"SidTrie.mask: {name} must hold integers, got others ({error})") from error
    if tensor.numel() == 0:  # torch makes an empty list float32.
        tensor = tensor.to(torch.int64)
    check_tensor("SidTrie.mask", name, tensor, ndim=1, dtypes=INDICES)
    return tensor.to(torch.int64)


def _fake_mask(
    item_ids: Tensor, id_order: Tensor, ids: Tensor, offsets: Tensor, keep: bool, missing_ok: bool
) -> Tensor:
    return item_ids.new_empty((offsets.shape[0] - 1, (item_ids.shape[0] + 63) // 64))


torch.library.register_fake("recops::trie_mask", _fake_mask)
