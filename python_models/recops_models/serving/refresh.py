"""Replacement of the served model by a new one that has processed the same events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from recops_models.serving.active import Active
from recops_models.serving.commit_retry import retry_commit
from recops_models.serving.damaged_records import DamagedRecords, WarningCallback, warn
from recops_models.serving.errors import DamagedRecordError, ModelVersionError
from recops_models.serving.generations import (
    MAINTENANCE,
    activate,
    chunks,
    clear_generation,
    next_generation,
    read_active,
    remove_retired,
    start_generation,
)
from recops_models.serving.guard import Guard
from recops_models.serving.ingestion import IngestReport, apply_batch, ingest_undamaged
from recops_models.serving.keys import forgotten_key, user_key, users_prefix
from recops_models.serving.ledger import Ledger
from recops_models.serving.locks import Lock, pause_writes
from recops_models.serving.record import UserRecord
from recops_models.serving.sealed_values import Tombstone
from recops_models.serving.served_model import ServedModel
from recops_models.serving.stores.store import Store

_logger = logging.getLogger(__name__)

_CHUNK = 512

EventSource = Callable[[], Iterable[Sequence[object]]]
"""Returns batches of the events that arrived since its last call."""


def refresh_model(
    store: Store,
    served: ServedModel,
    sources: Sequence[EventSource],
    *,
    allow_behind: bool = False,
    rebuild: bool = False,
    on_report: Callable[[IngestReport], None] = lambda _: None,
    on_warning: WarningCallback = warn,
) -> None:
    """Replay events for a new model, and serve it when it has caught up with the old one.

    The new states fill their own generation, while the old model continues to serve. After the
    replay, writing pauses, and the events that arrived meanwhile are replayed. If no user is
    behind, one commit activates the new generation. Open centers load the new model at their next
    request.

    An interrupted refresh, or one that was refused because users are behind, continues when it is
    called again. If the replay skipped events that the old model has (sources in the wrong order,
    or a truncated stream), the new states are useless and are deleted.

    Args:
        store: the store.
        served: the new model.
        sources: sources of all events, oldest first.
        allow_behind: activate the new model even if users are behind or events were skipped.
        rebuild: accept the model that is already served, whose states are computed again: after
            events arrived before the history of their users was loaded.
        on_report: receives the report of each batch.
        on_warning: receives a warning about users with damaged records, who may be behind.

    Raises:
        ModelVersionError: the model is already served, or users are behind or lack events.
        HeldLockError: another process fills a generation or pauses writing.
        LostLockError: this process stalled until its lock expired. Call it again.
        StoreError: the store cannot be read or written.
    """
    with Lock(store, MAINTENANCE) as maintenance:
        active = read_active(store)
        if active is not None and active.version == served.version and not rebuild:
            raise ModelVersionError(f"{store.url}: {served.version_text} is already served")
        generation = next_generation(active)
        target = Active(generation, served.version, str(served.folder.resolve()))
        start_generation(store, target, [maintenance], discard=False)
        _logger.info("%s: replaying events for model %s", store.url, served.version_text)
        _replay(store, served, generation, sources, [maintenance], on_report)
        with pause_writes(store) as pause:
            guards: list[Guard] = [maintenance, pause]
            _logger.info("%s: writing pauses; replaying the latest events", store.url)
            _replay(store, served, generation, sources, guards, on_report)
            active = read_active(store)  # A center may have initialized an empty store meanwhile.
            if active is not None and not allow_behind:
                _check_warm(store, active.generation, generation, pause, guards, on_warning)
            activate(store, target, guards)
        _logger.info("%s: model %s is active", store.url, served.version_text)
        remove_retired(store, [maintenance])


def _replay(
    store: Store,
    served: ServedModel,
    generation: int,
    sources: Sequence[EventSource],
    guards: Sequence[Guard],
    on_report: Callable[[IngestReport], None],
) -> None:
    for read_new in sources:
        for batch in read_new():
            on_report(_apply(store, served, generation, batch, guards))


def _apply(
    store: Store,
    served: ServedModel,
    generation: int,
    batch: Sequence[object],
    guards: Sequence[Guard],
) -> IngestReport:
    def ingest(events: Sequence[object]) -> IngestReport:
        write = partial(apply_batch, served, generation, store, events)
        return IngestReport.of(retry_commit(store, guards, write))

    return ingest_undamaged(batch, ingest)


def _check_warm(
    store: Store,
    old: int,
    new: int,
    pause: Lock,
    guards: Sequence[Guard],
    on_warning: WarningCallback,
) -> None:
    """Check that no user's new state has seen fewer events than the old one.

    Raises:
        ModelVersionError: some users are behind or lack events.
    """
    prefix, behind, lacking, example, damaged = users_prefix(old), 0, 0, "", DamagedRecords()
    for chunk in chunks(store.scan([prefix]), _CHUNK):
        users = [key.removeprefix(prefix).decode() for key, _ in chunk]
        keys = [user_key(new, user) for user in users]
        values = store.view([*keys, *(forgotten_key(user) for user in users)]).values
        for index, (user, (_, old_data)) in enumerate(zip(users, chunk, strict=True)):
            new_data, tombstone = values[index], values[len(users) + index]
            try:
                old_ledger = UserRecord.unpack(user, old_data).ledger
                new_ledger = (
                    Ledger() if new_data is None else UserRecord.unpack(user, new_data).ledger
                )
                forgotten = Tombstone.unpack(user, tombstone).seq
            except DamagedRecordError:
                damaged.add(user)
                continue
            if new_ledger.missing > old_ledger.missing:
                if not lacking:
                    example = f"{user}: {new_ledger.missing:,}, not {old_ledger.missing:,}"
                lacking += 1
            elif max(new_ledger.last, forgotten) < old_ledger.last:
                example = example or f"{user}, who is at {new_ledger.last} of {old_ledger.last}"
                behind += 1
        pause.renew()
    damaged.report(on_warning, store.url, "it is unknown whether they are behind in the new model")
    if lacking:  # Skipped events cannot be inserted later, so the new states are useless.
        clear_generation(store, new, guards)
        raise ModelVersionError(
            f"{store.url}: {lacking:,} users have more skipped events than in the old model, "
            f"such as {example}; the new states were deleted: replay all events, oldest first; "
            "--allow-behind activates the new model anyway"
        )
    if behind:
        raise ModelVersionError(
            f"{store.url}: {behind:,} users are behind in the new model, such as {example}: also "
            "replay later events; --allow-behind activates the new model anyway"
        )
