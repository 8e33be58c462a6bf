"""Limit of the computing time of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping

from recops_models.callbacks import Callbacks


class OutOfTimeError(RuntimeError):
    """A run needs more computing time than its protocol allows."""


class TimeLimit(Callbacks):
    """Callbacks that pass every call on, and stop a training that exceeds its computing time.

    The time is that of the process on all cores, so other programs on the machine do not matter.

    Args:
        outer: receive every call.
        minutes: limit of the computing time from now on.

    Raises:
        OutOfTimeError: in :meth:`advance` and :meth:`log_metrics`, if the limit is exceeded.

    Example:
        >>> TimeLimit(Callbacks(), minutes=1.0).advance(0.5)
        >>> TimeLimit(Callbacks(), minutes=0.0).advance(0.5)
        Traceback (most recent call last):
            ...
        recops_evidence.harness.out_of_time.OutOfTimeError: the run exceeded 0 core-minutes
    """

    def __init__(self, outer: Callbacks, minutes: float) -> None:
        self._outer, self._minutes = outer, minutes
        self._start = time.process_time()

    def start(self, stage: str, **details: object) -> None:
        self._outer.start(stage, **details)

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self._check()
        self._outer.advance(share, note, **metrics)

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        self._check()
        self._outer.log_metrics(step, metrics)

    def log_message(self, text: str) -> None:
        self._outer.log_message(text)

    def _check(self) -> None:
        if time.process_time() - self._start >= 60 * self._minutes:
            raise OutOfTimeError(f"the run exceeded {self._minutes:g} core-minutes")
