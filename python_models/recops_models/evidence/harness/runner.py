"""Runs what a plan asks for and is not finished, and reports progress."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from recops_models.evidence.harness.experiment import AnyExperiment, Measure, Run
from recops_models.evidence.harness.plan import Plan, seconds_left
from recops_models.evidence.harness.run_store import Record, RunStore


class RunProgress(Protocol):
    """Called as every run begins, and within it with the share that is done."""

    def start(self, run: Run, ahead: int, seconds: float | None) -> None:
        """``run`` begins, the first of ``ahead``; these may take ``seconds`` (None: unknown)."""

    def advance(self, share: float) -> None:
        """The run has come to ``share`` of its work, 0 to 1."""


def run_ahead(plan: Plan, store: RunStore, progress: RunProgress) -> dict[Run, Record]:
    """Run everything that ``plan`` asks for and ``store`` lacks; all records.

    Raises:
        ValueError: see :meth:`RunStore.finish`.
        DataError: a data set is missing or unfit.
        KeyboardInterrupt: handed on; finished runs and epochs are kept.
    """

    @lru_cache(maxsize=1)
    def measure_on(experiment: AnyExperiment, data: str) -> Measure:
        return experiment.on(data)

    done: dict[Run, Record] = {}
    while ahead := _look_up(plan, store, done):
        run = ahead[0]
        progress.start(run, len(ahead), seconds_left(ahead, done))
        done[run] = store.finish(run, measure_on(run.experiment, run.data), progress.advance)
    return done


def _look_up(plan: Plan, store: RunStore, done: dict[Run, Record]) -> list[Run]:
    """The runs ahead, after those that an earlier start finished have joined ``done``."""
    while True:
        ahead = plan.ahead(done)
        found = {run: record for run in ahead if (record := store.record(run)) is not None}
        if not found:
            return ahead
        done |= found
