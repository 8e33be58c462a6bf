"""Items banned by row, as positions in their trie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recops._checks import check_device
from recops.state._holder import register_holder, require_fit


@dataclass(frozen=True, eq=False)
class ItemBans:
    """Items that a row of a batch must not be recommended: :func:`item_bans` makes it.

    Where an :class:`ItemMask` takes num_items / 8 bytes a row, this takes four a banned item, and
    decoding looks only at nodes with a ban below them. A pytree of three tensors.

    Attributes:
        positions: ``[*]`` int32, each row's ascending item positions in its trie; −1 bans nothing.
        offsets: ``[B + 1]`` int64: row b's are ``offsets[b]`` up to ``offsets[b + 1]``.
        stamps: ``[number of tries]`` int64, the versions of the tries.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: a tensor of another shape or layout, or on another device than the rest.
    """

    positions: Tensor
    offsets: Tensor
    stamps: Tensor

    def __post_init__(self) -> None:
        require_fit(
            self,
            positions=([torch.int32], "positions"),
            offsets=([torch.int64], "rows + 1"),
            stamps=([torch.int64], "tries"),
        )

    def to(self, device: torch.device | str) -> ItemBans:
        """The same bans on another device."""
        device = check_device("ItemBans.to", "device", device)
        return ItemBans(self.positions.to(device), self.offsets.to(device), self.stamps.to(device))


register_holder(ItemBans, ("positions", "offsets", "stamps"))
