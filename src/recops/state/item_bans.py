"""Banned items of each row of a batch, as positions in a trie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recops._checks import check_device
from recops.state._holder import map_tensors, register_holder, require_fit


@dataclass(frozen=True, eq=False)
class ItemBans:
    """Items that must not be recommended to each row of a batch, made by :func:`item_bans`.

    Bans take four bytes per banned item, while an :class:`ItemMask` takes num_items / 8 bytes per
    row. Decoding reads them only at nodes with a banned item below. A pytree of three tensors.

    Attributes:
        positions: ``[*]`` int32, each row's ascending item positions in its trie; −1 bans nothing.
        offsets: ``[B + 1]`` int64; row b has the positions ``offsets[b]`` to ``offsets[b + 1]``.
        stamps: ``[number of tries]`` int64, the versions of the tries.

    Raises:
        TypeError: a tensor has another dtype.
        ValueError: a tensor has another shape or layout, or the tensors are on several devices.
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
        """Return the bans on ``device``; the same object if they are there already."""
        target = check_device("ItemBans.to", "device", device)
        return map_tensors(self, lambda tensor: tensor.to(target))


register_holder(ItemBans, ("positions", "offsets", "stamps"))
