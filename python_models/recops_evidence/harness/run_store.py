"""Store of finished runs and their metrics, from which a reproduction resumes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recops.files import CorruptFileError, read_json, write_file, write_json
from recops_evidence.harness.computing_time import TimeRecorder, computing_start
from recops_evidence.harness.experiment import Measure, Metrics, Run
from recops_evidence.harness.out_of_time import OutOfTimeError
from recops_evidence.harness.user_draws import UserDraws
from recops_evidence.harness.user_values import UserValues
from recops_models.callbacks import CallbackList, Callbacks
from recops_models.training.curve import finite
from recops_models.training.diverged import DivergedError

_RUNS, _FLOORS, _OWNER = "runs.jsonl", "floors.json", "reproduction.json"
_VERSION = 1


@dataclass(frozen=True)
class Record:
    """Result of a finished run.

    Attributes:
        validation: validation metrics by name.
        test: test metrics by name; empty for a trial.
        seconds: wall time.
        diverged: whether the run diverged or exceeded its time; it has no metrics and ranks last.
        draws: metrics on bootstrap samples of the users; None: none.
        users: values per user whose means are test metrics; None: none.
        costs: costs by name; ``core_seconds`` is the computing time on all cores, also
            that before an interruption.
    """

    validation: Metrics
    test: Metrics
    seconds: float
    diverged: bool = False
    draws: UserDraws | None = None
    users: UserValues | None = None
    costs: Metrics = field(default_factory=dict)


class RunStore:
    """Finished runs of one paper.

    Each finished run is one line of ``runs.jsonl`` with a checksum. Its files are under ``runs``
    and may be deleted: a reproduction resumes from ``runs.jsonl`` alone, also on another machine.

    Args:
        path: a new or empty folder, or that of an earlier reproduction of the same paper.
        paper: name of the paper.
        resume: keep finished runs; otherwise they are removed.

    Attributes:
        dropped: message about a truncated last line, whose run is repeated; None: there was none.

    Raises:
        ValueError: the folder holds another paper's runs, or other files.
        CorruptFileError: a file is damaged.
    """

    def __init__(self, path: Path, paper: str, *, resume: bool) -> None:
        self.path = path
        self.dropped: str | None = None
        path.mkdir(parents=True, exist_ok=True)
        self._data: dict[str, str] = {}
        if (path / _OWNER).exists():
            owner = read_json(path / _OWNER, kind="reproduction")
            if owner["paper"] != paper:
                raise ValueError(
                    f"{path} must hold runs of {paper}, got those of {owner['paper']}: "
                    "name another folder with --out"
                )
            self._data = owner.get("data", {}) if resume else {}
        elif any(path.iterdir()):
            raise ValueError(
                f"{path} must be empty or hold a reproduction, got other files: "
                "name another folder with --out"
            )
        if not resume:
            shutil.rmtree(path / "runs", ignore_errors=True)
            for name in (_RUNS, _FLOORS, "results.json", "results.md", "seeds.jsonl.xz"):
                (path / name).unlink(missing_ok=True)
        self._paper = paper
        self._own()
        self._records = self._read()

    def begin(self, data: Mapping[str, str]) -> None:
        """Record the data of the runs.

        Args:
            data: digests by name of the data set.

        Raises:
            ValueError: finished runs used other data of the same name.
        """
        for name, digest in data.items():
            if self._data.get(name, digest) != digest:
                raise ValueError(
                    f"{self.path} holds runs on other data named {name}: leave out --resume to "
                    "start again, or name another folder with --out"
                )
        self._data |= data
        self._own()

    def _own(self) -> None:
        content = {"paper": self._paper, "data": self._data}
        write_json(self.path / _OWNER, content, kind="reproduction")

    def folder(self, run: Run) -> Path:
        """Return the folder of the run's files."""
        return self.path / "runs" / run.key

    def record(self, run: Run) -> Record | None:
        """Return the record of the run, or None if the run is not finished."""
        return self._records.get(run.key)

    def keep(self, run: Run, record: Record) -> None:
        """Append the run's line and flush it to disk; only one process may write."""
        content = {
            "version": _VERSION,
            "run": run.key,
            "model": run.model,
            "data": run.data,
            "seed": run.seed,
            "settings": dict(run.settings),
            **vars(record),
            "draws": None if record.draws is None else record.draws.to_json(),
            "users": None if record.users is None else record.users.to_json(),
        }
        line = json.dumps({**content, "sha256": _digest(content)}, ensure_ascii=False)
        with (self.path / _RUNS).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._records[run.key] = record

    def finish(self, run: Run, measure: Measure, callbacks: Callbacks) -> Record:
        """Execute the run with :func:`make` and store its record."""
        record = make(run, measure, self.folder(run), callbacks)
        self.keep(run, record)
        return record

    def floors(self, key: str) -> dict[str, Metrics] | None:
        """Return the floors stored under ``key``, or None."""
        return self._floors().get(key)

    def keep_floors(self, key: str, floors: Mapping[str, Metrics]) -> None:
        """Store floors in ``floors.json``."""
        content = {**self._floors(), key: dict(floors)}
        write_json(self.path / _FLOORS, {"floors": content}, kind="floors")

    def _floors(self) -> dict[str, dict[str, Metrics]]:
        path = self.path / _FLOORS
        floors: dict[str, dict[str, Metrics]] = (
            read_json(path, kind="floors")["floors"] if path.exists() else {}
        )
        return floors

    def _read(self) -> dict[str, Record]:
        path = self.path / _RUNS
        if not path.exists():
            return {}
        text = path.read_bytes()
        *lines, last = text.split(b"\n")
        if last:
            self.dropped = f"{path}: the last line is truncated; its run is repeated"
            write_file(path, text[: len(text) - len(last)])
        return dict(_record(path, number, line) for number, line in enumerate(lines, 1))


