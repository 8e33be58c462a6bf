"""Execution of the runs of a plan, one after another or in parallel processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache
from pathlib import Path

import torch

from recops_evidence.harness.experiment import AnyExperiment, Measure, Run
from recops_evidence.harness.plan import RunPlan, seconds_left
from recops_evidence.harness.run_store import Record, RunStore, make
from recops_models.callbacks import Callbacks, Portion
from recops_models.process import threads_per_job, worker_environment
from recops_models.tokenizers.clustering.threads import one_thread
from recops_models.training.device import auto_device, resolve_device


def run_ahead(
    plan: RunPlan,
    store: RunStore,
    callbacks: Callbacks,
    *,
    jobs: int = 1,
    hours: float = math.inf,
) -> dict[Run, Record]:
    """Execute the runs of ``plan`` that ``store`` lacks, and return the records of all runs.

    After ``hours`` no further run starts, and the records of the finished runs are returned. Models
    run on the device of :func:`~recops_models.training.device.auto_device`.

    Each run is a stage of ``callbacks``. With one job its progress is reported too. Every run has
    one thread of torch, so its bits do not depend on ``jobs``. With several jobs, the other
    libraries share the cores.

    Raises:
        ValueError: see :func:`~recops_evidence.harness.run_store.make`.
        DataError: a data set is missing or unsuitable.
        KeyboardInterrupt: passed on; finished runs and epochs are kept.
    """
    finished: dict[Run, Record] = {}
    deadline = time.monotonic() + 3600 * hours
    if jobs > 1:
        _in_parallel(plan, store, callbacks, finished, jobs, deadline)
        return finished
    while (ahead := look_up(plan, store, finished)) and time.monotonic() < deadline:
        run = ahead[0]
        seconds = seconds_left(ahead, finished)
        callbacks.start(_title(run), run=run, ahead=len(ahead), seconds=seconds)
        with one_thread():
            measure = _measure_on(run.experiment, run.data)
            finished[run] = store.finish(run, measure, Portion(callbacks))
    return finished


def _in_parallel(
    plan: RunPlan,
    store: RunStore,
    callbacks: Callbacks,
    finished: dict[Run, Record],
    jobs: int,
    deadline: float,
) -> None:
    """Execute runs in ``jobs`` processes; only this process writes to the store."""
    cores, threads = len(os.sched_getaffinity(0)), threads_per_job(jobs)
    callbacks.log_message(
        f"{jobs} jobs on {cores} cores: a run of torch has 1 thread, so its bits do not depend on "
        f"the machine; other libraries have at most {threads} per job"
    )
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with (
        worker_environment(jobs),
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool,
    ):
        running: dict[Future[Record], Run] = {}
        try:
            while ahead := look_up(plan, store, finished):
                is_late = time.monotonic() >= deadline
                if is_late and not running:
                    break
                # By key, because a run that names a default setting equals one that omits it.
                started = {run.key for run in running.values()}
                for run in [] if is_late else plan.ready(finished):
                    if run.key in started:
                        continue
                    if len(running) == jobs:
                        break
                    remaining = [other for other in ahead if other.key not in started]
                    seconds = seconds_left(remaining, finished)
                    callbacks.start(_title(run), run=run, ahead=len(remaining), seconds=seconds)
                    started.add(run.key)
                    running[pool.submit(_execute, run, store.folder(run), resolve_device())] = run
                ended = wait(running, return_when=FIRST_COMPLETED).done
                # Store all finished runs before the exception of a failed one is raised.
                for future in sorted(ended, key=lambda each: each.exception() is not None):
                    run = running.pop(future)
                    finished[run] = future.result()
                    store.keep(run, finished[run])
        except BaseException:
            # Unfinished runs resume from their last checkpoints.
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def _title(run: Run) -> str:
    settings = " ".join(f"{name}={value}" for name, value in run.settings)
    kind = "measured" if run.test else "trial"
    return f"{kind}, {run.model} on {run.data}, seed {run.seed} {settings}".strip()


def _execute(run: Run, folder: Path, device: torch.device) -> Record:
    """Execute a run in a process of the pool."""
    with auto_device(device), one_thread():
        return make(run, _measure_on(run.experiment, run.data), folder, Callbacks())


def _end_with_parent() -> None:
    """Ignore Ctrl-C, which the parent process handles, and end when the parent ends.

    Without this, the workers of a killed parent would keep each other's queue open forever.
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


def look_up(plan: RunPlan, store: RunStore, finished: dict[Run, Record]) -> list[Run]:
    """Add stored records to ``finished``, and return the remaining runs, one per key."""
    while True:
        ahead = plan.ahead(finished)
        stored = {run: record for run in ahead if (record := store.record(run)) is not None}
        if not stored:
            return list({run.key: run for run in ahead}.values())
        finished |= stored
