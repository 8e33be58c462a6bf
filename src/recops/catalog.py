"""A catalogue that items enter and leave while it serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_fields

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from recops._catalog import Catalog
from recops.ops.trie import SidTrie


class SidCatalog:
    """Items and their semantic IDs, changed by one thread while any number read.

    Native and free of torch: numpy arrays go in, and the interpreter's lock is released meanwhile.
    A call that fails changes nothing.

    Args:
        vocab_sizes: how many tokens each level may use.

    Raises:
        ValueError: no level, or a size outside 1 … 2³¹ − 1.
    """

    def __init__(self, vocab_sizes: Sequence[int]) -> None:
        self._catalog = Catalog(list(vocab_sizes))

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """How many tokens each level may use."""
        return tuple(self._catalog.vocab_sizes)

    @property
    def version(self) -> int:
        """0 at first, and one more after each call that changed something."""
        return self._catalog.version

    def __len__(self) -> int:
        return len(self._catalog)

    def insert(self, item_ids: ArrayLike, sids: ArrayLike, replace: bool = False) -> None:
        """Add items. O(n).

        Args:
            item_ids: ``[n]`` integers, each once.
            sids: ``[n, L]`` integers.
            replace: give an item that is there already its new SID; it keeps its place in the order
                of insertion.

        Raises:
            TypeError: something other than integers.
            ValueError: another shape, a repeated id, an id that is there already, a token outside
                its vocabulary.
        """
        op = "SidCatalog.insert"
        self._catalog.insert(
            _int64(op, "item_ids", item_ids, ndim=1), _int64(op, "sids", sids, ndim=2), replace
        )

    def remove(self, item_ids: ArrayLike, missing_ok: bool = False) -> None:
        """Take items out. O(n) amortised.

        Args:
            item_ids: ``[n]`` integers, each once.
            missing_ok: skip ids that are not there.

        Raises:
            TypeError: something other than integers.
            ValueError: another shape, a repeated id, an id that is not there.
        """
        ids = _int64("SidCatalog.remove", "item_ids", item_ids, ndim=1)
        self._catalog.remove(ids, missing_ok)

    def snapshot(self) -> SidTrie:
        """The trie of what is in the catalogue now; later changes do not touch it. O(N · L).

        Its version is the catalogue's. Masks of one version fit no other.
        """
        version, item_ids, sids = self._catalog.entries()
        trie = SidTrie.from_sids(
            torch.from_numpy(sids), torch.from_numpy(item_ids), vocab_sizes=self.vocab_sizes
        )
        return with_fields(trie, stamp=torch.tensor(version))


def _int64(op: str, name: str, values: ArrayLike, *, ndim: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.size == 0 and array.dtype == np.float64:  # An empty list has no dtype of its own.
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or not np.can_cast(array.dtype, np.int64):
        raise TypeError(f"{op}: {name} must be integers of at most 64 bits, got {array.dtype}")
    if array.ndim != ndim:
        raise ValueError(f"{op}: {name} must have {ndim} dimensions, got shape {array.shape}")
    return np.ascontiguousarray(array, dtype=np.int64)
