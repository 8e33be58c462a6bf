"""States of one moment in a file, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recops.files import SEAL, CorruptFileError, new_file, seal_file, verify_file
from recops_models.serving.active import Active
from recops_models.serving.applied import Guard
from recops_models.serving.checked import Tombstone, Totals, unsealed
from recops_models.serving.damaged import Damaged, Warned, warn
from recops_models.serving.errors import ConflictError, DamagedRecordError, ModelVersionError
from recops_models.serving.generations import (
    UPKEEP,
    begin_generation,
    change,
    chunks,
    generation_after,
    served_now,
    sweep,
    switch,
)
from recops_models.serving.keys import (
    FORGOTTEN,
    TOTALS,
    USERS,
    forgotten_key,
    generation_prefix,
    items_prefix,
    totals_key,
    users_prefix,
)
from recops_models.serving.locks import Lock, paused
from recops_models.serving.record import UserRecord
from recops_models.serving.served import holds_version
from recops_models.serving.snapshot_files import (
    KEPT,
    new_snapshot_in,
    rotate_out,
    sweep_unfinished,
)
from recops_models.serving.stores.store import Store

_FORMAT = 1
_ROWS = 2048
_SCHEMA = pa.schema([("key", pa.binary()), ("value", pa.binary())])
_STATES = b"states/"
"""Before the keys of a generation, whatever its number was."""
_USERS = _STATES + USERS


def take_snapshot(store: Store, folder: Path, *, kept: int = KEPT, warned: Warned = warn) -> Path:
    """Write all that is served, at one moment, to a sealed Parquet file; remove all but the newest,
    once it is read back and whole.

    Columns ``key`` and ``value``, bytes as in the store; the schema's metadata tells of the model.
    The file is whole or not there. While a store without transactions for readers (Redis) is read,
    writing pauses: events wait in their stream.

    Args:
        store: of the states.
        folder: made if need be, its owner's alone; files are named by the time, in UTC.
        kept: so many of them stay, at least 1.
        warned: told of users whose records are damaged: the file has them as they are, and older
            ones may have them whole.

    Raises:
        ValueError: ``kept`` is less than 1.
        CorruptFileError: what was read back is not what was written; older ones stay.
        CorruptStateError: the counts of all are damaged: nothing could be restored from it.
        ConflictError: another model was put into service meanwhile.
        LostLockError: it stalled so long that events were written meanwhile.
        HeldLockError: someone else pauses writing.
        StoreError: the store cannot be read, or is empty.
    """
    if kept < 1:
        raise ValueError(f"take_snapshot: kept must be at least 1, got {kept}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep_unfinished(folder)
    damaged = Damaged()
    with ExitStack() as stack:
        pause = None
        if not store.consistent_scan:
            pause = stack.enter_context(paused(store))
        active = served_now(store)
        if active is None:
            raise ModelVersionError(f"{store.url}: is empty")
        path = new_snapshot_in(folder)
        with new_file(path) as file:
            told = {"format": _FORMAT, "active": active.pack().decode()}
            schema = _SCHEMA.with_metadata({"recops": SEAL, "snapshot": json.dumps(told)})
            with pq.ParquetWriter(file, schema) as writer:
                for chunk in chunks(_entries(store, active), _ROWS):
                    _check(chunk, damaged)
                    keys, values = zip(*chunk, strict=True)
                    writer.write_batch(pa.record_batch([keys, values], schema=schema))
                    if pause is not None:
                        pause.renew()
            if pause is not None:
                pause.require()  # Nobody has written, on a machine with another clock either.
            if served_now(store) != active:
                raise ConflictError(f"{store.url}: another model was put into service meanwhile")
            seal_file(file)
    try:
        verify_file(path)
    except CorruptFileError:
        path.unlink()  # Or it would be taken for the newest.
        raise
    rotate_out(folder, kept)
    damaged.tell(warned, path, "a restore will leave them out")
    return path


def restore_snapshot(
    store: Store, path: Path, *, model: Path | None = None, warned: Warned = warn
) -> int:
    """Serve what a snapshot holds, in place of all that is served now.

    It fills a generation of its own, and the switch is one commit: killed before, it has changed
    nothing. Writing pauses meanwhile. Users who were forgotten since stay forgotten. Events that
    were applied after the snapshot are not in it, and are to be sent again.

    Args:
        store: of the states, which may be empty.
        path: of the snapshot.
        model: the folder of the snapshot's model, which is served from there; None: where it was
            when the snapshot was taken.
        warned: told of users whose records are damaged: they are left out.

    Returns:
        the number of users.

    Raises:
        CorruptFileError: damaged, or no snapshot.
        FileNotFoundError: no such file.
        CorruptStateError: its counts of all are damaged, or it holds records of a newer format.
        ModelVersionError: the model that wrote it is not in the folder.
        HeldLockError: someone else fills a generation, or pauses writing.
        LostLockError: it stalled so long that others have gone on; call it again.
        StoreError: the store cannot be written; it serves what it served.
    """
    verify_file(path)
    wrote = _model_of(path)
    folder = Path(wrote.folder) if model is None else model.resolve()
    if not holds_version(folder, wrote.version):
        raise ModelVersionError(
            f"{path}: is of model {wrote.version.hex()}, which {folder} does not hold; name the "
            "folder that does (--model)"
        )
    damaged = Damaged()
    with Lock(store, UPKEEP) as upkeep:
        with paused(store) as pause:
            guards: list[Guard] = [upkeep, pause]
            generation = generation_after(served_now(store))
            wanted = Active(generation, wrote.version, str(folder))
            begin_generation(store, wanted, guards, anew=True)
            for rows in _rows(path):
                _put(store, rows, generation, guards, damaged)
            switch(store, wanted, guards)
        damaged.tell(warned, path, "they were left out; an older snapshot may have them whole")
        sweep(store, [upkeep])
        (totals,) = store.view([totals_key(wanted.generation)]).values
        return Totals.unpack(totals).users


def _entries(store: Store, active: Active) -> Iterator[tuple[bytes, bytes]]:
    """Tombstones and totals first: a restore has them before the records that they are about."""
    generation = active.generation
    prefix = generation_prefix(generation)
    ordered = [totals_key(generation), users_prefix(generation), items_prefix(generation)]
    for key, value in store.scan([FORGOTTEN, *ordered]):
        yield (_STATES + key.removeprefix(prefix) if key.startswith(prefix) else key), value


def _check(entries: list[tuple[bytes, bytes]], damaged: Damaged) -> None:
    """Find what a restore could not take."""
    for key, value in entries:
        if key == _STATES + TOTALS:
            Totals.unpack(value)
        for prefix in (FORGOTTEN, _USERS):
            if key.startswith(prefix):
                user = key.removeprefix(prefix).decode()
                try:
                    unsealed(user, value, "the record")
                except DamagedRecordError:
                    damaged.add(user)


def _model_of(path: Path) -> Active:
    try:
        with pq.ParquetFile(path) as file:
            told = json.loads(file.schema_arrow.metadata[b"snapshot"])
        if told["format"] != _FORMAT:
            raise CorruptFileError(
                f"{path}: snapshot format {told['format']}, but this recops reads {_FORMAT}"
            )
        return Active.unpack(told["active"].encode())
    except (pa.ArrowException, KeyError, TypeError) as error:
        raise CorruptFileError(f"{path}: is no snapshot ({error})") from error


def _rows(path: Path) -> Iterator[dict[bytes, bytes]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
            yield dict(zip(batch["key"].to_pylist(), batch["value"].to_pylist(), strict=True))


def _put(
    store: Store,
    rows: dict[bytes, bytes],
    generation: int,
    guards: list[Guard],
    damaged: Damaged,
) -> None:
    """Some rows of a snapshot, without the records of those who are forgotten, or damaged."""
    users = {key.removeprefix(_USERS).decode(): key for key in rows if key.startswith(_USERS)}
    stones = [key for key in rows if key.startswith(FORGOTTEN)]
    keys = [totals_key(generation), *stones, *map(forgotten_key, users)]

    def changes(values: list[bytes | None]) -> dict[bytes, bytes | None]:
        of_all, *rest = values
        made: dict[bytes, bytes | None] = {
            generation_prefix(generation) + key.removeprefix(_STATES): value
            for key, value in rows.items()
            if key.startswith(_STATES)
        }
        for key, value in zip(stones, rest, strict=False):
            user = key.removeprefix(FORGOTTEN).decode()
            try:
                newer = Tombstone.unpack(user, rows[key]).seq > Tombstone.unpack(user, value).seq
            except DamagedRecordError:
                damaged.add(user)
                newer = value is None  # A damaged one is no leave to bring the user back.
            if newer:
                made[key] = rows[key]
        left_out = 0
        for (user, key), value in zip(users.items(), rest[len(stones) :], strict=True):
            try:
                stone = Tombstone.unpack(user, made.get(forgotten_key(user), value))
                kept = UserRecord.unpack(user, rows[key]).floor >= stone.seq
            except DamagedRecordError:
                damaged.add(user)
                kept = False
            if not kept:
                del made[generation_prefix(generation) + key.removeprefix(_STATES)]
                left_out += 1
        totals = Totals.unpack(made.get(totals_key(generation), of_all))
        made[totals_key(generation)] = replace(totals, users=totals.users - left_out).pack()
        return made

    change(store, keys, changes, guards)
