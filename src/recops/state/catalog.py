"""A catalogue that items enter and leave while it serves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recops._catalog import Catalog
from recops._checks import INT64_MAX, check_flag, check_integer, check_sizes
from recops.files import CorruptFileError, load_tensors, save_tensors
from recops.state._tokens import refuse_bad_token
from recops.state.trie import SidTrie

_KIND = "sid_catalog"
_TENSORS = ("first_child", "tokens", "item_ids", "item_rows", "id_order")


class SidCatalog:
    """Items and their semantic IDs: any number of threads read while others change it.

    Native and free of torch: numpy arrays go in, and the interpreter's lock is released meanwhile.
    Each call that changes something makes a new version, and only then can readers see it, whole.
    Those who change wait for one another; :meth:`snapshot`, ``len`` and :attr:`version` wait for
    none of them. A call that fails changes nothing.

    In memory are the last trie that was asked for, the changes of the versions that can be rolled
    back to (8 bytes an item and 4 a token), the trie at their beginning, and whatever tries are in
    use elsewhere: one that no one holds any longer goes.

    Args:
        vocab_sizes: how many tokens each level may use.
        history: how many versions before the newest :meth:`rollback` can go back to, 0 … 4096.

    Raises:
        ValueError: no level, a size outside 1 … 2³¹ − 1, or another history.

    Examples:
        >>> catalog = recops.SidCatalog([2, 2])
        >>> catalog.insert([10, 11], [[0, 0], [1, 1]])
        >>> before = catalog.snapshot()
        >>> catalog.remove([10])
        >>> catalog.version, catalog.snapshot().item_ids.tolist(), before.item_ids.tolist()
        (2, [11], [10, 11])
        >>> catalog.rollback(1)
        >>> len(catalog)
        2
    """

    def __init__(self, vocab_sizes: Sequence[int], *, history: int = 64) -> None:
        sizes = check_sizes("SidCatalog", "vocab_sizes", vocab_sizes)
        check_integer("SidCatalog", "history", history, most=4096)
        self._catalog = Catalog(sizes, history)
        self._latest: SidTrie | None = None

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """How many tokens each level may use."""
        return tuple(self._catalog.vocab_sizes)

    @property
    def version(self) -> int:
        """Of the content: 0 at first. No two contents of a catalogue have the same number."""
        return self._catalog.version

    @property
    def history(self) -> int:
        """How many versions before the newest can be rolled back to."""
        return self._catalog.history

    def __len__(self) -> int:
        return len(self._catalog)

    def insert(self, item_ids: ArrayLike, sids: ArrayLike, replace: bool = False) -> None:
        """Add items. O(n · log N).

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
        check_flag(op, "replace", replace)
        sizes = self.vocab_sizes
        ids, rows = _int64(op, "item_ids", item_ids), _int64(op, "sids", sids, (len(sizes),))
        if rows.shape != (len(ids), len(sizes)):
            raise ValueError(
                f"{op}: item_ids must be [n] and sids [n, {len(sizes)}], "
                f"got shapes {ids.shape} and {rows.shape}"
            )
        try:
            self._catalog.insert(ids, rows, replace)
        except ValueError:
            refuse_bad_token(op, torch.tensor(rows, device="cpu"), sizes)
            raise

    def remove(self, item_ids: ArrayLike, missing_ok: bool = False) -> None:
        """Take items out. O(n · log N).

        Args:
            item_ids: ``[n]`` integers, each once.
            missing_ok: skip ids that are not there.

        Raises:
            TypeError: something other than integers.
            ValueError: another shape, a repeated id, an id that is not there.
        """
        op = "SidCatalog.remove"
        check_flag(op, "missing_ok", missing_ok)
        ids = _int64(op, "item_ids", item_ids)
        self._catalog.remove(ids, missing_ok)

    def snapshot(self) -> SidTrie:
        """The trie of what is in the catalogue now; later changes do not touch it.

        Its version is the catalogue's: masks of one version fit no other of this catalogue. What
        changed since the last snapshot is merged into its trie: O(changes · log N), and one pass
        over the arrays at the speed of memory. The first to ask for a version has it merged, and it
        is at hand for all others. Its tensors share the catalogue's memory and must not be written
        to.

        Raises:
            ValueError: nodes and items together pass 2³¹ − 1.
        """
        latest = self._latest
        if latest is not None and latest.version == self._catalog.version:
            return latest
        version, _, arrays = self._catalog.snapshot()
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        trie = _trie(tensors, version, self.vocab_sizes)
        self._latest = trie
        return trie

    def rollback(self, version: int) -> None:
        """Make an earlier version the current one again, under its old number.

        Versions after it are kept as well, so that one can go back to them, and the next change
        gets a number that none has had. Costs a merge, if the version's trie is not in use.

        Args:
            version: among the last ``history`` + 1 that were made.

        Raises:
            ValueError: it is not kept; the message says which are.
        """
        check_integer("SidCatalog.rollback", "version", version, most=INT64_MAX)
        self._catalog.rollback(version)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the current version to a sealed safetensors file, whole or not at all.

        Raises:
            OSError: the disk is full or the folder not writable; an older file at ``path`` stays.
        """
        version, last_version, arrays = self._catalog.snapshot()
        save_tensors(
            path,
            {name: torch.from_numpy(array) for name, array in arrays.items()},
            kind=_KIND,
            meta={
                "vocab_sizes": self.vocab_sizes,
                "version": version,
                "last_version": last_version,
            },
        )

    @staticmethod
    def load(path: str | os.PathLike[str], *, history: int = 64) -> SidCatalog:
        """The catalogue that :meth:`save` wrote, at its version; earlier ones are not in the file.

        Args:
            path: the file.
            history: as for :class:`SidCatalog`.

        Raises:
            CorruptFileError: the file is damaged, truncated, of a newer format, or holds something
                else.
            FileNotFoundError: no such file.
            ValueError: ``history`` is outside 0 … 4096.
        """
        tensors, meta = load_tensors(path, kind=_KIND)
        catalog = SidCatalog([1], history=history)
        try:
            sizes, version = tuple(meta["vocab_sizes"]), meta["version"]
            _trie(tensors, version, sizes).validate()
            arrays = {name: tensors[name].numpy() for name in _TENSORS}
            catalog._catalog = Catalog.restore(
                sizes, history, arrays, version, meta["last_version"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFileError(f"{path}: holds no catalogue ({error})") from error
        return catalog


def _trie(tensors: Mapping[str, Tensor], version: int, vocab_sizes: tuple[int, ...]) -> SidTrie:
    arrays = {name: tensors[name] for name in _TENSORS}
    return SidTrie(**arrays, stamp=torch.tensor(version, device="cpu"), vocab_sizes=vocab_sizes)


def _int64(op: str, name: str, values: ArrayLike, row: tuple[int, ...] = ()) -> NDArray[np.int64]:
    """``values`` as an array of ``[n, *row]``, of which the number of dimensions is checked.

    Raises:
        TypeError: something other than integers.
        ValueError: another number of dimensions.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{op}: {name} must hold integers, got others ({error})") from error
    if array.size == 0 and array.dtype == np.float64:  # An empty list has no dtype of its own.
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or not np.can_cast(array.dtype, np.int64):
        raise TypeError(
            f"{op}: {name} must be integers of at most 64 bits, one of them the sign, "
            f"got {array.dtype}"
        )
    if array.shape == (0,):  # Nor has it a shape of its own.
        array = array.reshape(0, *row)
    if array.ndim != 1 + len(row):
        raise ValueError(
            f"{op}: {name} must have {1 + len(row)} dimensions, got shape {array.shape}"
        )
    return np.ascontiguousarray(array, dtype=np.int64)
