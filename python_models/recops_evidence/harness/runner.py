"""Runs what a plan asks for and is not finished, one by one or side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache
from pathlib import Path

from recops_evidence.harness.experiment import AnyExperiment, Measure, Run
from recops_evidence.harness.plan import Plan, seconds_left
from recops_evidence.harness.run_store import Record, RunStore, make
from recops_models.callbacks import Callbacks, Portion
from recops_models.process import threads_per_job, worker_environment
from recops_models.tokenizers.clustering.threads import one_thread


def run_ahead(
    plan: Plan, store: RunStore, callbacks: Callbacks, *, jobs: int = 1
) -> dict[Run, Record]:
    """Run everything that ``plan`` asks for and ``store`` lacks; all records.

    A stage of ``callbacks`` is a run. Its progress is reported where runs are made one by one.
    Every run has one thread of torch, so its bits do not depend on ``jobs``. With several jobs the
    cores are divided among them for all other libraries.

    Raises:
        ValueError: see :func:`~recops_evidence.harness.run_store.make`.
        DataError: a data set is missing or unfit.
        KeyboardInterrupt: handed on; finished runs and epochs are kept.
    """
    done: dict[Run, Record] = {}
    if jobs > 1:
        _side_by_side(plan, store, callbacks, done, jobs)
        return done
    while ahead := _look_up(plan, store, done):
        run = ahead[0]
        seconds = seconds_left(ahead, done)
        callbacks.start(_title(run), run=run, ahead=len(ahead), seconds=seconds)
        with one_thread():
            measure = _measure_on(run.experiment, run.data)
            done[run] = store.finish(run, measure, Portion(callbacks))
    return done


def _side_by_side(
    plan: Plan, store: RunStore, callbacks: Callbacks, done: dict[Run, Record], jobs: int
) -> None:
    """By ``jobs`` processes; this one alone writes to the store."""
    cores, threads = len(os.sched_getaffinity(0)), threads_per_job(jobs)
    callbacks.log_message(
        f"{jobs} jobs on {cores} cores: a run of torch has 1 thread, so its bits do not depend on "
        f"the machine; other libraries have at most {threads} per job"
    )
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with (
        worker_environment(jobs),
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_belong) as pool,
    ):
        going: dict[Future[Record], Run] = {}
        try:
            while ahead := _look_up(plan, store, done):
                # By key: what names a default is the run, and the folder, of what leaves it out.
                begun = {run.key for run in going.values()}
                for run in plan.ready(done):
                    if run.key in begun:
                        continue
                    if len(going) == jobs or (going and _apart(run, *going.values())):
                        break
                    left = [other for other in ahead if other.key not in begun]
                    seconds = seconds_left(left, done)
                    callbacks.start(_title(run), run=run, ahead=len(left), seconds=seconds)
                    begun.add(run.key)
                    going[pool.submit(_made, run, store.folder(run))] = run
                ended = wait(going, return_when=FIRST_COMPLETED).done
                # One that failed is told when all that were finished beside it are kept.
                for future in sorted(ended, key=lambda each: each.exception() is not None):
                    run = going.pop(future)
                    done[run] = future.result()
                    store.keep(run, done[run])
        except BaseException:
            # What they have not finished goes on from its last checkpoint.
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def _title(run: Run) -> str:
    settings = " ".join(f"{name}={value}" for name, value in run.settings)
    kind = "measured" if run.test else "trial"
    return f"{kind}, {run.model} on {run.data}, seed {run.seed} {settings}".strip()


def _apart(*runs: Run) -> bool:
    return any(run.experiment.alone for run in runs)


def _made(run: Run, folder: Path) -> Record:
    """In a process of the pool."""
    with one_thread():
        return make(run, _measure_on(run.experiment, run.data), folder, Callbacks())


def _belong() -> None:
    """Ctrl-C reaches the whole group; the process that started this one says what is to end. Where
    it is killed this one ends with it: another of the pool would keep its queue open for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@lru_cache(maxsize=1)
def _measure_on(experiment: AnyExperiment, data: str) -> Measure:
    return experiment.on(data)


def _look_up(plan: Plan, store: RunStore, done: dict[Run, Record]) -> list[Run]:
    """The runs ahead, one of each key, after those that are finished have joined ``done``."""
    while True:
        ahead = plan.ahead(done)
        found = {run: record for run in ahead if (record := store.record(run)) is not None}
        if not found:
            return list({run.key: run for run in ahead}.values())
        done |= found
