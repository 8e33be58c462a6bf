"""Snapshots: consistent copies of all states in a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recops.files import SEAL, CorruptFileError, new_file, seal_file, verify_file
from recops_models.serving.active import Active
from recops_models.serving.damaged_records import DamagedRecords, WarningCallback, warn
from recops_models.serving.errors import ConflictError, DamagedRecordError, ModelVersionError
from recops_models.serving.generations import (
    MAINTENANCE,
    activate,
    change,
    chunks,
    next_generation,
    read_active,
    remove_retired,
    start_generation,
)
from recops_models.serving.guard import Guard
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
from recops_models.serving.locks import Lock, pause_writes
from recops_models.serving.record import UserRecord
from recops_models.serving.sealed_values import Tombstone, Totals, unseal
from recops_models.serving.served_model import holds_version
from recops_models.serving.snapshot_files import (
    DEFAULT_KEEP,
    new_snapshot_in,
    rotate_out,
    sweep_unfinished,
)
from recops_models.serving.stores.store import Store

_logger = logging.getLogger(__name__)

_FORMAT = 1
_ROWS = 2048
_SCHEMA = pa.schema([("key", pa.binary()), ("value", pa.binary())])
_STATES = b"states/"
"""Prefix in a snapshot that replaces the prefix of the generation."""
_USERS = _STATES + USERS


def take_snapshot(
    store: Store, folder: Path, *, keep: int = DEFAULT_KEEP, on_warning: WarningCallback = warn
) -> Path:
    """Write a consistent copy of the served states to a sealed Parquet file, and rotate old files.

    The columns ``key`` and ``value`` hold the bytes of the store; the schema's metadata names the
    model. The file appears only when it is complete. Old snapshots are deleted only after the new
    file has been read back and verified. Redis has no read transactions, so writing pauses there
    and events wait in their stream.

    Args:
        store: the store.
        folder: folder of the snapshots, created with access for its owner only. Files are named by
            the time in UTC.
        keep: number of newest snapshots to keep, at least 1.
        on_warning: receives a warning about users with damaged records. The file contains these
            records as they are; older snapshots may have intact ones.

    Raises:
        ValueError: ``keep`` is less than 1.
        CorruptFileError: the file differs from what was written. Older snapshots are kept.
        CorruptStateError: the totals are damaged, so that the snapshot could not be restored.
        ConflictError: another model was activated meanwhile.
        LostLockError: this process stalled, and others have written meanwhile.
        HeldLockError: another process pauses writing.
        StoreError: the store cannot be read, or is empty.
    """
    if keep < 1:
        raise ValueError(f"take_snapshot: keep must be at least 1, got {keep}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep_unfinished(folder)
    damaged = DamagedRecords()
    with ExitStack() as stack:
        pause = None
        if not store.consistent_scan:
            pause = stack.enter_context(pause_writes(store))
        active = read_active(store)
        if active is None:
            raise ModelVersionError(f"{store.url}: is empty")
        path = new_snapshot_in(folder)
        _logger.info("%s: writing snapshot %s", store.url, path)
        with new_file(path) as file:
            metadata = {"format": _FORMAT, "active": active.pack().decode()}
            schema = _SCHEMA.with_metadata({"recops": SEAL, "snapshot": json.dumps(metadata)})
            with pq.ParquetWriter(file, schema) as writer:
                for chunk in chunks(_entries(store, active), _ROWS):
                    _check_entries(chunk, damaged)
                    keys, values = zip(*chunk, strict=True)
                    writer.write_batch(pa.record_batch([keys, values], schema=schema))
                    if pause is not None:
                        pause.renew()
            if pause is not None:
                pause.require()  # Nobody has written, even on a machine with another clock.
            if read_active(store) != active:
                raise ConflictError(f"{store.url}: another model was put into service meanwhile")
            seal_file(file)
    try:
        verify_file(path)
    except CorruptFileError:
        path.unlink()  # Otherwise it would be the newest snapshot.
        raise
    rotate_out(folder, keep)
    damaged.report(on_warning, path, "a restore will leave them out")
    return path


def restore_snapshot(
    store: Store, path: Path, *, model: Path | None = None, on_warning: WarningCallback = warn
) -> int:
    """Replace the served states by those of a snapshot.

    The snapshot fills its own generation, and one commit activates it: an interrupted restore
    changes nothing. Writing pauses during the restore. Users who were forgotten after the snapshot
    stay forgotten. Events after the snapshot must be sent again.

    Args:
        store: the store, which may be empty.
        path: path of the snapshot.
        model: training folder of the snapshot's model; None uses the folder that the snapshot
            names.
        on_warning: receives a warning about users with damaged records, who are skipped.

    Returns:
        number of restored users.

    Raises:
        CorruptFileError: the file is damaged or not a snapshot.
        FileNotFoundError: the file does not exist.
        CorruptStateError: the snapshot's totals are damaged, or its records have a newer format.
        ModelVersionError: the folder does not hold the snapshot's model.
        HeldLockError: another process fills a generation or pauses writing.
        LostLockError: this process stalled until its lock expired. Call it again.
        StoreError: the store cannot be written. It serves the previous states.
    """
    verify_file(path)
    source = _read_model(path)
    folder = Path(source.folder) if model is None else model.resolve()
    if not holds_version(folder, source.version):
        raise ModelVersionError(
            f"{path}: belongs to model {source.version.hex()}, which {folder} does not hold; name "
            "the folder that does (--model)"
        )
    damaged = DamagedRecords()
    with Lock(store, MAINTENANCE) as maintenance:
        with pause_writes(store) as pause:
            guards: list[Guard] = [maintenance, pause]
            generation = next_generation(read_active(store))
            target = Active(generation, source.version, str(folder))
            start_generation(store, target, guards, discard=True)
            _logger.info("%s: writing pauses; restoring %s", store.url, path)
            for rows in _read_rows(path):
                _write_rows(store, rows, generation, guards, damaged)
            activate(store, target, guards)
        _logger.info("%s: the states of %s are active", store.url, path)
        damaged.report(
            on_warning, path, "they were left out; an older snapshot may have intact records"
        )
        remove_retired(store, [maintenance])
        (totals,) = store.view([totals_key(target.generation)]).values
        return Totals.unpack(totals).users


def _entries(store: Store, active: Active) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a snapshot; tombstones and totals precede the records they concern."""
    generation = active.generation
    prefix = generation_prefix(generation)
    ordered = [totals_key(generation), users_prefix(generation), items_prefix(generation)]
    for key, value in store.scan([FORGOTTEN, *ordered]):
        yield (_STATES + key.removeprefix(prefix) if key.startswith(prefix) else key), value


