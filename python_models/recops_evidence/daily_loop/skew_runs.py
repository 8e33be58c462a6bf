"""Runs of the skew measurement: a new model on kept states, compared with a replay."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recops_evidence.daily_loop.slices import data_until, only_known_items, slice_of_events
from recops_models.api.training import train
from recops_models.data.dataset import Dataset
from recops_models.data.histories import Int64Array
from recops_models.serving.center import Center
from recops_models.serving.kept_states import keep_states
from recops_models.serving.served_model import ServedModel
from recops_models.serving.sources import dataset_events

ARMS = ("replayed", "kept", "old model")
"""Arms: new model on replayed states, new model on kept states, and old model on its states."""

_BATCH = 512


@dataclass(frozen=True)
class SkewPlan:
    """Model, schedule and candidates of a skew measurement.

    Attributes:
        model: ``"mimn"`` or ``"hpmn"``.
        slices: number of slices by time. The old model is trained without the last two, the new one
            continues with the last but one, and the last one is served.
        settings: settings of the old training.
        update: settings of the new training that differ.
        after: numbers of events per user between the refresh and the request.
        negatives: candidates per request in addition to the user's next item, drawn by popularity.
    """

    model: str
    slices: int = 5
    settings: Mapping[str, object] = field(default_factory=dict)
    update: Mapping[str, object] = field(default_factory=dict)
    after: tuple[int, ...] = (0, 5, 20)
    negatives: int = 99

    def __post_init__(self) -> None:
        if self.slices < 3:
            raise ValueError(f"skew: slices must be 3 or more, got {self.slices}")
        if not self.after or self.after[0] < 0 or sorted({*self.after}) != list(self.after):
            raise ValueError(f"skew: after must be increasing and not negative, got {self.after}")


@dataclass(frozen=True, eq=False)
class SkewRow:
    """Scores of one arm and one seed, at requests after a number of events.

    Attributes:
        arm: one of :data:`ARMS`.
        seed: seed of the trainings.
        after: events per user since the refresh.
        auc: ``[U]``, share of a user's negatives that score below the next item; ties count half.
        score_gap: ``[U]``, mean absolute difference of probabilities from ``replayed``.
        top_shared: ``[U]``, share of the ten best candidates that are also the ten best of
            ``replayed``.
    """

    arm: str
    seed: int
    after: int
    auc: NDArray[np.float64]
    score_gap: NDArray[np.float64]
    top_shared: NDArray[np.float64]


@dataclass(frozen=True)
class SkewRun:
    """Rows of one seed, and the CPU seconds of both kinds of refresh."""

    rows: tuple[SkewRow, ...]
    keep_seconds: float
    replay_seconds: float


def measure_skew(dataset: Dataset, plan: SkewPlan, folder: Path, *, seed: int) -> SkewRun:
    """Train two models, refresh a center in both ways, and compare its scores.

    Args:
        dataset: the whole data set, with times.
        plan: model and schedule.
        folder: an existing folder for trainings and stores.
        seed: seed of the trainings; the candidates are the same with every seed.

    Raises:
        ValueError: no user has enough events in the last slice.
    """
    slices = slice_of_events(dataset, plan.slices, "time")
    day = plan.slices - 1
    known = data_until(dataset, slices, day - 1)
    old, new = folder / f"old-{seed}", folder / f"new-{seed}"
    first = data_until(dataset, slices, day - 2)
    train(plan.model, first, plan.settings, out=old, seed=seed, force=True)
    train(plan.model, known, plan.update, out=new, seed=seed + 1000, force=True, start=old)
    requests = _Requests.of(dataset, slices, day, plan)
    stores = {arm: folder / f"store-{arm.replace(' ', '-')}-{seed}" for arm in ARMS}
    for store in stores.values():
        shutil.rmtree(store, ignore_errors=True)
    _ingest(old, stores["old model"], known)
    shutil.copytree(stores["old model"], stores["kept"])
    replay_seconds = _cpu_seconds(lambda: _ingest(new, stores["replayed"], known))
    keep_seconds = _cpu_seconds(lambda: _keep(old, new, stores["kept"], known))
    with ExitStack() as opened:
        centers = {
            arm: opened.enter_context(
                Center.open(old if arm == "old model" else new, f"lmdb:{store}", data=known)
            )
            for arm, store in stores.items()
        }
        return SkewRun(tuple(_rows(centers, requests, seed)), keep_seconds, replay_seconds)


@dataclass(frozen=True, eq=False)
class _Requests:
    """Events and candidates of the served users, with the ids of the data's source.

    Attributes:
        after: events per user before each request.
        events: events of each user in order, one more than the largest of ``after``.
        candidates: by user and request, the next item and the negatives.
    """

    after: tuple[int, ...]
    events: Mapping[object, Sequence[Mapping[str, object]]]
    candidates: Mapping[tuple[object, int], list[object]]

    @classmethod
    def of(cls, dataset: Dataset, slices: Int64Array, day: int, plan: SkewPlan) -> _Requests:
        """Return the requests of the users with enough events in slice ``day``."""
        shown = data_until(dataset, slices, day)
        served, slice_of = only_known_items(shown, slices[slices <= day], day)
        users: dict[object, list[Mapping[str, object]]] = {}
        popularity: Counter[object] = Counter()
        events = (event for batch in dataset_events(served, batch=_BATCH) for event in batch)
        for event, is_served in zip(events, (slice_of == day).tolist(), strict=True):
            assert isinstance(event, dict)
            if is_served:
                users.setdefault(event["user_id"], []).append(event)
            else:
                popularity[event["item_id"]] += 1
        least = 1 + plan.after[-1]
        chosen = {user: mine[:least] for user, mine in users.items() if len(mine) >= least}
        if not chosen:
            raise ValueError(f"skew: no user has {least} events in the last slice")
        rng = np.random.default_rng(0)
        candidates = {
            (user, after): _with_negatives(mine[after]["item_id"], popularity, plan.negatives, rng)
            for user, mine in chosen.items()
            for after in plan.after
        }
        return cls(plan.after, chosen, candidates)


def _with_negatives(
    target: object, popularity: Counter[object], number: int, rng: np.random.Generator
) -> list[object]:
    """Return ``target``, and other items that are drawn by popularity without replacement."""
    items = [item for item in popularity if item != target]
    counts = np.array([popularity[item] for item in items], dtype=np.float64)
    drawn = rng.choice(len(items), min(number, len(items)), replace=False, p=counts / counts.sum())
    return [target, *(items[index] for index in drawn.tolist())]


def _rows(centers: Mapping[str, Center], requests: _Requests, seed: int) -> Iterator[SkewRow]:
    """Yield the rows after each number of events; every center receives the same events."""
    applied = 0
    for after in requests.after:
        events = [event for mine in requests.events.values() for event in mine[applied:after]]
        for center in centers.values():
            for start in range(0, len(events), _BATCH):
                center.ingest(events[start : start + _BATCH])
        applied = after
        scores = {
            arm: np.array(
                [
                    center.score(user, requests.candidates[user, after]).scores
                    for user in requests.events
                ],
                dtype=np.float64,
            )
            for arm, center in centers.items()
        }
        reference = scores["replayed"]
        for arm, mine in scores.items():
            target, others = mine[:, :1], mine[:, 1:]
            yield SkewRow(
                arm,
                seed,
                after,
                ((others < target) + 0.5 * (others == target)).mean(1),
                np.abs(mine - reference).mean(1),
                _shared(mine, reference, 10),
            )


def _shared(first: NDArray[np.float64], second: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the share of the k best candidates of each row that both scores have in common."""
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :k] for scores in (first, second)]
    return np.array([len({*a} & {*b}) / k for a, b in zip(*best, strict=True)])


def _ingest(model: Path, store: Path, data: Dataset) -> None:
    with Center.open(model, f"lmdb:{store}", data=data) as center:
        for batch in dataset_events(data, batch=_BATCH):
            center.ingest(batch)


def _keep(old: Path, new: Path, store: Path, data: Dataset) -> None:
    with Center.open(old, f"lmdb:{store}", data=data) as center:
        keep_states(center.store, ServedModel.load(new, data=data))


def _cpu_seconds(function: Callable[[], None]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started
