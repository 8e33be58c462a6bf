"""Training time of every model on one and two threads, alone and next to a busy process.

    python bench/threads.py [MODEL ...]

Each cell is a complete training of one epoch on some users of ml-100k, validation and test
included. The four cells of a model run in turn in one process, round after round, and each reports
its minimum wall time and the CPU time of that run, all threads included. The busy process is one
Python loop. Threads wait as in the ``recops`` command; set ``OMP_WAIT_POLICY`` or
``GOMP_SPINCOUNT`` to measure another policy. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from recops_models.process import wait_passively, wait_settings

wait_passively()  # Before torch is imported.

import pyarrow as pa  # noqa: E402
import pyarrow.compute as pc  # noqa: E402
import torch  # noqa: E402

from recops_models.data import Dataset, load  # noqa: E402
from recops_models.recipes.job import Job  # noqa: E402
from recops_models.recipes.registry import names  # noqa: E402
from recops_models.recipes.run import run_job  # noqa: E402

CLICK_USERS = 30
RANKER_USERS = {"popularity": 100, "sasrec": 100, "tiger": 10, "unirec": 100}
LIMIT = 1.1
"""Two threads must take at most this multiple of the time of one thread."""


class Cell(NamedTuple):
    """Seconds of a cell's fastest run; ``others`` is the CPU time of all other processes."""

    wall: float
    cpu: float
    others: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=names(), metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=3, help="runs per cell")
    options = parser.parse_args()

    data = load("ml-100k")
    print(f"Threads wait with {wait_settings()}; torch {torch.__version__}.\n")
    print("| model | alone, 1 thread (s) | alone, 2 threads (s) | 2 : 1 threads |", end="")
    print(" busy, 1 thread (s) | busy, 2 threads (s) | 2 : 1 threads |")
    print("| --- |" + " ---: |" * 6)
    slow, others = [], 0.0
    with busy_process() as busy:
        for model in options.models:
            users = RANKER_USERS.get(model, CLICK_USERS)
            cells = measure(model, first_users(data, users), busy, options.rounds)
            others = max(others, *(cell.others / cell.wall for cell in cells.values()))
            row = [model]
            for is_busy in (False, True):
                one, two = cells[is_busy, 1], cells[is_busy, 2]
                ratio = two.wall / one.wall
                row += [f"{cell.wall:.2f}, CPU {cell.cpu:.2f}" for cell in (one, two)]
                row += [f"{ratio:.2f}"]
                if ratio > LIMIT:
                    slow.append(f"{model} {'busy' if is_busy else 'alone'}: {ratio:.2f}")
            print(f"| {' | '.join(row)} |", flush=True)
    print(f"\nOther processes used at most {others:.0%} of one core during a cell.")
    if slow:
        sys.exit(f"two threads are more than 10 % slower than one: {'; '.join(slow)}")


def measure(
    model: str, data: Dataset, busy: subprocess.Popen[bytes], rounds: int
) -> dict[tuple[bool, int], Cell]:
    """Train ``model`` in every cell, ``rounds`` times in turn; the key is (busy, threads)."""
    job = Job.of(model, "ml-100k", {}, seed=0, quick=False)
    parts = {
        name: replace(part, epochs=1) if hasattr(part, "epochs") else part
        for name, part in job.parts.items()
    }
    job = replace(job, parts=parts)
    order = [(is_busy, threads) for is_busy in (False, True) for threads in (1, 2)]
    best: dict[tuple[bool, int], Cell] = {}
    timed(job, data, busy)  # The first run in a process imports modules.
    for turn in range(rounds):
        for is_busy, threads in order if turn % 2 else reversed(order):
            torch.set_num_threads(threads)
            with running(busy) if is_busy else contextlib.nullcontext():
                cell = timed(job, data, busy)
            best[is_busy, threads] = min(best.get((is_busy, threads), cell), cell)
    return best


def timed(job: Job, data: Dataset, busy: subprocess.Popen[bytes]) -> Cell:
    """Run ``job`` once in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu, known, all_ = time.perf_counter(), *cpu_times(busy)
        run_job(job, data, Path(folder))
        wall = time.perf_counter() - wall
        cpu_after, known_after, all_after = cpu_times(busy)
        return Cell(wall, cpu_after - cpu, (all_after - all_) - (known_after - known))


def cpu_times(busy: subprocess.Popen[bytes]) -> tuple[float, float, float]:
    """Return CPU seconds until now of this process, of it and ``busy``, and of the machine."""
    tick = os.sysconf("SC_CLK_TCK")
    own = time.process_time()
    ticks = Path(f"/proc/{busy.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    user, nice, system, _, _, *more = map(int, Path("/proc/stat").read_text().split()[1:9])
    return own, own + sum(map(int, ticks)) / tick, (user + nice + system + sum(more)) / tick


def first_users(data: Dataset, count: int) -> Dataset:
    """Return ``data`` with the first ``count`` users and all items."""
    users = data.users.slice(0, count)
    rows = pc.is_in(data.interactions["user_id"], pa.array(users["user_id"].to_numpy()))
    return replace(data, users=users, interactions=data.interactions.filter(rows))


@contextlib.contextmanager
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that computes on one thread, stopped until :func:`running`."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let ``process`` run within this context."""
    os.kill(process.pid, signal.SIGCONT)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGSTOP)


if __name__ == "__main__":
    main()
