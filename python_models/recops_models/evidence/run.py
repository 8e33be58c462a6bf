"""One training of an arm, and the folder that remembers those that are finished."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recops.files import read_json, write_json
from recops_models.data import Dataset
from recops_models.evidence.claim import Settings
from recops_models.training.job import Job, run_job
from recops_models.versions import versions

_RECORD, _OWNER = "record.json", "reproduction.json"


@dataclass(frozen=True)
class Run:
    """One training of an arm.

    Attributes:
        model: what ``recops train`` calls it.
        data: the data set's name, or a folder.
        settings: changes of the model's defaults.
        seed: of every random draw.
        test: whether test is measured; tuning trials never do.
        quick: few epochs.
    """

    model: str
    data: str
    settings: Settings
    seed: int
    test: bool
    quick: bool

    @property
    def job(self) -> Job:
        """What ``recops train`` would train.

        Raises:
            ValueError: unknown model or setting, or a value that is none.
        """
        return Job.of(self.model, self.data, dict(self.settings), seed=self.seed, quick=self.quick)

    @property
    def key(self) -> str:
        """A folder's name: readable, and another one for anything that differs, the model's
        defaults and the packages' versions among it.
        """
        content = json.dumps([self.job.config(), self.test, versions()], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        data = re.sub(r"\W+", "-", Path(self.data).name)
        kind = "test" if self.test else "trial"
        return f"{self.model}-{data}-{kind}-{self.seed}-{digest}"


@dataclass(frozen=True)
class Record:
    """What a finished run reached: metrics by name (null: not defined on this data), ``test``
    empty for a trial; wall seconds.
    """

    validation: dict[str, float | None]
    test: dict[str, float | None]
    seconds: float


class RunFolder:
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
        """Where the run's model and metrics are."""
        return self.path / "runs" / run.key

    def find(self, run: Run) -> Record | None:
        """What the run reached, if it is finished.

        Raises:
            CorruptFileError: the record is damaged.
        """
        path = self.folder(run) / _RECORD
        return Record(**read_json(path, kind="run-record")) if path.exists() else None

    def finish(self, run: Run, dataset: Dataset, on_step: Callable[[float], None]) -> Record:
        """Train, from the last epoch that an interrupted start left; ``on_step``: the share done.

        Raises:
            ValueError: data that cannot be split.
            KeyboardInterrupt: handed on; the folder keeps the last finished epoch.
        """
        folder = self.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        epochs = run.job.training.epochs if run.job.training else 1
        started = time.perf_counter()

        def step(epoch: int, done: float, _: float) -> None:
            on_step((epoch + done) / epochs)

        metrics: dict[str, Any] = run_job(
            run.job, dataset, folder, resume=True, test=run.test, on_step=step
        ).metrics
        record = Record(
            validation=metrics["validation"],
            test=metrics["test"] if run.test else {},
            seconds=round(time.perf_counter() - started, 3),
        )
        write_json(folder / _RECORD, dataclasses.asdict(record), kind="run-record")
        return record
