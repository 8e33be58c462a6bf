"""The folder that remembers which runs are finished, and what they reached."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recops.files import read_json, write_json
from recops_models.evidence.harness.experiment import Measure, Metrics, Run

_RECORD, _OWNER = "record.json", "reproduction.json"


@dataclass(frozen=True)
class Record:
    """What a finished run reached: metrics by name, ``test`` empty for a trial; wall seconds."""

    validation: Metrics
    test: Metrics
    seconds: float


class RunStore:
    """The runs under ``path``, of one paper. Each finished one is a sealed ``record.json``.

    Args:
        path: a new or empty folder, or that of an earlier reproduction of the same paper.
        paper: whose claims these are.
        resume: keep what is finished; otherwise all of it is removed.

    Raises:
        ValueError: the folder holds another paper's runs, or something else.
        CorruptFileError: its files are damaged.
    """

    def __init__(self, path: Path, paper: str, *, resume: bool) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if (path / _OWNER).exists():
            found = read_json(path / _OWNER, kind="reproduction")["paper"]
            if found != paper:
                raise ValueError(f"{path} holds {found}, not {paper}: name another with --out")
        elif any(path.iterdir()):
            raise ValueError(f"{path} holds files, but no reproduction: name a new one with --out")
        if not resume:
            shutil.rmtree(path / "runs", ignore_errors=True)
        write_json(path / _OWNER, {"paper": paper}, kind="reproduction")

    def folder(self, run: Run) -> Path:
        """Where what the run leaves is."""
        return self.path / "runs" / run.key

    def record(self, run: Run) -> Record | None:
        """What the run reached, if it is finished.

        Raises:
            CorruptFileError: the record is damaged.
        """
        path = self.folder(run) / _RECORD
        return Record(**read_json(path, kind="run-record")) if path.exists() else None

    def finish(self, run: Run, measure: Measure, on_step: Callable[[float], None]) -> Record:
        """Make the run by ``measure``, from where an interrupted start left it.

        Raises:
            ValueError, KeyboardInterrupt: see :meth:`Experiment.measure`.
        """
        folder = self.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        validation, test = measure(run, folder, on_step)
        seconds = round(time.perf_counter() - started, 3)
        record = Record(validation, test, seconds)
        write_json(folder / _RECORD, dataclasses.asdict(record), kind="run-record")
        return record
