"""Application of a new model to the states that an earlier model wrote."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from functools import partial

from recops_models.serving.active import Active
from recops_models.serving.damaged_records import DamagedRecords, WarningCallback, warn
from recops_models.serving.errors import (
    CorruptStateError,
    DamagedRecordError,
    ModelVersionError,
)
from recops_models.serving.generations import (
    MAINTENANCE,
    Changes,
    activate,
    change,
    chunks,
    next_generation,
    read_active,
    remove_retired,
    start_generation,
)
from recops_models.serving.guard import Guard
from recops_models.serving.keys import generation_prefix, meta_key, users_prefix
from recops_models.serving.locks import Lock, pause_writes
from recops_models.serving.record import UserRecord
from recops_models.serving.served_model import ServedModel
from recops_models.serving.stores.store import Store

_logger = logging.getLogger(__name__)

_CHUNK = 512


def keep_states(store: Store, served: ServedModel, *, on_warning: WarningCallback = warn) -> int:
    """Serve a new model with the states of the active one, without a replay.

    The states are copied into a new generation, with the version of the new model. A state then
    holds what the earlier parameters wrote; later events update it with the new ones. Its scores
    differ from those of a replay, so a replay (:func:`~.refresh.refresh_model`) stays the default.
    In MIMN's paper, the online parameters are refreshed in this way, apart from the states.

    The copy runs while the active model serves. Then writing pauses, changed states are copied
    again, and one commit activates the new generation.

    Args:
        store: the store.
        served: the new model. Its states must have the layout of the active model's.
        on_warning: receives a warning about users with damaged records, who are left out.

    Returns:
        number of users.

    Raises:
        ModelVersionError: the store is empty, the model is already served, or its states have
            another layout.
        HeldLockError: another process fills a generation or pauses writing.
        LostLockError: this process stalled until its lock expired. Call it again.
        StoreError: the store cannot be read or written.
    """
    with Lock(store, MAINTENANCE) as maintenance:
        active = read_active(store)
        if active is None:
            raise ModelVersionError(f"{store.url}: must hold states to keep, got an empty store")
        if active.version == served.version:
            raise ModelVersionError(f"{store.url}: {served.version_text} is already served")
        target = Active(next_generation(active), served.version, str(served.folder.resolve()))
        start_generation(store, target, [maintenance], discard=True)
        _copy(store, served, active.generation, target.generation, [maintenance])
        with pause_writes(store) as pause:
            guards: list[Guard] = [maintenance, pause]
            users, damaged = _copy(store, served, active.generation, target.generation, guards)
            activate(store, target, guards)
        _logger.info("%s: model %s serves %d states", store.url, served.version_text, users)
        remove_retired(store, [maintenance])
    damaged.report(on_warning, store.url, "they have no state in the new model")
    return users


def _copy(
    store: Store, served: ServedModel, old: int, new: int, guards: Sequence[Guard]
) -> tuple[int, DamagedRecords]:
    """Make the values of generation ``new`` those of ``old``; return the number of users."""
    prefix, target, users = generation_prefix(old), generation_prefix(new), users_prefix(old)
    present = {key for key, _ in store.scan([target])} - {meta_key(new)}
    count, damaged = 0, DamagedRecords()
    for chunk in chunks(store.scan([prefix]), _CHUNK):
        values: dict[bytes, bytes | None] = {}
        for key, data in chunk:
            copy = target + key.removeprefix(prefix)
            if key.startswith(users):
                user = key.removeprefix(users).decode()
                try:
                    values[copy] = _for_model(store, served, user, data)
                except DamagedRecordError:
                    damaged.add(user)
                    continue
                count += 1
            else:
                values[copy] = data
        present -= values.keys()
        change(store, list(values), partial(_different, values), guards)
    for gone in chunks(iter(sorted(present)), _CHUNK):  # Users who were forgotten meanwhile.
        change(store, [], partial(_deletions, gone), guards)
    return count, damaged


def _for_model(store: Store, served: ServedModel, user: str, data: bytes) -> bytes:
    try:
        record = UserRecord.unpack(user, data, served.layout.num_bytes)
    except DamagedRecordError:
        raise
    except CorruptStateError as error:
        raise ModelVersionError(
            f"{store.url}: states must have the layout of the new model to be kept ({error}): "
            "replay the events instead, without --keep-states"
        ) from error
    return dataclasses.replace(record, version=served.version).pack(user)


def _different(values: dict[bytes, bytes | None], stored: list[bytes | None]) -> Changes:
    pairs = zip(values.items(), stored, strict=True)
    return {key: value for (key, value), present in pairs if value != present}


def _deletions(keys: list[bytes], _: list[bytes | None]) -> Changes:
    return dict.fromkeys(keys)
