"""Items banned by row, as positions in their trie."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.utils import _pytree


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
