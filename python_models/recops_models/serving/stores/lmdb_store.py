"""Store in a local folder, backed by LMDB with crash-safe transactions."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

import lmdb

from recops_models.serving.errors import ConflictError, StoreAwayError, StoreError, StoreFullError
from recops_models.serving.stores.lmdb_pages import holds_its_pages
from recops_models.serving.stores.store import CLOCK, Store
from recops_models.serving.stores.store_url import lmdb_folder

_MAP_BYTES = 1 << 40
"""Default bound of the address space. The file on disk grows with its content."""

_READERS = 1024
_FILE = "data.mdb"


@dataclass(frozen=True, eq=False)
class _Folder:
    """Open LMDB environment of this process, and its size bound."""

    environment: lmdb.Environment
    map_bytes: int


_OPEN: weakref.WeakValueDictionary[Path, _Folder] = weakref.WeakValueDictionary()
"""Open folders. LMDB allows a process to open a folder only once, so stores share it."""

_OPENING = threading.Lock()
"""Lock for opening and closing folders from several threads."""


class LmdbStore(Store):
    """Store in an LMDB folder, for any number of processes on one machine.

    Args:
        url: ``lmdb:PATH``, or ``lmdb:PATH?map_bytes=N`` to bound the size. Stores of one process
            that share a folder share its bound.
        create: create a missing folder, with access for its owner only.

    Raises:
        ValueError: an unknown parameter in the URL.
        StoreError: the folder is missing or cannot be created, is not an LMDB folder, has a
            truncated file, or is open in this process with another bound.
    """

    consistent_scan = True

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.url = url
        self.path = lmdb_folder(url).resolve()
        if not create and not _is_store(self.path):
            raise StoreError(f"{url}: there is no store")
        map_bytes = _map_bytes(url.partition("?")[2])
        with _OPENING:
            self._folder: _Folder | None = _open(self.path, map_bytes)

    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._transaction() as transaction:
            values = [transaction.get(key) for key in keys]
            return [None if value is None else bytes(value) for value in values]

    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        """See :meth:`Store.commit`. LMDB allows one writer at a time and flushes to disk."""
        with self._transaction(write=True) as transaction:
            current = int(transaction.get(CLOCK) or 0)
            if current != clock:
                raise ConflictError(f"{self.url}: expected commit {clock}, got {current}")
            for key, value in changes.items():
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)
            transaction.put(CLOCK, b"%d" % (clock + 1))

    def scan(self, prefixes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """See :meth:`Store.scan`. The scan is consistent, and each prefix is in key order."""
        with self._transaction() as transaction, transaction.cursor() as cursor:
            for prefix in prefixes:
                has_entry = cursor.set_range(prefix)
                while has_entry and (key := bytes(cursor.key())).startswith(prefix):
                    yield key, bytes(cursor.value())
                    has_entry = cursor.next()

    def num_bytes(self) -> int:
        """Return the size of the used pages on disk."""
        stat = self._opened().environment.stat()
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(pages * stat["psize"])

    def close(self) -> None:
        """See :meth:`Store.close`. The last store of a process closes the folder."""
        with _OPENING:
            self._folder = None

    def _opened(self) -> _Folder:
        folder = self._folder
        if folder is None:
            raise StoreAwayError(f"{self.url}: is closed")
        return folder

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[lmdb.Transaction]:
        folder = self._opened()  # Keeps it open if another thread closes the store.
        try:
            with folder.environment.begin(write=write) as transaction:
                yield transaction
        except lmdb.MapFullError as error:
            raise StoreFullError(
                f"{self.url}: is full, nothing was written: raise map_bytes"
            ) from error
        except lmdb.Error as error:
            if write and any(text in str(error) for text in _NO_ROOM):
                raise StoreFullError(
                    f"{self.url}: no room on the disk, nothing was written ({error})"
                ) from error
            raise StoreError(f"{self.url}: {error}") from error


_NO_ROOM = ("No space left", "File too large", "quota exceeded", "Input/output error")
"""Messages of the system for a full disk. LMDB reports a short write as an input/output error."""


def _open(path: Path, map_bytes: int | None) -> _Folder:
    folder = _OPEN.get(path)
    if folder is not None:
        if map_bytes not in (None, folder.map_bytes):
            raise StoreError(
                f"lmdb:{path}: map_bytes must be {folder.map_bytes}, because this process has "
                f"opened the store with it, got {map_bytes}"
            )
        return folder
    if map_bytes is None:
        map_bytes = _MAP_BYTES
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = lmdb.open(str(path), map_size=map_bytes, max_readers=_READERS)
    except (OSError, OverflowError, lmdb.Error) as error:
        raise StoreError(f"lmdb:{path}: cannot be opened ({error})") from error
    if _is_cut_short(environment, path / _FILE):
        environment.close()
        raise StoreError(
            f"lmdb:{path}: is damaged, {_FILE} was cut short: restore a snapshot into another store"
        )
    environment.reader_check()  # Frees reader slots of killed processes.
    folder = _OPEN[path] = _Folder(environment, map_bytes)
    return folder


def _is_store(path: Path) -> bool:
    """Return whether a folder holds a store. LMDB would create one in an empty file."""
    return (path / _FILE).is_file() and (path / _FILE).stat().st_size > 0


def _is_cut_short(environment: lmdb.Environment, file: Path) -> bool:
    """Return whether used pages are missing. Reading one would kill the process (SIGBUS)."""
    page_bytes = environment.stat()["psize"]
    if file.stat().st_size >= (environment.info()["last_pgno"] + 1) * page_bytes:
        return False
    # A commit does not write pages that it allocated and freed, so the last ones may be missing.
    with environment.begin(write=True):  # Keeps other writers out.
        return not holds_its_pages(file, page_bytes)


def _map_bytes(query: str) -> int | None:
    map_bytes = None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "map_bytes" or not value.isdecimal():
            raise ValueError(f"store: lmdb:PATH takes map_bytes=N, got {name}={value}")
        map_bytes = int(value)
    return map_bytes
