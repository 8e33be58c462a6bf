"""Live catalogue of items and semantic IDs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recops._catalog import Catalog
from recops._checks import INT64_MAX, check_device, check_flag, check_integer, check_sizes
from recops.files import CorruptFileError, load_tensors, save_tensors
from recops.state._published import PublishedTries
from recops.state._tokens import refuse_bad_token
from recops.state.trie import SidTrie

_KIND = "sid_catalog"
_TENSORS = ("first_child", "tokens", "item_ids", "item_rows", "id_order")


class SidCatalog:
    """Live catalogue of items and their semantic IDs, for concurrent readers and writers.

    The catalogue is native code without torch. It takes numpy arrays and releases the interpreter
    lock during calls. Each call that changes the catalogue makes a new version, which readers see
    only when it is complete. Writers wait for one another. :meth:`snapshot`, ``len`` and
    :attr:`version` do not wait for writers. A call that fails changes nothing.

    Memory holds the trie of the last snapshot and that of the oldest version that can be restored.
    It also holds the changes of all versions in between, with 8 bytes per item and 4 per token.
    Other tries are freed when no caller references them.

    Args:
        vocab_sizes: the vocabulary size of each level.
        history: number of versions before the newest that :meth:`rollback` can restore, 0 … 4096.

    Raises:
        ValueError: there is no level, a size is outside 1 … 2³¹ − 1, or history is out of range.

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
        self._published: dict[torch.device, PublishedTries] = {}

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Vocabulary size of each level."""
        return tuple(self._catalog.vocab_sizes)

    @property
    def version(self) -> int:
        """Version number of the content, 0 at first; each content has a different number."""
        return self._catalog.version

    @property
    def history(self) -> int:
        """Number of versions before the newest that can be restored."""
        return self._catalog.history

    def __len__(self) -> int:
        return len(self._catalog)

    def insert(self, item_ids: ArrayLike, sids: ArrayLike, replace: bool = False) -> None:
        """Insert items in O(n · log N).

        Args:
            item_ids: ``[n]`` integers, each once.
            sids: ``[n, L]`` integers.
            replace: whether an item that already exists gets its new SID, instead of an error; it
                keeps its position in the order of insertion.

        Raises:
            TypeError: values are not integers.
            ValueError: shapes do not match, an id is repeated or already exists, or a token is
                outside its vocabulary.
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
        """Remove items in O(n · log N).

        Args:
            item_ids: ``[n]`` integers, each once.
            missing_ok: skip ids that do not exist.

        Raises:
            TypeError: values are not integers.
            ValueError: the shape is wrong, or an id is repeated or does not exist.
        """
        op = "SidCatalog.remove"
        check_flag(op, "missing_ok", missing_ok)
        ids = _int64(op, "item_ids", item_ids)
        self._catalog.remove(ids, missing_ok)

    def snapshot(self) -> SidTrie:
        """Return the trie of the current content; later changes do not affect it.

        Its version is that of the catalogue, so its masks do not fit other versions. The changes
        since the last snapshot are merged into that snapshot's trie, in O(changes · log N) plus one
        copy of the arrays. Only the first call for a version merges; later calls return the same
        trie. The tensors share the catalogue's memory and must not be written to.

        Raises:
            ValueError: nodes and items together exceed 2³¹ − 1.
        """
        latest = self._latest
        if latest is not None and latest.version == self._catalog.version:
            return latest
        version, _, arrays = self._catalog.snapshot()
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        trie = _trie(tensors, version, self.vocab_sizes)
        self._latest = trie
        return trie

    def publish(self, device: torch.device | str) -> int:
        """Copy the current version to a device, for :meth:`published`.

        On a GPU the copy runs on a stream of its own, from pinned memory, while searches continue.
        The call waits neither for the copy nor for a search. It does nothing if the device has
        this version. Time is that of :meth:`snapshot` and of one copy in host memory. The device
        holds the new trie and those that searches still use.

        Args:
            device: where searches run.

        Returns:
            The version.

        Raises:
            ValueError: torch does not know the device, or nodes and items together exceed
                2³¹ − 1.

        Examples:
            >>> catalog = recops.SidCatalog([2, 2])
            >>> catalog.insert([10], [[0, 1]])
            >>> catalog.publish("cpu")
            1
            >>> catalog.insert([11], [[1, 1]])  # not published yet
            >>> catalog.published("cpu").item_ids.tolist()
            [10]
        """
        target = check_device("SidCatalog.publish", "device", device)
        tries = self._published.setdefault(target, PublishedTries(target))
        with tries.lock:
            trie = self.snapshot()
            version = trie.version
            if tries.version != version:
                tries.publish(version, trie)
        return version

    def published(self, device: torch.device | str) -> SidTrie:
        """Return the trie that :meth:`publish` copied last, without waiting for a publisher.

        Call it once per search, and use the trie, its masks and its bans together. On a GPU, later
        work on the current stream waits for the copy there; the host does not wait. A search in a
        CUDA graph keeps the trie with which it was captured.

        Args:
            device: a device of :meth:`publish`.

        Raises:
            ValueError: nothing was published to the device.
        """
        op = "SidCatalog.published"
        target = check_device(op, "device", device)
        tries = self._published.get(target)
        trie = None if tries is None else tries.latest()
        if trie is None:
            raise ValueError(f"{op}: device must be one of SidCatalog.publish, got {target}")
        return trie

    def rollback(self, version: int) -> None:
        """Restore an earlier version, under its old number.

        Later versions stay available for :meth:`rollback`. The next change gets a new number. If
        the version's trie is not in memory, restoring costs one merge.

        Args:
            version: one of the last ``history`` + 1 versions.

        Raises:
            ValueError: the version is not available; the message names those that are.
        """
        check_integer("SidCatalog.rollback", "version", version, most=INT64_MAX)
        self._catalog.rollback(version)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the current version to a sealed safetensors file, atomically.

        Raises:
            OSError: the disk is full or the folder is not writable; an existing file is unchanged.
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
        """Load the catalogue that :meth:`save` wrote; the file contains no earlier versions.

        Args:
            path: the file.
            history: as in :class:`SidCatalog`.

        Raises:
            CorruptFileError: the file is damaged, truncated, of a newer format, or of another kind.
            FileNotFoundError: the file does not exist.
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
    """Return ``values`` as an int64 array ``[n, *row]``; only the number of dimensions is checked.

    Raises:
        TypeError: values are not integers.
        ValueError: the number of dimensions is wrong.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{op}: {name} must hold integers, got others ({error})") from error
    if array.size == 0 and array.dtype == np.float64:  # numpy makes an empty list float64.
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or not np.can_cast(array.dtype, np.int64):
        raise TypeError(f"{op}: {name} must be integers that fit into int64, got {array.dtype}")
    if array.shape == (0,):  # numpy makes an empty list one-dimensional.
        array = array.reshape(0, *row)
    if array.ndim != 1 + len(row):
        raise ValueError(
            f"{op}: {name} must have {1 + len(row)} dimensions, got shape {array.shape}"
        )
    return np.ascontiguousarray(array, dtype=np.int64)
