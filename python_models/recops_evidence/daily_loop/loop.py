"""Runs of the daily loop: full retraining, continued training, and no retraining."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recops.files import read_json
from recops_evidence.daily_loop.measure import SliceResult, measure
from recops_evidence.daily_loop.slices import SliceBy, data_until, slice_of_events
from recops_models.api.training import train
from recops_models.data.dataset import Dataset
from recops_models.recipes.stage import CURVES

ARMS = ("full", "continued", "stale")


@dataclass(frozen=True)
class LoopPlan:
    """Model and schedule of a daily loop.

    Attributes:
        model: name of a model.
        slices: number of slices.
        by: how slices are cut.
        settings: settings of a full training.
        update: settings of a continued training that differ, such as fewer epochs.
    """

    model: str
    slices: int = 5
    by: SliceBy = "time"
    settings: Mapping[str, object] = field(default_factory=dict)
    update: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LoopStep:
    """Result of one arm with one seed on one slice.

    Attributes:
        arm: one of :data:`ARMS`.
        seed: seed of the trainings.
        day: the slice that is predicted; the model knows the slices before it.
        cpu_seconds: CPU time of the update before this slice.
        epochs: epochs of that update until its training stopped.
        result: quality on the slice.
    """

    arm: str
    seed: int
    day: int
    cpu_seconds: float
    epochs: int
    result: SliceResult


def run_loop(dataset: Dataset, plan: LoopPlan, folder: Path, *, seed: int) -> Iterator[LoopStep]:
    """Run all arms with one seed, and yield each slice's results.

    All arms start from one training on slice 0. Before each later slice d, ``full`` trains from
    scratch on the slices before d; ``continued`` starts from its own last model, on the same
    events, with ``plan.update``; ``stale`` keeps the first model.

    Args:
        dataset: the whole data set.
        plan: model and schedule.
        folder: an existing folder for the trainings.
        seed: seed of all trainings.
    """
    slices = slice_of_events(dataset, plan.slices, plan.by)
    latest: dict[str, Path] = {}
    for day in range(1, plan.slices):
        known = data_until(dataset, slices, day - 1)
        seconds, epochs = dict.fromkeys(ARMS, 0.0), dict.fromkeys(ARMS, 0)
        for arm in ARMS[:2] if day > 1 else ARMS[:1]:
            out = folder / f"{arm}-{day}-{seed}"
            started = time.process_time()
            if arm == "full":
                train(plan.model, known, plan.settings, out=out, seed=seed, force=True)
            else:
                train(
                    plan.model,
                    known,
                    plan.update,
                    out=out,
                    seed=seed + 1000 * day,
                    force=True,
                    start=latest[arm],
                )
            seconds[arm] = time.process_time() - started
            epochs[arm] = len(read_json(out / CURVES, kind="curves")["rows"])
            latest[arm] = out
        if day == 1:
            latest = dict.fromkeys(ARMS, latest["full"])
            seconds = dict.fromkeys(ARMS, seconds["full"])
            epochs = dict.fromkeys(ARMS, epochs["full"])
        shown = data_until(dataset, slices, day)
        of_shown = slices[slices <= day]
        for arm in ARMS:
            result = measure(latest[arm], shown, of_shown, day)
            yield LoopStep(arm, seed, day, seconds[arm], epochs[arm], result)
