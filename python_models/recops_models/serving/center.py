"""The center: events go in, scores come out, states lie in a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from recops_models.data.dataset import Dataset
from recops_models.serving.applied import AppliedBatch, Guard, applied
from recops_models.serving.checked import Tally, Totals
from recops_models.serving.encoder import Tallies
from recops_models.serving.errors import (
    ConflictError,
    FieldError,
    ModelVersionError,
)
from recops_models.serving.event import UserEvent, id_text
from recops_models.serving.keys import ACTIVE, item_key, totals_key, user_key
from recops_models.serving.locks import HeldLockError, Lock, LostLockError, NotPaused
from recops_models.serving.open_store import open_store
from recops_models.serving.record import UserRecord
from recops_models.serving.served import Active, ServedModel
from recops_models.serving.stores.store import Store, View

MOST_CANDIDATES = 10_000
_BATCH = 1024
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Refusal:
    """An event that was not what an event must be.

    Attributes:
        index: its place among those that were sent.
        field: what was wrong.
        error: how.
    """

    index: int
    field: str
    error: str


@dataclass
class IngestReport:
    """What became of events.

    Attributes:
        accepted: applied, and durable.
        duplicates: applied before.
        late: refused, for later events of their user are applied.
        gaps: sequence numbers that accepted events skipped.
        refused: not what an event must be.
    """

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    gaps: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """``{"accepted", "duplicates", "late", "refused", "gaps"}``."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "late": self.late,
            "refused": len(self.refused),
            "gaps": self.gaps,
        }

    @property
    def num_events(self) -> int:
        """All that were sent."""
        return self.accepted + self.duplicates + self.late + len(self.refused)

    def join(self, other: IngestReport) -> None:
        """Count the events of another report, behind these."""
        start = self.num_events
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.late += other.late
        self.gaps += other.gaps
        self.refused += [replace(one, index=start + one.index) for one in other.refused]

    def add(self, step: AppliedBatch, refused: Mapping[int, FieldError], start: int = 0) -> None:
        """Count a batch more, whose first event stands at ``start``."""
        self.accepted += step.accepted
        self.duplicates += step.duplicates
        self.late += step.late
        self.gaps += step.gaps
        self.refused += [
            Refusal(start + place, error.field, error.error)
            for place, error in sorted(refused.items())
        ]


@dataclass(frozen=True)
class Scored:
    """What a model makes of candidates.

    Attributes:
        scores: ``[C]`` float32, probabilities, as everywhere in ``recops``.
        logits: ``[C]`` float32, what they are the sigmoid of, the bits of the model's forward.
        model_version: of the model that scored.
        events: of the user, that the state has seen.
        known: False where the store knows nothing of the user, who then has the empty state.
    """

    scores: NDArray[np.float32]
    logits: NDArray[np.float32]
    model_version: str
    events: int
    known: bool


