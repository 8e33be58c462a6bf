"""Callbacks that call one function at every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recops_models.callbacks import Callbacks


class OnAdvance(Callbacks):
    """Callbacks that call a function with the stage, the share of it done and the metrics."""

    def __init__(self, function: Callable[[str, float, Mapping[str, float]], None]) -> None:
        self._function, self._stage = function, ""

    def start(self, stage: str, **details: Any) -> None:
        self._stage = stage

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self._function(self._stage, share, metrics)


class Interrupt(Callbacks):
    """Callbacks that raise ``KeyboardInterrupt`` in a stage, as Ctrl-C does.

    Args:
        stage: stage to interrupt, or None for any.
        after: share of the stage after which the interrupt is raised.
    """

    def __init__(self, stage: str | None = None, *, after: float = -1.0) -> None:
        self._target, self._after, self._stage = stage, after, ""

    def start(self, stage: str, **details: Any) -> None:
        self._stage = stage

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        if self._target in (None, self._stage) and share > self._after:
            raise KeyboardInterrupt


class LoggedSteps(Callbacks):
    """Callbacks that collect the steps whose metrics were logged.

    Attributes:
        steps: numbers of the logged steps, in order.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        self.steps.append(step)
