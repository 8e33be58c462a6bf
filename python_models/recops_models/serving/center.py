"""The center: events go in, scores come out, states lie in a store."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from recops import HpmnState, MimnState
from recops_models.data.dataset import Dataset
from recops_models.serving.active import Active
from recops_models.serving.applied import Guard
from recops_models.serving.checked import ItemCount, Totals
from recops_models.serving.errors import (
    ConflictError,
    FieldError,
    ModelVersionError,
)
from recops_models.serving.event import id_text
from recops_models.serving.forgetting import forget_users
from recops_models.serving.generations import served_now
from recops_models.serving.intake import BATCH, IngestReport, take
from recops_models.serving.keys import ACTIVE, item_key, totals_key, user_key
from recops_models.serving.locks import Lock, NotPaused, patiently
from recops_models.serving.open_store import open_store
from recops_models.serving.record import UserRecord
from recops_models.serving.request_encoder import RequestCounts
from recops_models.serving.served import ServedModel
from recops_models.serving.stats import CenterStats, center_stats
from recops_models.serving.stores.store import Store, View

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
        data: the data set whose users and items a model that is put into service later will know;
            None: its training's.

    Raises:
        ModelVersionError: the store's states are another model's.

    Example:
        >>> with Center.open("runs/mimn", "lmdb:states") as center:  # doctest: +SKIP
        ...     center.ingest([{"user_id": 1, "item_id": 5, "timestamp": 0, "seq": 1, "rating": 5}])
        ...     center.score(1, [5, 6, 7]).scores
    """

    def __init__(self, served: ServedModel, store: Store, *, data: Dataset | None = None) -> None:
        self.store, self._data = store, data
        self._writing, self._switching = threading.Lock(), threading.Lock()
        self._serving = served, _begin(served, store)

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
            return cls(served, opened, data=data)
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
        report = IngestReport()
        with self._writing:
            for start in range(0, len(events), BATCH):
                part = events[start : start + BATCH]
                report.join(patiently(partial(self._take, part, guards), patience))
        return report

    def _take(self, events: Sequence[object], guards: Sequence[Guard]) -> IngestReport:
        while True:
            served, active = self._serving
            with suppress(ConflictError):
                return take(served, active.generation, self.store, events, [active, *guards])
            self._look_again(active)

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
            served, active = self._serving
            view = self._user_and_counts(served, active, user, items)
            if view.values[0] == active.pack():
                break
            self._look_again(active)
        _, of_user, of_all, *of_items = view.values
        record = served.new_record()
        if of_user is not None:
            record = UserRecord.unpack(user, of_user, served.layout.num_bytes)
        counts = None
        if served.requests.reads_rates:
            counts = RequestCounts(
                ItemCount(record.seen, record.liked),
                [ItemCount.unpack(item, data) for item, data in zip(items, of_items, strict=True)],
                Totals.unpack(of_all),
            )
        batch = served.requests.batch(user, items, features or {}, counts)
        logits = served.logits(record, batch)
        return Scored(
            logits.sigmoid().numpy(),
            logits.numpy(),
            served.version_text,
            record.seen,
            of_user is not None,
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
        while True:
            served, active = self._serving
            now, data = self.store.view([ACTIVE, user_key(active.generation, user)]).values
            if now == active.pack():
                break
            self._look_again(active)
        if data is None:
            return None
        record = UserRecord.unpack(user, data, served.layout.num_bytes)
        found: MimnState | HpmnState = served.layout.unpack([(record.state, record.count)])
        return found

    def _user_and_counts(
        self, served: ServedModel, active: Active, user: str, items: Sequence[str]
    ) -> View:
        generation = active.generation
        keys = [ACTIVE, user_key(generation, user), totals_key(generation)]
        if served.requests.reads_rates:
            keys += [item_key(generation, item) for item in items]
        return self.store.view(keys)

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

    def forget(self, user_id: object, *, through: int = 0) -> bool:
        """Forget a user, for good: see :func:`~recops_models.serving.forgetting.forget_users`.

        Args:
            user_id: an integer or text.
            through: events up to this number, too, which the store may not have seen yet.

        Returns:
            whether the store knew the user.

        Raises:
            FieldError: an argument is not what it must be.
            StoreError: the store cannot write.
        """
        return bool(forget_users(self.store, [id_text("user_id", user_id)], through=through))

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


def _begin(served: ServedModel, store: Store) -> Active:
    """What is active in the store: of an empty one, the model from now on."""
    while True:
        view = store.view([ACTIVE])
        if view.values[0] is None:
            active = Active(1, served.version, str(served.folder.resolve()))
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
