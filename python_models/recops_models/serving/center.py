"""The center: events go in, scores come out, states lie in a store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from recops import HpmnState, MimnState
from recops_models.data.dataset import Dataset
from recops_models.examples.known import known_candidates
from recops_models.serving.active import Active
from recops_models.serving.applied import AppliedEvent, Guard
from recops_models.serving.checked import ItemCount, Totals
from recops_models.serving.errors import (
    ConflictError,
    FieldError,
    ModelVersionError,
    StoreError,
)
from recops_models.serving.event import id_text
from recops_models.serving.forgetting import forget_users
from recops_models.serving.generations import FIRST, served_now
from recops_models.serving.getting_through import getting_through
from recops_models.serving.giving_way import GiveWay, to_nobody
from recops_models.serving.intake import BATCH, IngestReport, take
from recops_models.serving.keys import ACTIVE, item_key, totals_key, user_key
from recops_models.serving.locks import Lock, NotPaused, patiently
from recops_models.serving.open_store import open_store
from recops_models.serving.record import UserRecord
from recops_models.serving.request_encoder import RequestCounts
from recops_models.serving.served import ServedModel
from recops_models.serving.stats import CenterStats, center_stats
from recops_models.serving.stores.store import Store

MOST_CANDIDATES = 10_000


@dataclass(frozen=True)
class Scored:
    """What a model makes of candidates.

    Attributes:
        scores: ``[C]`` float32, probabilities, as everywhere in ``recops``.
        logits: ``[C]`` float32, what they are the sigmoid of, the bits of the model's forward.
        model_version: of the model that scored.
        events: of the user, that the state has seen.
        known: False where the store knows nothing of the user, who then has the empty state.
        unknown_candidates: positions of the candidates, from 0, whose ids the model did not learn
            in training. Their scores rest on the row of the unknown item and on other features.
    """

    scores: NDArray[np.float32]
    logits: NDArray[np.float32]
    model_version: str
    events: int
    known: bool
    unknown_candidates: tuple[int, ...]


@dataclass(frozen=True)
class KnownUser:
    """What a store knows of a user.

    Attributes:
        known: whether it knows of the user; else all is that of a user before any event.
        events: accepted.
        liked: how many of them were liked.
        last_seq: the highest number applied.
        skipped: numbers that never came.
        timestamp: of the last event.
        model_version: of the model whose state it is.
        tensors: of the state, by name, float32, without the users' dimension.
    """

    known: bool
    events: int
    liked: int
    last_seq: int
    skipped: int
    timestamp: float
    model_version: str
    tensors: dict[str, NDArray[np.float32]]


class Center:
    """Users' states in a store, and the model that writes and reads them.

    Safe for threads, and for any number of centers in other processes upon one store.

    Args:
        served: the model.
        store: with states of this model, or empty, to be filled with them.
        data: the data set whose users and items a model that is put into service later will know,
            or what loads it by then; None: its training's.
        make: a store of an empty one, by naming the model in it.

    Raises:
        ModelVersionError: the store's states are another model's.
        StoreError: it is empty, and is to stay so.

    Examples:
        >>> with Center.open("runs/mimn", "lmdb:states") as center:  # doctest: +SKIP
        ...     center.ingest([{"user_id": 1, "item_id": 5, "timestamp": 0, "seq": 1, "rating": 5}])
        ...     center.score(1, [5, 6, 7]).scores
    """

    def __init__(
        self,
        served: ServedModel,
        store: Store,
        *,
        data: Dataset | Callable[[], Dataset] | None = None,
        make: bool = True,
    ) -> None:
        self.store, self._data = store, data
        self._writing, self._switching = threading.Lock(), threading.Lock()
        self._serving = served, _begin(served, store, make=make)

    @classmethod
    def open(
        cls,
        model: str | Path,
        store: str,
        *,
        allow_loss: bool = False,
        data: Dataset | Callable[[], Dataset] | None = None,
        make: bool = True,
    ) -> Center:
        """The center of a model's folder and a store's URL.

        Args:
            model: what ``recops train mimn|hpmn`` left.
            store: see :func:`~recops_models.serving.open_store.open_store`.
            allow_loss: take a Redis that may lose what it said was written.
            data: the data set whose users and items are known, or what loads it, once for each
                model that is put into service; None: the training's.
            make: the store, where there is none.

        Raises:
            FileNotFoundError, CorruptFileError, DataError: the folder is not there, damaged, or of
                data that is not there.
            ModelVersionError: no model with a memory, or not the store's.
            StoreError: the store cannot be opened, or is not there and not to be made.
        """
        served = ServedModel.load(Path(model), data=data)
        opened = open_store(store, allow_loss=allow_loss, make=make)
        try:
            return cls(served, opened, data=data, make=make)
        except BaseException:
            opened.close()
            raise

    @property
    def model_version(self) -> str:
        """Of the model that is served now."""
        served, _ = self._serving
        return served.version_text

    def ingest(
        self, events: Sequence[object], *, lock: Lock | None = None, patience: float = 1.0
    ) -> IngestReport:
        """Apply events, each once, whoever sends it how often; durable when it returns.

        Args:
            events: as of :class:`~recops_models.serving.event.UserEvent`, JSON's objects; those of
                one user in their order. An error in an event's place is one that it was read with.
            lock: held meanwhile, and renewed.
            patience: seconds to wait for who pauses all writing.

        Raises:
            LostLockError: someone else has taken the lock.
            StoreError: the store cannot write. What was applied before is, and all may be sent
                again.
        """
        guards: list[Guard] = [NotPaused()] if lock is None else [NotPaused(), lock]
        return IngestReport.of(self._ingest(events, guards, patience, to_nobody))

    def ingest_together(
        self,
        parts: Sequence[Sequence[object]],
        *,
        patience: float = 1.0,
        give_way: GiveWay = to_nobody,
    ) -> list[IngestReport]:
        """:meth:`ingest` of what several senders have, in as few commits as one sender's.

        Args:
            parts: what each of them sent, in the order in which it came.
            patience: as in :meth:`ingest`.
            give_way: called between any two events.

        Returns:
            the report of each part.

        Raises:
            StoreError: as in :meth:`ingest`, for all parts, whosever events are the reason.
        """
        together = [event for part in parts for event in part]
        outcomes = iter(self._ingest(together, [NotPaused()], patience, give_way))
        return [IngestReport.of(list(islice(outcomes, len(part)))) for part in parts]

    def _ingest(
        self,
        events: Sequence[object],
        guards: Sequence[Guard],
        patience: float,
        give_way: GiveWay,
    ) -> list[AppliedEvent | FieldError]:
        outcomes: list[AppliedEvent | FieldError] = []
        with self._writing:
            for start in range(0, len(events), BATCH):
                write = partial(self._take, events[start : start + BATCH], give_way)
                outcomes += patiently(partial(getting_through, self.store, guards, write), patience)
        return outcomes

    def _take(
        self, events: Sequence[object], give_way: GiveWay, guards: Sequence[Guard]
    ) -> list[AppliedEvent | FieldError]:
        served, active = self._serving
        guarded = [active, *guards]
        try:
            return take(served, active.generation, self.store, events, guarded, give_way)
        except ConflictError:
            self._look_again(active)
            raise

    def score(
        self,
        user_id: object,
        candidates: Sequence[object],
        features: Mapping[str, object] | None = None,
    ) -> Scored:
        """Score candidates for a user, at a cost that does not depend on the history's length.

        The state is read once. A user whom the store does not know has the empty state.

        Args:
            user_id: an integer or text.
            candidates: C ids of items, likewise.
            features: values of the model's other features, one for all candidates or a list of C;
                what is not given comes from the training's data set.

        Raises:
            FieldError: an argument is not what it must be; it names which.
            CorruptStateError: the user's state is damaged.
            StoreAwayError: no answer.
            StoreError: the model's scores upon the user's state are no numbers.
        """
        user = id_text("user_id", user_id)
        if not 1 <= len(candidates) <= MOST_CANDIDATES:
            raise FieldError(
                "candidates", f"must be 1 to {MOST_CANDIDATES:,} ids, got {len(candidates):,}"
            )
        items = [id_text("candidates", item) for item in candidates]
        served, values = self._look(user, items)
        of_user, of_all, *of_items = values
        record = _record(served, user, of_user)
        counts = None
        if served.requests.reads_rates:
            counts = RequestCounts(
                ItemCount(record.seen, record.liked),
                [ItemCount.unpack(item, data) for item, data in zip(items, of_items, strict=True)],
                Totals.unpack(of_all),
            )
        batch = served.requests.batch(user, items, features or {}, counts)
        logits = served.logits(record, batch)
        if not bool(logits.isfinite().all()):  # JSON would say null, and a ranking anything.
            if features:
                raise FieldError("features", "must be closer to 0: scores with them are not finite")
            raise StoreError(f"{self.store.url}: scores upon the state of {user!r} are not finite")
        known = known_candidates(served.model.schema.schema, batch)
        return Scored(
            logits.sigmoid().numpy(),
            logits.numpy(),
            served.version_text,
            record.seen,
            of_user is not None,
            tuple((~known).nonzero().flatten().tolist()),
        )

    def state(self, user_id: object) -> MimnState | HpmnState | None:
        """A user's state, of one row: that of the scan of the same events, to the bit.

        Args:
            user_id: an integer or text.

        Returns:
            None: the store knows nothing of the user.

        Raises:
            FieldError: no id.
            CorruptStateError: the state is damaged.
            StoreAwayError: no answer.
        """
        user = id_text("user_id", user_id)
        served, (data, *_) = self._look(user)
        return None if data is None else served.state(_record(served, user, data))

    def look_up(self, user_id: object) -> KnownUser:
        """What the store knows of a user.

        Raises:
            FieldError: no id.
            CorruptStateError: the state is damaged.
            StoreAwayError: no answer.
        """
        user = id_text("user_id", user_id)
        served, values = self._look(user)
        record = _record(served, user, values[0])
        return KnownUser(
            known=values[0] is not None,
            events=record.seen,
            liked=record.liked,
            last_seq=record.ledger.last,
            skipped=record.ledger.missing,
            timestamp=record.timestamp,
            model_version=served.version_text,
            tensors={
                name: tensor[0].numpy()
                for name, tensor in served.state(record).state_dict().items()
                if tensor.is_floating_point()
            },
        )

    def _look(self, user: str, items: Sequence[str] = ()) -> tuple[ServedModel, list[bytes | None]]:
        """The model that is served, and of its states the user's, the totals, and items' counts,
        if it reads them.
        """
        while True:
            served, active = self._serving
            generation = active.generation
            keys = [ACTIVE, user_key(generation, user), totals_key(generation)]
            if served.requests.reads_rates:
                keys += [item_key(generation, item) for item in items]
            now, *values = self.store.view(keys).values
            if now == active.pack():
                return served, values
            self._look_again(active)

    def _look_again(self, seen: Active) -> None:
        """Go by what is active now, if nobody has done so since ``seen`` was."""
        with self._switching:
            served, active = self._serving
            if active != seen:
                return
            now = served_now(self.store)
            if now is None:
                raise ModelVersionError(f"{self.store.url}: was emptied")
            if now.version != served.version:
                served = ServedModel.load(Path(now.folder), data=self._data)
                if served.version != now.version:
                    raise ModelVersionError(
                        f"{self.store.url}: its states are of model {now.version.hex()}, "
                        f"which {now.folder} no longer holds"
                    )
            self._serving = served, now

    def forget(self, user_id: object, *, through: int = 0, patience: float = 60.0) -> bool:
        """Forget a user, for good: see :func:`~recops_models.serving.forgetting.forget_users`.

        Args:
            user_id: an integer or text.
            through: events up to this number, too, which the store may not have seen yet.
            patience: seconds to wait for who pauses all writing.

        Returns:
            whether the store knew the user.

        Raises:
            FieldError: an argument is not what it must be.
            StoreError: the store cannot write.
        """
        user = id_text("user_id", user_id)
        return bool(forget_users(self.store, [user], through=through, patience=patience))

    def stats(self) -> CenterStats:
        """What is in the store."""
        return center_stats(self.store)

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def __enter__(self) -> Center:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _record(served: ServedModel, user: str, data: bytes | None) -> UserRecord:
    """A user's, the empty one of whom the store does not know."""
    if data is None:
        return served.new_record()
    return UserRecord.unpack(user, data, served.layout.num_bytes)


def _begin(served: ServedModel, store: Store, *, make: bool) -> Active:
    """What is active in the store: of an empty one, if it is to be made, the model from now on."""
    while True:
        view = store.view([ACTIVE])
        if view.values[0] is None:
            if not make:
                raise StoreError(f"{store.url}: is empty")
            active = Active(FIRST, served.version, str(served.folder.resolve()))
            with suppress(ConflictError):
                store.commit({ACTIVE: active.pack()}, clock=view.clock)
            continue
        active = Active.unpack(view.values[0])
        if active.version != served.version:
            raise ModelVersionError(
                f"{store.url}: its states are of model {active.version.hex()} ({active.folder}), "
                f"not {served.version_text}: `recops uic refresh` brings a new one"
            )
        return active
