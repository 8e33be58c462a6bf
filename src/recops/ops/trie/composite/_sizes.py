"""Sizes of tries, read from the device once per trie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_DEPTH_LIMIT = 1 << 16


@dataclass(frozen=True)
class TrieSizes:
    """Numbers of nodes, items and children of a trie.

    Attributes:
        level_starts: the first node of each level 0 … depth, then ``num_nodes``.
        num_items: number of items.
        most_children: the largest number of children of a node.
    """

    level_starts: tuple[int, ...]
    num_items: int
    most_children: int

    @property
    def num_nodes(self) -> int:
        """Number of nodes, including the root and the leaves."""
        return self.level_starts[-1]

    @property
    def first_leaf(self) -> int:
        """First node of the last level."""
        return self.level_starts[-2]


_READ: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
"""Version counter and sizes per depth, of each ``first_child`` that has been read."""


def trie_sizes(op: str, tries: Sequence[Sequence[Tensor]], depth: int) -> list[TrieSizes]:
    """Return the sizes of tries that begin with ``first_child`` and ``tokens``.

    Raises:
        ValueError: the depth is impossible, or the tensors of a trie do not fit it.
    """
    check_depth(op, depth)
    for first_child, tokens, *_ in tries:
        if len(tokens) == 0:
            raise ValueError(f"{op}: tokens must have a value for the root, got none")
        if len(first_child) != len(tokens) + 1:
            raise ValueError(
                f"{op}: first_child must have {len(tokens) + 1} values, got [{len(first_child)}]"
            )
    new = [trie[0] for trie in tries if _sizes_read(trie[0], depth) is None]
    if new:
        read = torch.stack([_measure(first_child, depth) for first_child in new]).tolist()
        for first_child, (most_children, *starts) in zip(new, read, strict=True):
            _check_starts(op, len(first_child) - 1, starts)
            *level_starts, end = starts
            sizes = TrieSizes(tuple(level_starts), end - level_starts[-1], most_children)
            _, by_depth = _READ.setdefault(first_child, (_changes(first_child), {}))
            by_depth[depth] = sizes
    return [_READ[trie[0]][1][depth] for trie in tries]


def check_depth(op: str, depth: int) -> None:
    """Check that a trie can have ``depth`` levels."""
    if not 1 <= depth <= _DEPTH_LIMIT:
        raise ValueError(f"{op}: depth must be from 1 to {_DEPTH_LIMIT}, got {depth}")


def _sizes_read(first_child: Tensor, depth: int) -> TrieSizes | None:
    changes, by_depth = _READ.get(first_child, (None, {}))
    if changes != _changes(first_child):
        _READ.pop(first_child, None)
        return None
    sizes: TrieSizes | None = by_depth.get(depth)
    return sizes


def _changes(tensor: Tensor) -> int:
    """Return the number of in-place changes of a tensor; inference tensors do not count them."""
    return 0 if tensor.is_inference() else tensor._version


def _measure(first_child: Tensor, depth: int) -> Tensor:
    """Return the most children, the first node of levels 0 … depth + 1, and the end of items."""
    last = len(first_child) - 1
    # An index without dimensions would be read by the host.
    starts = [first_child.new_zeros(1).long(), first_child.new_ones(1).long()]
    for _ in range(depth):
        starts.append(first_child[starts[-1].clamp(0, last)].long())
    bounds = first_child.long().clamp(0, last)  # children are nodes, in a damaged trie too
    is_inner = torch.arange(last, device=first_child.device) < starts[-2]
    most_children = (bounds[1:] - bounds[:-1]).where(is_inner, 0).amax(0, keepdim=True)
    return torch.cat([most_children, *starts, first_child[last:].long()])


def _check_starts(op: str, num_nodes: int, starts: list[int]) -> None:
    """Check the first nodes of levels 0 … depth + 1, followed by the end of the items."""
    depth = len(starts) - 3
    for level in range(1, depth + 1):
        start, following = starts[level], starts[level + 1]
        if not start <= following <= num_nodes:
            raise ValueError(
                f"{op}: trie must be in breadth-first order, got first_child[{start}] = {following}"
            )
    if starts[-2] != num_nodes or starts[-1] < num_nodes:
        raise ValueError(f"{op}: trie must be of depth {depth}, got first_child of another")
