"""The folder that remembers which runs are finished, and what they reached."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recops.files import CorruptFileError, read_json, write_file, write_json
from recops_evidence.harness.experiment import Measure, Metrics, Run
from recops_evidence.harness.user_draws import UserDraws
from recops_models.callbacks import Callbacks
from recops_models.training.curve import finite
from recops_models.training.diverged import DivergedError

_RUNS, _FLOORS, _OWNER = "runs.jsonl", "floors.json", "reproduction.json"
_VERSION = 1


@dataclass(frozen=True)
class Record:
    """What a finished run reached: metrics by name, ``test`` empty for a trial; wall seconds.

    A trial that ``diverged`` has no metrics, and is worse than any other. ``draws`` are of a run
    that was measured on users.
    """

    validation: Metrics
    test: Metrics
    seconds: float
    diverged: bool = False
    draws: UserDraws | None = None


class RunStore:
    """The runs of one paper: each finished one is a line of ``runs.jsonl``, with a checksum of its
    own; what it left is under ``runs``, and may be gone.

    So a reproduction goes on over days and machines from that file alone.

    Args:
        path: a new or empty folder, or that of an earlier reproduction of the same paper.
        paper: whose claims these are.
        resume: keep what is finished; otherwise all of it is removed.

    Attributes:
        dropped: what was said of a last line that was cut off in writing, whose run is made again;
            None: none was.

    Raises:
        ValueError: the folder holds another paper's runs, or something else.
        CorruptFileError: its files are damaged.
    """

    def __init__(self, path: Path, paper: str, *, resume: bool) -> None:
        self.path = path
        self.dropped: str | None = None
        path.mkdir(parents=True, exist_ok=True)
        self._data: dict[str, str] = {}
        if (path / _OWNER).exists():
            found = read_json(path / _OWNER, kind="reproduction")
            if found["paper"] != paper:
                raise ValueError(
                    f"{path} holds {found['paper']}, not {paper}: name another with --out"
                )
            self._data = found.get("data", {}) if resume else {}
        elif any(path.iterdir()):
            raise ValueError(f"{path} holds files, but no reproduction: name a new one with --out")
        if not resume:
            shutil.rmtree(path / "runs", ignore_errors=True)
            for name in (_RUNS, _FLOORS, "results.json", "results.md", "seeds.jsonl.xz"):
                (path / name).unlink(missing_ok=True)
        self._paper = paper
        self._own()
        self._records = self._read()

    def begin(self, data: Mapping[str, str]) -> None:
        """Keep what the runs are of.

        Args:
            data: digests by name of data.

        Raises:
            ValueError: finished runs are of others under the same name.
        """
        for name, digest in data.items():
            if self._data.get(name, digest) != digest:
                raise ValueError(
                    f"{self.path} holds runs on another {name} than there is now: leave out "
                    "--resume to start anew, or name another folder with --out"
                )
        self._data |= data
        self._own()

    def _own(self) -> None:
        content = {"paper": self._paper, "data": self._data}
        write_json(self.path / _OWNER, content, kind="reproduction")

    def folder(self, run: Run) -> Path:
        """Where what the run leaves is."""
        return self.path / "runs" / run.key

    def record(self, run: Run) -> Record | None:
        """What the run reached, if it is finished."""
        return self._records.get(run.key)

    def keep(self, run: Run, record: Record) -> None:
        """Append its line, on disk when this returns; one process alone may do so."""
        content = {
            "version": _VERSION,
            "run": run.key,
            "model": run.model,
            "data": run.data,
            "seed": run.seed,
            "settings": dict(run.settings),
            **vars(record),
            "draws": None if record.draws is None else record.draws.to_json(),
        }
        line = json.dumps({**content, "sha256": _digest(content)}, ensure_ascii=False)
        with (self.path / _RUNS).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._records[run.key] = record

    def finish(self, run: Run, measure: Measure, callbacks: Callbacks) -> Record:
        """:func:`make` the run and keep its record."""
        record = make(run, measure, self.folder(run), callbacks)
        self.keep(run, record)
        return record

    def floors(self, key: str) -> dict[str, Metrics] | None:
        """What was kept under ``key``, by floor."""
        return self._floors().get(key)

    def keep_floors(self, key: str, floors: Mapping[str, Metrics]) -> None:
        """Keep them in ``floors.json``."""
        content = {**self._floors(), key: dict(floors)}
        write_json(self.path / _FLOORS, {"floors": content}, kind="floors")

    def _floors(self) -> dict[str, dict[str, Metrics]]:
        path = self.path / _FLOORS
        found: dict[str, dict[str, Metrics]] = (
            read_json(path, kind="floors")["floors"] if path.exists() else {}
        )
        return found

    def _read(self) -> dict[str, Record]:
        path = self.path / _RUNS
        if not path.exists():
            return {}
        text = path.read_bytes()
        *lines, last = text.split(b"\n")
        if last:
            self.dropped = f"{path}: its last line was cut off; that run is made again"
            write_file(path, text[: len(text) - len(last)])
        return dict(_record(path, number, line) for number, line in enumerate(lines, 1))


def make(run: Run, measure: Measure, folder: Path, callbacks: Callbacks) -> Record:
    """Make the run in ``folder`` by ``measure``, from where an interrupted start left it.

    Args:
        run: what.
        measure: :meth:`Experiment.on` its data.
        folder: its own; made where it is missing.
        callbacks: receive the share of the run that is done.

    Raises:
        DivergedError: a run that is measured on test did; of a trial that is a record.
        ValueError, KeyboardInterrupt: see :meth:`Experiment.measure`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    validation: Metrics
    test: Metrics
    try:
        validation, test = (finite(metrics) for metrics in measure(run, folder, callbacks))
        diverged, draws = False, None
        if run.test:
            draws = run.experiment.user_draws(run, folder, test)
    except DivergedError as error:
        # Grids are widened beyond their edges until something is worse, which this is.
        if run.test:
            settings = " ".join(f"{name}={value}" for name, value in run.settings)
            where = f"{run.model} on {run.data}, seed {run.seed}, {settings}"
            raise DivergedError(f"{where}: {error}") from error
        validation, test, diverged, draws = {}, {}, True, None
    return Record(validation, test, round(time.perf_counter() - started, 3), diverged, draws)


def _record(path: Path, number: int, line: bytes) -> tuple[str, Record]:
    where = f"{path}, line {number}"
    try:
        content = json.loads(line)
        digest, version = content.pop("sha256"), content["version"]
        validation, test, seconds = (content[name] for name in ("validation", "test", "seconds"))
        drawn = content.get("draws")
        draws = None if drawn is None else UserDraws.from_json(drawn)
        record = Record(validation, test, seconds, content.get("diverged", False), draws)
        key = content["run"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{where}: damaged ({error})") from error
    if not isinstance(version, int) or version > _VERSION:
        raise CorruptFileError(
            f"{where}: runs format {version}, this recops reads up to {_VERSION}"
        )
    if digest != _digest(content):
        raise CorruptFileError(f"{where}: damaged (checksum mismatch)")
    return key, record


def _digest(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
