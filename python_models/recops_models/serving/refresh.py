"""A new model beside the one that is served, until it has seen what that one has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from recops_models.serving.active import Active
from recops_models.serving.applied import Guard
from recops_models.serving.checked import Tombstone
from recops_models.serving.damaged import Damaged, Warned, warn
from recops_models.serving.errors import DamagedRecordError, ModelVersionError
from recops_models.serving.generations import (
    UPKEEP,
    begin_generation,
    chunks,
    clear_generation,
    generation_after,
    served_now,
    sweep,
    switch,
)
from recops_models.serving.getting_through import getting_through
from recops_models.serving.intake import IngestReport, take, without_damaged
from recops_models.serving.keys import forgotten_key, user_key, users_prefix
from recops_models.serving.ledger import Ledger
from recops_models.serving.locks import Lock, paused
from recops_models.serving.record import UserRecord
from recops_models.serving.served import ServedModel
from recops_models.serving.stores.store import Store

_CHUNK = 512

More = Callable[[], Iterable[Sequence[object]]]
"""A source of events: batches of what it has not given yet."""


def refresh_model(
    store: Store,
    served: ServedModel,
    sources: Sequence[More],
    *,
    allow_behind: bool = False,
    told: Callable[[IngestReport], None] = lambda _: None,
    warned: Warned = warn,
) -> None:
    """Warm a new model up on events, and put it into service when it knows as much as the old.

    Its states fill a generation of their own, while the model that is served goes on scoring and
    being written. When all events are replayed, writing pauses, and what the sources have got since
    is replayed; then, if no user is behind, one commit switches. Centers that are open load the new
    model at their next request or event. Stopped before, or refused because users are behind, it
    goes on where it was when it is called again. Where events were skipped that the old model has
    (sources in a wrong order, a stream cut at its beginning), it cannot go on: the new states are
    removed.

    Args:
        store: of the states.
        served: the new model.
        sources: of all events so far, the oldest first.
        allow_behind: switch even though users are behind, or events were skipped.
        told: of each batch.
        warned: told of users whose records are damaged: nobody knows whether they are behind.

    Raises:
        ModelVersionError: the model is served already, or users are behind or lack events, one of
            whom is named.
        HeldLockError: someone else fills a generation, or pauses writing.
        LostLockError: it stalled so long that others have gone on; call it again.
        StoreError: the store cannot be read or written.
    """
    with Lock(store, UPKEEP) as upkeep:
        before = served_now(store)
        if before is not None and before.version == served.version:
            raise ModelVersionError(f"{store.url}: {served.version_text} is served already")
        generation = generation_after(before)
        wanted = Active(generation, served.version, str(served.folder.resolve()))
        begin_generation(store, wanted, [upkeep], anew=False)
        _replay(store, served, generation, sources, [upkeep], told)
        with paused(store) as pause:
            guards: list[Guard] = [upkeep, pause]
            _replay(store, served, generation, sources, guards, told)
            before = served_now(store)  # An empty store may have got a center meanwhile.
            if before is not None and not allow_behind:
                _require_warm(store, before.generation, generation, pause, guards, warned)
            switch(store, wanted, guards)
        sweep(store, [upkeep])


def _replay(
    store: Store,
    served: ServedModel,
    generation: int,
    sources: Sequence[More],
    guards: Sequence[Guard],
    told: Callable[[IngestReport], None],
) -> None:
    for more in sources:
        for batch in more():
            told(_taken(store, served, generation, batch, guards))


def _taken(
    store: Store,
    served: ServedModel,
    generation: int,
    batch: Sequence[object],
    guards: Sequence[Guard],
) -> IngestReport:
    def taken(events: Sequence[object]) -> IngestReport:
        write = partial(take, served, generation, store, events)
        return IngestReport.of(getting_through(store, guards, write))

    return without_damaged(batch, taken)


def _require_warm(
    store: Store, old: int, new: int, pause: Lock, guards: Sequence[Guard], warned: Warned
) -> None:
    """Raises ModelVersionError where a user's new state has seen less than the old one."""
    prefix, behind, lacking, example, damaged = users_prefix(old), 0, 0, "", Damaged()
    for chunk in chunks(store.scan([prefix]), _CHUNK):
        users = [key.removeprefix(prefix).decode() for key, _ in chunk]
        keys = [user_key(new, user) for user in users]
        found = store.view([*keys, *(forgotten_key(user) for user in users)]).values
        for place, (user, (_, data)) in enumerate(zip(users, chunk, strict=True)):
            mine, stone = found[place], found[len(users) + place]
            try:
                due = UserRecord.unpack(user, data).ledger
                have = Ledger() if mine is None else UserRecord.unpack(user, mine).ledger
                forgotten = Tombstone.unpack(user, stone).seq
            except DamagedRecordError:
                damaged.add(user)
                continue
            if have.missing > due.missing:
                example = example if lacking else f"{user}: {have.missing:,}, not {due.missing:,}"
                lacking += 1
            elif max(have.last, forgotten) < due.last:
                example = example or f"{user}, who is at {have.last} of {due.last}"
                behind += 1
        pause.renew()
    damaged.tell(warned, store.url, "nobody knows whether they are behind in the new model")
    if lacking:  # What comes behind an event cannot wait for it: the states are of no use.
        clear_generation(store, new, guards)
        raise ModelVersionError(
            f"{store.url}: of {lacking:,} users more events were skipped than in the old model, "
            f"such as of {example}; the new states were removed: replay all events, the oldest "
            "first; --allow-behind switches all the same"
        )
    if behind:
        raise ModelVersionError(
            f"{store.url}: {behind:,} users are behind in the new model, such as {example}: replay "
            "later events, too; --allow-behind switches all the same"
        )