def make(run: Run, measure: Measure, folder: Path, callbacks: Callbacks) -> Record:
    """Execute a run; an interrupted one resumes.

    Args:
        run: the run.
        measure: result of :meth:`Experiment.on` for the run's data.
        folder: folder of the run; created if it is missing.
        callbacks: receive the share of the run that is done.

    Raises:
        DivergedError, OutOfTimeError: a run with a test part failed. A trial gets a record instead,
            and so does a run of an experiment whose runs may fail.
        ValueError, KeyboardInterrupt: see :meth:`Experiment.measure`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started, computing = time.perf_counter(), computing_start(folder)
    validation: Metrics
    test: Metrics
    try:
        timed = CallbackList(callbacks, TimeRecorder(folder))
        validation, test = (finite(metrics) for metrics in measure(run, folder, timed))
        diverged, draws, users = False, None, None
        if run.test:
            draws = run.experiment.user_draws(run, folder, test)
            users = run.experiment.user_values(run, folder)
        costs = {**run.experiment.costs(run, folder)}
    except (DivergedError, OutOfTimeError) as error:
        # Grids are widened until a value is worse; a diverged trial is the worst.
        if run.test and not run.experiment.may_fail:
            settings = " ".join(f"{name}={value}" for name, value in run.settings)
            where = f"{run.model} on {run.data}, seed {run.seed}, {settings}"
            raise type(error)(f"{where}: {error}") from error
        validation, test, diverged, draws, users, costs = {}, {}, True, None, None, {}
    seconds = round(time.perf_counter() - started, 3)
    costs["core_seconds"] = round(time.process_time() - computing, 3)
    if not run.experiment.keeps_files:
        shutil.rmtree(folder, ignore_errors=True)
    return Record(validation, test, seconds, diverged, draws, users, costs)


def _record(path: Path, number: int, line: bytes) -> tuple[str, Record]:
    where = f"{path}, line {number}"
    try:
        content = json.loads(line)
        digest, version = content.pop("sha256"), content["version"]
        validation, test, seconds = (content[name] for name in ("validation", "test", "seconds"))
        samples = content.get("draws")
        draws = None if samples is None else UserDraws.from_json(samples)
        values = content.get("users")
        users = None if values is None else UserValues.from_json(values)
        diverged, costs = content.get("diverged", False), content.get("costs", {})
        record = Record(validation, test, seconds, diverged, draws, users, costs)
        key = content["run"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{where}: damaged ({error})") from error
    if not isinstance(version, int) or version > _VERSION:
        raise CorruptFileError(
            f"{where}: runs format {version}, but this version reads up to {_VERSION}"
        )
    if digest != _digest(content):
        raise CorruptFileError(f"{where}: damaged (checksum mismatch)")
    return key, record


def _digest(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
