"""Limit of the computing time of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping

from recops_models.callbacks import Callbacks


class OutOfTimeError(RuntimeError):
    """A run needs more computing time than its protocol allows."""


class TimeLimit(Callbacks):
    """Callbacks that stop a training that exceeds its computing time.

    The time is that of the process on all cores, so other programs on the machine do not matter.

    Args:
        minutes: limit of the computing time.
        start: :func:`time.process_time` at the start of the run; None: now.

    Raises:
        OutOfTimeError: in :meth:`advance` and :meth:`log_metrics`, if the limit is exceeded.

    Example:
        >>> TimeLimit(minutes=1.0).advance(0.5)
        >>> TimeLimit(minutes=0.0).advance(0.5)
        Traceback (most recent call last):
            ...
        recops_evidence.harness.out_of_time.OutOfTimeError: the run exceeded 0 core-minutes
    """

    def __init__(self, minutes: float, start: float | None = None) -> None:
        self._minutes = minutes
        self._start = time.process_time() if start is None else start

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self._check()

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        self._check()

    def _check(self) -> None:
        if time.process_time() - self._start >= 60 * self._minutes:
            raise OutOfTimeError(f"the run exceeded {self._minutes:g} core-minutes")
