"""Computing time of interrupted runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from recops.files import CorruptFileError
from recops_evidence.experiments.training import TRAINING
from recops_evidence.harness.computing_time import TimeRecorder, computing_start
from recops_evidence.harness.experiment import Metrics, Run
from recops_evidence.harness.out_of_time import OutOfTimeError, TimeLimit
from recops_evidence.harness.run_store import make
from recops_models.callbacks import Callbacks


class Clock:
    """Process time that a test sets."""

    seconds = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "process_time", lambda: clock.seconds)
    return clock


def test_a_resumed_run_counts_the_time_of_earlier_processes(clock: Clock, tmp_path: Path) -> None:
    for _ in range(3):  # Three processes, each of which is killed after 120 seconds.
        clock.seconds = 5.0
        recorder = TimeRecorder(tmp_path)
        clock.seconds = 125.0
        recorder.advance(0.3)
    clock.seconds = 5.0
    assert clock.seconds - computing_start(tmp_path) == 360.0


def test_a_record_has_the_time_before_an_interruption(clock: Clock, tmp_path: Path) -> None:
    def measure(run: Run, folder: Path, callbacks: Callbacks) -> tuple[Metrics, Metrics]:
        is_first = clock.seconds == 0.0
        clock.seconds += 60.0
        callbacks.advance(0.5)
        if is_first:
            raise KeyboardInterrupt
        return {}, {}

    run = Run(TRAINING, "sasrec", "ml-100k", (), seed=0, test=False, quick=False)
    with pytest.raises(KeyboardInterrupt):
        make(run, measure, tmp_path, Callbacks())
    clock.seconds = 1.0
    assert make(run, measure, tmp_path, Callbacks()).costs["core_seconds"] == 120.0


def test_the_limit_of_a_run_includes_earlier_processes(clock: Clock, tmp_path: Path) -> None:
    recorder = TimeRecorder(tmp_path)
    clock.seconds = 100.0
    recorder.advance(0.5)
    clock.seconds = 0.0
    limit = TimeLimit(2.0, computing_start(tmp_path))
    clock.seconds = 19.0
    limit.advance(0.6)
    clock.seconds = 20.0
    with pytest.raises(OutOfTimeError, match="exceeded 2 core-minutes"):
        limit.advance(0.7)


def test_time_is_not_written_at_every_step(clock: Clock, tmp_path: Path) -> None:
    recorder = TimeRecorder(tmp_path)
    clock.seconds = 9.0
    recorder.advance(0.1)
    assert not list(tmp_path.iterdir())
    clock.seconds = 10.0
    recorder.advance(0.2)
    clock.seconds = 0.0
    assert computing_start(tmp_path) == -10.0


def test_a_damaged_time_is_an_error(clock: Clock, tmp_path: Path) -> None:
    recorder = TimeRecorder(tmp_path)
    clock.seconds = 10.0
    recorder.advance(0.1)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"10.0", b"11.0"))
    with pytest.raises(CorruptFileError, match="checksum"):
        TimeRecorder(tmp_path)
