"""Computing time of a run, also of one that is interrupted and resumed by another process."""

from __future__ import annotations

import time
from pathlib import Path

from recops.files import read_json, write_json
from recops_models.callbacks import Callbacks

_FILE, _KIND = "computing_time.json", "computing time"
_INTERVAL = 10.0
"""Seconds between writes; an interrupted run loses at most the time since the last one."""


def computing_start(folder: Path) -> float:
    """Return the :func:`time.process_time` at which a run would have started in one process.

    Args:
        folder: folder of the run, in which earlier processes stored their time.

    Raises:
        CorruptFileError: the stored time is damaged.
    """
    path = folder / _FILE
    earlier = float(read_json(path, kind=_KIND)["seconds"]) if path.exists() else 0.0
    return time.process_time() - earlier


class TimeRecorder(Callbacks):
    """Callbacks that store the computing time of a run as it advances.

    Args:
        folder: folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._start = computing_start(folder)
        self._stored = time.process_time()

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        now = time.process_time()
        if now - self._stored >= _INTERVAL:
            self._stored = now
            write_json(self._path, {"seconds": now - self._start}, kind=_KIND)
