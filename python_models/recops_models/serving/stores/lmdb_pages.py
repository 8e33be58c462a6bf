"""Which pages of a file of LMDB are in use, told without a map: whoever reads a page by one that
the file lacks is ended by the system.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

_META = struct.Struct("<16x24x40xQ40xQQQ")
"""Of a meta page: the roots of the tree of free pages and of the tree of values, the last page that
was ever taken, the number of the commit."""

_HEAD = struct.Struct("<10xHH2x")
"""Of any other page: its flags, and where its list of nodes ends, which follows."""
_BRANCH, _LEAF = 1, 2

_NODE = struct.Struct("<HHHH")
"""Of a branch's child 48 bits of its number, and the key's length; of a leaf's value its length in
32 bits, its flags, and the key's length."""
_APART = 1
"""The flag of a value that has pages of its own, whose first stands behind the key."""

_PAGE = struct.Struct("<Q")
_NONE = 2**64 - 1


def holds_its_pages(path: Path, page_bytes: int) -> bool:
    """Whether a file holds all the pages that its trees refer to. O(pages of keys).

    Args:
        path: of the file, which nobody writes meanwhile.
        page_bytes: of a page.
    """
    with path.open("rb") as file:
        num_pages = os.fstat(file.fileno()).st_size // page_bytes
        metas = [_META.unpack(os.pread(file.fileno(), _META.size, n * page_bytes)) for n in (0, 1)]
        *roots, _, _ = max(metas, key=lambda meta: meta[-1])
        pages = [root for root in roots if root != _NONE]
        while pages:
            page = pages.pop()
            if page >= num_pages:
                return False
            try:
                data = os.pread(file.fileno(), page_bytes, page * page_bytes)
                for first, count, is_tree in _referred(data):
                    if first + count > num_pages:
                        return False
                    if is_tree:
                        pages.append(first)
            except struct.error:  # No page of a tree: overwritten with something else.
                return False
    return True


def _referred(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Of the pages that a page refers to the first, their number, and whether it is of a tree."""
    flags, end = _HEAD.unpack_from(data)
    for (node,) in struct.iter_unpack("<H", data[_HEAD.size : end]):
        low, high, more, key_bytes = _NODE.unpack_from(data, node)
        if flags & _BRANCH:
            yield low | high << 16 | more << 32, 1, True
        elif flags & _LEAF and more & _APART:
            size = (low | high << 16) + _HEAD.size
            (first,) = _PAGE.unpack_from(data, node + _NODE.size + key_bytes)
            yield first, -(-size // len(data)), False
