"""States in a folder of this machine, by LMDB: transactions, safe against crashes."""

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
"""Of addresses, not of disk: the file grows with what is in it."""

_READERS = 1024
_FILE = "data.mdb"


@dataclass(frozen=True, eq=False)
class _Folder:
    """What a process opened, and with which bound of its size."""

    environment: lmdb.Environment
    map_bytes: int


_OPEN: weakref.WeakValueDictionary[Path, _Folder] = weakref.WeakValueDictionary()
"""A process may open a folder once (LMDB's own rule), and share it."""

_OPENING = threading.Lock()
"""Held by whoever opens a folder, or lets go of one: threads may do so at once."""


class LmdbStore(Store):
    """Any number of readers and writers, in any processes of one machine.

    Args:
        url: ``lmdb:PATH``; ``lmdb:PATH?map_bytes=N`` bounds its size. Stores of a process that
            share a folder share its bound, whichever opened it.
        make: the folder, where there is none, its owner's alone: states tell of people.

    Raises:
        ValueError: an unknown parameter.
        StoreError: no folder is or can be made there, it holds something else, its file was cut
            short, or the process has it open with another bound than N.
    """

    consistent_scan = True

    def __init__(self, url: str, *, make: bool = True) -> None:
        self.url = url
        self.path = lmdb_folder(url).resolve()
        if not make and not _is_store(self.path):
            raise StoreError(f"{url}: there is no store")
        map_bytes = _map_bytes(url.partition("?")[2])
        with _OPENING:
            self._folder: _Folder | None = _open(self.path, map_bytes)

    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._transaction() as transaction:
            found = [transaction.get(key) for key in keys]
            return [None if value is None else bytes(value) for value in found]

    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        """See :meth:`Store.commit`. LMDB has one writer at a time, and flushes to the disk."""
        with self._transaction(write=True) as transaction:
            found = int(transaction.get(CLOCK) or 0)
            if found != clock:
                raise ConflictError(f"{self.url}: commit {clock} is {found} by now")
            for key, value in changes.items():
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)
            transaction.put(CLOCK, b"%d" % (clock + 1))

    def scan(self, prefixes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """See :meth:`Store.scan`: one moment, each prefix in the order of its keys."""
        with self._transaction() as transaction, transaction.cursor() as cursor:
            for prefix in prefixes:
                found = cursor.set_range(prefix)
                while found and (key := bytes(cursor.key())).startswith(prefix):
                    yield key, bytes(cursor.value())
                    found = cursor.next()

    def num_bytes(self) -> int:
        """The pages in use, on disk."""
        stat = self._opened().environment.stat()
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(pages * stat["psize"])

    def close(self) -> None:
        """See :meth:`Store.close`: the last of a process closes the folder."""
        with _OPENING:
            self._folder = None

    def _opened(self) -> _Folder:
        folder = self._folder
        if folder is None:
            raise StoreAwayError(f"{self.url}: is closed")
        return folder

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[lmdb.Transaction]:
        folder = self._opened()  # Open as long as this is: another thread may close the store.
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
"""What the system says of a disk that is full; the last is what LMDB calls a write cut short."""


def _open(path: Path, map_bytes: int | None) -> _Folder:
    folder = _OPEN.get(path)
    if folder is not None:
        if map_bytes not in (None, folder.map_bytes):
            raise StoreError(
                f"lmdb:{path}: map_bytes must be {folder.map_bytes} as long as this process has it "
                f"open, got {map_bytes}"
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
    environment.reader_check()  # Slots of processes that were killed.
    folder = _OPEN[path] = _Folder(environment, map_bytes)
    return folder


def _is_store(path: Path) -> bool:
    """Whether a folder holds one; LMDB would begin one in an empty file."""
    return (path / _FILE).is_file() and (path / _FILE).stat().st_size > 0


def _is_cut_short(environment: lmdb.Environment, file: Path) -> bool:
    """Whether pages are missing that are in use: to read one of them would end the process."""
    page_bytes = environment.stat()["psize"]
    if file.stat().st_size >= (environment.info()["last_pgno"] + 1) * page_bytes:
        return False
    # A commit does not write pages that it took and gave back: the last ones may be missing.
    with environment.begin(write=True):  # Nobody else writes meanwhile.
        return not holds_its_pages(file, page_bytes)


def _map_bytes(query: str) -> int | None:
    map_bytes = None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "map_bytes" or not value.isdecimal():
            raise ValueError(f"store: lmdb:PATH takes map_bytes=N, got {name}={value}")
        map_bytes = int(value)
    return map_bytes