class Center:
    """Users' states in a store, and the model that writes and reads them.

    Safe for threads, and for any number of centers in other processes upon one store.

    Args:
        served: the model.
        store: with states of this model, or empty, to be filled with them.

    Raises:
        ModelVersionError: the store's states are another model's.

    Example:
        >>> with Center.open("runs/mimn", "lmdb:states") as center:  # doctest: +SKIP
        ...     center.ingest([{"user_id": 1, "item_id": 5, "timestamp": 0, "seq": 1, "rating": 5}])
        ...     center.score(1, [5, 6, 7]).scores
    """

    def __init__(self, served: ServedModel, store: Store) -> None:
        self.store, self._served = store, served
        self._writing = threading.Lock()
        self._active = self._begin()

    @classmethod
    def open(
        cls,
        model: str | Path,
        store: str,
        *,
        allow_loss: bool = False,
        data: Dataset | None = None,
    ) -> Center:
        """The center of a model's folder and a store's URL.

        Args:
            model: what ``recops train mimn|hpmn`` left.
            store: see :func:`~recops_models.serving.open_store.open_store`.
            allow_loss: take a Redis that may lose what it said was written.
            data: the data set whose users and items are known; None: the training's.

        Raises:
            FileNotFoundError, CorruptFileError, DataError: the folder is not there, damaged, or of
                data that is not there.
            ModelVersionError: no model with a memory, or not the store's.
            StoreError: the store cannot be opened.
        """
        served = ServedModel.load(Path(model), data=data)
        opened = open_store(store, allow_loss=allow_loss)
        try:
            return cls(served, opened)
        except BaseException:
            opened.close()
            raise

    @property
    def model_version(self) -> str:
        """Of the model that is served now."""
        return self._served.version_text

    def _begin(self) -> Active:
        while True:
            view = self.store.view([ACTIVE])
            if view.values[0] is not None:
                active = Active.unpack(view.values[0])
                self._require_version(active)
                return active
            active = Active(1, self._served.version, str(self._served.folder.resolve()))
            try:
                self.store.commit({ACTIVE: active.pack()}, clock=view.clock)
            except ConflictError:
                continue
            return active

    def _require_version(self, active: Active) -> None:
        if active.version != self._served.version:
            raise ModelVersionError(
                f"{self.store.url}: its states are of model {active.version.hex()} "
                f"({active.folder}), not {self.model_version}: "
                "`recops uic refresh` brings a new one"
            )

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
        report = IngestReport()
        for start in range(0, len(events), _BATCH):
            part = events[start : start + _BATCH]
            read = [_read(content) for content in part]
            refused = {place: one for place, one in enumerate(read) if isinstance(one, FieldError)}
            places = [place for place in range(len(read)) if place not in refused]
            step, faults = self._apply(
                [one for one in read if isinstance(one, UserEvent)], lock, patience
            )
            refused |= {places[place]: error for place, error in faults.items()}
            report.add(step, refused, start)
        return report

    def _apply(
        self, events: list[UserEvent], lock: Lock | None, patience: float
    ) -> tuple[AppliedBatch, dict[int, FieldError]]:
        deadline = time.monotonic() + patience
        with self._writing:
            while True:
                served, active = self._served, self._active
                encoded = served.encoder.encode(events)
                guards: list[Guard] = (
                    [active, NotPaused()] if lock is None else [active, NotPaused(), lock]
                )
                try:
                    step = applied(served, active.generation, self.store, encoded, guards)
                except LostLockError:
                    raise
                except ConflictError:
                    self._look_again()
                except HeldLockError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_PAUSE_SECONDS)
                else:
                    return step, encoded.faults

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
        """
        user = id_text("user_id", user_id)
        if not 1 <= len(candidates) <= MOST_CANDIDATES:
            raise FieldError(
                "candidates", f"must be 1 to {MOST_CANDIDATES:,} ids, got {len(candidates):,}"
            )
        items = [id_text("candidates", item) for item in candidates]
        while True:
            served, active = self._served, self._active
            view = self._user_and_tallies(served, active, user, items)
            if view.values[0] == active.pack():
                break
            self._look_again()
        _, of_user, of_all, *of_items = view.values
        record = served.new_record()
        if of_user is not None:
            record = UserRecord.unpack(user, of_user, served.layout.num_bytes)
        tallies = None
        if served.encoder.reads_rates:
            tallies = Tallies(
                Tally(record.seen, record.liked),
                [Tally.unpack(item, data) for item, data in zip(items, of_items, strict=True)],
                Totals.unpack(of_all),
            )
        batch = served.encoder.candidates(user, items, features or {}, tallies)
        logits = served.logits(record, batch)
        return Scored(
            logits.sigmoid().numpy(),
            logits.numpy(),
            served.version_text,
            record.seen,
            of_user is not None,
        )

    def _user_and_tallies(
        self, served: ServedModel, active: Active, user: str, items: Sequence[str]
    ) -> View:
        generation = active.generation
        keys = [ACTIVE, user_key(generation, user), totals_key(generation)]
        if served.encoder.reads_rates:
            keys += [item_key(generation, item) for item in items]
        return self.store.view(keys)

    def _look_again(self) -> None:
        """Go by what is active now."""
        (data,) = self.store.view([ACTIVE]).values
        if data is None:
            raise ModelVersionError(f"{self.store.url}: was emptied")
        active = Active.unpack(data)
        if active.version != self._served.version:
            served = ServedModel.load(Path(active.folder))
            if served.version != active.version:
                raise ModelVersionError(
                    f"{self.store.url}: its states are of model {active.version.hex()}, "
                    f"which {active.folder} no longer holds"
                )
            self._served = served
        self._active = active

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


def _read(content: object) -> UserEvent | FieldError:
    if isinstance(content, FieldError):
        return content
    try:
        return UserEvent.of(content)
    except FieldError as error:
        return error
