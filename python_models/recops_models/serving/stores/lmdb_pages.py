"""Check that an LMDB file contains all pages in use, without a memory map.

Reading a page beyond the end of a memory-mapped file kills the process.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

_META = struct.Struct("<16x24x40xQ40xQQQ")
"""Meta page: roots of the tree of free pages and of the main tree, last page, transaction id."""

_HEAD = struct.Struct("<10xHH2x")
"""Header of any other page: flags, and end of the list of node offsets that follows."""
_BRANCH, _LEAF = 1, 2

_NODE = struct.Struct("<HHHH")
"""Node header. Branch: 48 bits of the child's page number, key length. Leaf: 32 bits of the value's
length, flags, key length."""
_OVERFLOW = 1
"""Flag of a value in overflow pages; the number of the first page follows the key."""

_PAGE = struct.Struct("<Q")
_NONE = 2**64 - 1


def holds_its_pages(path: Path, page_bytes: int) -> bool:
    """Return whether the file contains all pages that its trees refer to. O(pages of keys).

    Args:
        path: path of the file. No process may write to it meanwhile.
        page_bytes: page size.
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
                for first, count, is_tree in _references(data):
                    if first + count > num_pages:
                        return False
                    if is_tree:
                        pages.append(first)
            except struct.error:  # Not a page of a tree: the file is overwritten.
                return False
    return True


def _references(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield first page, number of pages, and whether it is a tree page, for each reference."""
    flags, end = _HEAD.unpack_from(data)
    for (node,) in struct.iter_unpack("<H", data[_HEAD.size : end]):
        low, high, more, key_bytes = _NODE.unpack_from(data, node)
        if flags & _BRANCH:
            yield low | high << 16 | more << 32, 1, True
        elif flags & _LEAF and more & _OVERFLOW:
            size = (low | high << 16) + _HEAD.size
            (first,) = _PAGE.unpack_from(data, node + _NODE.size + key_bytes)
            yield first, -(-size // len(data)), False
