"""Progress bars on stderr, one per stage."""

from __future__ import annotations

import logging
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from typing_extensions import Self

from recops_models.callbacks import Callbacks, progress_text

_logger = logging.getLogger(__name__)


class StageBars(Callbacks):
    """One bar per stage with progress, time and latest metric. Finished bars stay visible."""

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=Console(stderr=True),
        )
        self._current: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not self._bars.console.is_terminal:
            self._bars.live.transient = True  # A log file shows only the error's line.
            self._bars.live.stop()
            return
        if error is None:
            self._finish()
        self._bars.stop()

    def start(self, stage: str, **details: object) -> None:
        _logger.info("stage %s", stage)
        self._finish()
        self._current = self._bars.add_task(stage, total=1.0, note="")

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        if self._current is not None:
            text = progress_text(note, metrics)
            self._bars.update(self._current, completed=share, note=text)

    def _finish(self) -> None:
        if self._current is not None:
            self._bars.update(self._current, completed=1.0)