def _check_entries(entries: list[tuple[bytes, bytes]], damaged: DamagedRecords) -> None:
    """Check the totals, and collect the users with damaged records in ``damaged``."""
    for key, value in entries:
        if key == _STATES + TOTALS:
            Totals.unpack(value)
        for prefix in (FORGOTTEN, _USERS):
            if key.startswith(prefix):
                user = key.removeprefix(prefix).decode()
                try:
                    unseal(user, value, "the record")
                except DamagedRecordError:
                    damaged.add(user)


def _read_model(path: Path) -> Active:
    """Return the generation and model that the snapshot was taken from."""
    try:
        with pq.ParquetFile(path) as file:
            metadata = json.loads(file.schema_arrow.metadata[b"snapshot"])
        if metadata["format"] != _FORMAT:
            raise CorruptFileError(
                f"{path}: snapshot format {metadata['format']}, but this version reads {_FORMAT}"
            )
        return Active.unpack(metadata["active"].encode())
    except (pa.ArrowException, KeyError, TypeError) as error:
        raise CorruptFileError(f"{path}: is not a snapshot ({error})") from error


def _read_rows(path: Path) -> Iterator[dict[bytes, bytes]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
            yield dict(zip(batch["key"].to_pylist(), batch["value"].to_pylist(), strict=True))


def _write_rows(
    store: Store,
    rows: dict[bytes, bytes],
    generation: int,
    guards: list[Guard],
    damaged: DamagedRecords,
) -> None:
    """Write rows of a snapshot, without records of forgotten users and damaged records."""
    users = {key.removeprefix(_USERS).decode(): key for key in rows if key.startswith(_USERS)}
    tombstones = [key for key in rows if key.startswith(FORGOTTEN)]
    keys = [totals_key(generation), *tombstones, *map(forgotten_key, users)]

    def changes(values: list[bytes | None]) -> dict[bytes, bytes | None]:
        stored_totals, *stored_tombstones = values
        updates: dict[bytes, bytes | None] = {
            generation_prefix(generation) + key.removeprefix(_STATES): value
            for key, value in rows.items()
            if key.startswith(_STATES)
        }
        for key, value in zip(tombstones, stored_tombstones, strict=False):
            user = key.removeprefix(FORGOTTEN).decode()
            try:
                newer = Tombstone.unpack(user, rows[key]).seq > Tombstone.unpack(user, value).seq
            except DamagedRecordError:
                damaged.add(user)
                newer = value is None  # Keep a damaged tombstone, so that the user stays forgotten.
            if newer:
                updates[key] = rows[key]
        skipped = 0
        user_tombstones = stored_tombstones[len(tombstones) :]
        for (user, key), value in zip(users.items(), user_tombstones, strict=True):
            try:
                tombstone = Tombstone.unpack(user, updates.get(forgotten_key(user), value))
                is_remembered = UserRecord.unpack(user, rows[key]).floor >= tombstone.seq
            except DamagedRecordError:
                damaged.add(user)
                is_remembered = False
            if not is_remembered:
                del updates[generation_prefix(generation) + key.removeprefix(_STATES)]
                skipped += 1
        totals = Totals.unpack(updates.get(totals_key(generation), stored_totals))
        updates[totals_key(generation)] = replace(totals, users=totals.users - skipped).pack()
        return updates

    change(store, keys, changes, guards)
