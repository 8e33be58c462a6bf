"""User Interest Center: applies events to stored user states and scores candidates."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from recops import HpmnState, MimnState
from recops_models.data.dataset import Dataset
from recops_models.examples.known import known_candidates
from recops_models.serving.active import Active
from recops_models.serving.apply_events import EventOutcome
from recops_models.serving.commit_retry import retry_commit
from recops_models.serving.errors import (
    ConflictError,
    FieldError,
    ModelVersionError,
    StoreError,
)
from recops_models.serving.event import id_text
from recops_models.serving.forgetting import forget_users
from recops_models.serving.generations import FIRST, read_active
from recops_models.serving.guard import Guard
from recops_models.serving.ingestion import BATCH, IngestReport, apply_batch
from recops_models.serving.keys import ACTIVE, item_key, totals_key, user_key, users_prefix
from recops_models.serving.locks import Lock, NoWritePause, retry_while_locked
from recops_models.serving.open_store import open_store
from recops_models.serving.record import UserRecord
from recops_models.serving.request_encoder import RequestCounts
from recops_models.serving.sealed_values import ItemCount, Totals
from recops_models.serving.served_model import ServedModel
from recops_models.serving.stats import CenterStats, center_stats
from recops_models.serving.stores.store import Store
from recops_models.serving.yielding import YieldPoint, no_yield
from recops_models.training.device import AUTO, array

_logger = logging.getLogger(__name__)

MAX_CANDIDATES = 10_000
"""Largest number of candidates per request."""


@dataclass(frozen=True)
class ScoreResult:
    """Scores of candidates for one user.

    Attributes:
        scores: ``[C]`` float32, probabilities; with ``explore`` the scores to rank by.
        logits: ``[C]`` float32, bitwise equal to the model's forward. Without exploration, the
            scores are their sigmoid.
        model_version: version of the model that computed the scores.
        events: accepted events of the user.
        known: whether the store has a state of the user. Otherwise the empty state was used.
        unknown_candidates: positions, from 0, of the candidates whose ids were not in training.
            Their scores use the embedding of the unknown item, and their other features.
    """

    scores: NDArray[np.float32]
    logits: NDArray[np.float32]
    model_version: str
    events: int
    known: bool
    unknown_candidates: tuple[int, ...]


@dataclass(frozen=True)
class UserStatus:
    """Stored information on one user.

    Attributes:
        known: whether the store has a record of the user. Otherwise the values below are those of a
            user without events.
        events: accepted events.
        liked: accepted events that are likes.
        last_seq: highest sequence number applied.
        skipped: number of skipped sequence numbers.
        timestamp: timestamp of the last event.
        model_version: version of the model that wrote the state.
        tensors: tensors of the state by name, float32, without the user dimension.
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
    """Store of user states together with the model that reads and writes them.

    Thread-safe. Any number of centers in other processes may use the same store.

    Args:
        served: the model.
        store: an empty store, or one with states of this model.
        data: data set with the users and items of later models, or a function that loads it; None
            uses the data set of each model's training.
        create: initialize an empty store with the model.

    Raises:
        ModelVersionError: the store holds states of another model.
        StoreError: the store is empty, and ``create`` is False.

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
        create: bool = True,
    ) -> None:
        self.store, self._data = store, data
        self._writing, self._switching = threading.Lock(), threading.Lock()
        self._serving = served, _activate(served, store, create=create)

    @classmethod
    def open(
        cls,
        model: str | Path,
        store: str,
        *,
        allow_loss: bool = False,
        data: Dataset | Callable[[], Dataset] | None = None,
        create: bool = True,
        device: str | torch.device = AUTO,
    ) -> Center:
        """Open a center for a trained model and a store.

        Args:
            model: training folder of ``recops train mimn|hpmn``.
            store: URL, see :func:`~recops_models.serving.open_store.open_store`.
            allow_loss: accept a Redis server that may lose acknowledged writes.
            data: data set with the current users and items, or a function that loads it for each
                model that is put into service; None uses the data set of the training.
            create: create the store if it does not exist.
            device: where models run; see
                :func:`~recops_models.training.device.resolve_device`.

        Raises:
            FileNotFoundError, CorruptFileError, DataError: the training or its data set is missing
                or damaged.
            ModelVersionError: the model has no memory, or the store's states are of another model.
            StoreError: the store cannot be opened, or does not exist and ``create`` is False.
        """
        served = ServedModel.load(Path(model), data=data, device=device)
        opened = open_store(store, allow_loss=allow_loss, create=create)
        try:
            return cls(served, opened, data=data, create=create)
        except BaseException:
            opened.close()
            raise

    @property
    def model_version(self) -> str:
        """Version of the model that is currently served."""
        served, _ = self._serving
        return served.version_text

    @property
    def has_states(self) -> bool:
        """Return whether the store holds the state of a user."""
        _, active = self._serving
        return next(iter(self.store.scan([users_prefix(active.generation)])), None) is not None

    def ingest(
        self, events: Sequence[object], *, lock: Lock | None = None, patience: float = 1.0
    ) -> IngestReport:
        """Apply events exactly once, even if a sender repeats them; durable on return.

        Args:
            events: fields of each event (see :class:`~recops_models.serving.event.UserEvent`),
                those of one user in order. A FieldError stands for an event that could not be
                parsed.
            lock: lock that must be held during the commits, which renew it.
            patience: seconds to wait while another process pauses writing.

        Raises:
            LostLockError: another process has taken the lock.
            StoreError: the store cannot write. Earlier batches are applied, and all events may be
                sent again.
        """
        guards: list[Guard] = [NoWritePause()] if lock is None else [NoWritePause(), lock]
        return IngestReport.of(self._ingest(events, guards, patience, no_yield))

    def ingest_together(
        self,
        parts: Sequence[Sequence[object]],
        *,
        patience: float = 1.0,
        yield_point: YieldPoint = no_yield,
    ) -> list[IngestReport]:
        """Apply the events of several senders with shared commits; see :meth:`ingest`.

        Args:
            parts: events of each sender, in order of arrival.
            patience: seconds to wait while another process pauses writing.
            yield_point: called between two events.

        Returns:
            report of each part.

        Raises:
            StoreError: see :meth:`ingest`. The error concerns all parts.
        """
        events = [event for part in parts for event in part]
        outcomes = iter(self._ingest(events, [NoWritePause()], patience, yield_point))
        return [IngestReport.of(list(islice(outcomes, len(part)))) for part in parts]

    def _ingest(
        self,
        events: Sequence[object],
        guards: Sequence[Guard],
        patience: float,
        yield_point: YieldPoint,
    ) -> list[EventOutcome | FieldError]:
        outcomes: list[EventOutcome | FieldError] = []
        with self._writing:
            for start in range(0, len(events), BATCH):
                write = partial(self._apply, events[start : start + BATCH], yield_point)
                outcomes += retry_while_locked(
                    partial(retry_commit, self.store, guards, write), patience
                )
        return outcomes

    def _apply(
        self, events: Sequence[object], yield_point: YieldPoint, guards: Sequence[Guard]
    ) -> list[EventOutcome | FieldError]:
        served, active = self._serving
        guards = [active, *guards]
        try:
            return apply_batch(served, active.generation, self.store, events, guards, yield_point)
        except ConflictError:
            self._reload_active(active)
            raise

    def score(
        self,
        user_id: object,
        candidates: Sequence[object],
        features: Mapping[str, object] | None = None,
        *,
        explore: int | None = None,
    ) -> ScoreResult:
        """Score candidates for a user. The cost does not depend on the history's length.

        The state is read once. A user without a record has the empty state.

        Args:
            user_id: integer or text.
            candidates: C item ids, integers or text.
            features: values of the model's other features: one for all candidates, or a list of C.
                Missing ones come from the data set.
            explore: seed of AGE's exploration, a new one for every visit; None: no exploration.

        Raises:
            FieldError: an argument is invalid.
            CorruptStateError: the user's state is damaged.
            StoreAwayError: the store does not answer.
            StoreError: scores from the user's state are not finite.
        """
        user = id_text("user_id", user_id)
        if not 1 <= len(candidates) <= MAX_CANDIDATES:
            raise FieldError(
                "candidates", f"must be 1 to {MAX_CANDIDATES:,} ids, got {len(candidates):,}"
            )
        items = [id_text("candidates", item) for item in candidates]
        served, values = self._read(user, items)
        user_value, totals, *item_values = values
        record = _load_record(served, user, user_value)
        counts = None
        if served.requests.reads_rates:
            counts = RequestCounts(
                ItemCount(record.seen, record.liked),
                [ItemCount.unpack(*pair) for pair in zip(items, item_values, strict=True)],
                Totals.unpack(totals),
            )
        batch = served.requests.batch(user, items, features or {}, counts)
        logits = served.logits(record, batch)
        if not bool(logits.isfinite().all()):  # JSON has no NaN, and NaN cannot be ranked.
            if features:
                raise FieldError("features", "must be closer to 0: scores with them are not finite")
            raise StoreError(f"{self.store.url}: scores from the state of {user!r} are not finite")
        known = known_candidates(served.net.schema.schema, batch)
        scores = logits.sigmoid()
        if explore is not None:
            scores = served.explored(record, batch, user, explore).score
        return ScoreResult(
            array(scores),
            array(logits),
            served.version_text,
            record.seen,
            user_value is not None,
            tuple((~known).nonzero().flatten().tolist()),
        )

    def state(self, user_id: object) -> MimnState | HpmnState | None:
        """Return the user's state with one row, bitwise equal to a scan over the same events.

        Args:
            user_id: integer or text.

        Returns:
            the state; None if the store has no record of the user.

        Raises:
            FieldError: ``user_id`` is invalid.
            CorruptStateError: the state is damaged.
            StoreAwayError: the store does not answer.
        """
        user = id_text("user_id", user_id)
        served, (data, *_) = self._read(user)
        return None if data is None else served.state(_load_record(served, user, data))

    def look_up(self, user_id: object) -> UserStatus:
        """Return the stored information on a user.

        Raises:
            FieldError: ``user_id`` is invalid.
            CorruptStateError: the state is damaged.
            StoreAwayError: the store does not answer.
        """
        user = id_text("user_id", user_id)
        served, values = self._read(user)
        record = _load_record(served, user, values[0])
        return UserStatus(
            known=values[0] is not None,
            events=record.seen,
            liked=record.liked,
            last_seq=record.ledger.last,
            skipped=record.ledger.missing,
            timestamp=record.timestamp,
            model_version=served.version_text,
            tensors={
                name: array(tensor[0])
                for name, tensor in served.state(record).state_dict().items()
                if tensor.is_floating_point()
            },
        )

    def _read(self, user: str, items: Sequence[str] = ()) -> tuple[ServedModel, list[bytes | None]]:
        """Return the served model, and the stored values of the user, the totals and the items.

        Items' counts are read only if the model uses them.
        """
        while True:
            served, active = self._serving
            generation = active.generation
            keys = [ACTIVE, user_key(generation, user), totals_key(generation)]
            if served.requests.reads_rates:
                keys += [item_key(generation, item) for item in items]
            current, *values = self.store.view(keys).values
            if current == active.pack():
                return served, values
            self._reload_active(active)

    def _reload_active(self, stale: Active) -> None:
        """Switch to the active generation, unless another thread has replaced ``stale`` already."""
        with self._switching:
            served, active = self._serving
            if active != stale:
                return
            current = read_active(self.store)
            if current is None:
                raise ModelVersionError(f"{self.store.url}: all states were deleted")
            if current.version != served.version:
                served = ServedModel.load(
                    Path(current.folder), data=self._data, device=served.device
                )
                if served.version != current.version:
                    raise ModelVersionError(
                        f"{self.store.url}: its states belong to model {current.version.hex()}, "
                        f"which {current.folder} no longer holds"
                    )
            self._serving = served, current
            _logger.info(
                "%s: now serving generation %d of model %s",
                self.store.url,
                current.generation,
                served.version_text,
            )

    def forget(self, user_id: object, *, through: int = 0, patience: float = 60.0) -> bool:
        """Delete a user permanently: see :func:`~recops_models.serving.forgetting.forget_users`.

        Args:
            user_id: integer or text.
            through: also cover events up to this sequence number that have not arrived yet.
            patience: seconds to wait while another process pauses writing.

        Returns:
            whether the store had a state of the user.

        Raises:
            FieldError: an argument is invalid.
            StoreError: the store cannot write.
        """
        user = id_text("user_id", user_id)
        return bool(forget_users(self.store, [user], through=through, patience=patience))

    def stats(self) -> CenterStats:
        """Return the statistics of the store."""
        return center_stats(self.store)

    def close(self) -> None:
        """Close the store."""
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


def _load_record(served: ServedModel, user: str, data: bytes | None) -> UserRecord:
    """Return the user's record; an empty one for None."""
    if data is None:
        return served.new_record()
    return UserRecord.unpack(user, data, served.layout.num_bytes)


def _activate(served: ServedModel, store: Store, *, create: bool) -> Active:
    """Return the active generation, after initializing an empty store if ``create`` is True."""
    while True:
        view = store.view([ACTIVE])
        if view.values[0] is None:
            if not create:
                raise StoreError(f"{store.url}: is empty")
            active = Active(FIRST, served.version, str(served.folder.resolve()))
            with suppress(ConflictError):
                store.commit({ACTIVE: active.pack()}, clock=view.clock)
            continue
        active = Active.unpack(view.values[0])
        if active.version != served.version:
            raise ModelVersionError(
                f"{store.url}: its states belong to model {active.version.hex()} "
                f"({active.folder}), not {served.version_text}: `recops uic refresh` replaces the "
                "model"
            )
        return active
