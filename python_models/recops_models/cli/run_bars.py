"""Progress bar for all runs of a reproduction, on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from typing_extensions import Self

from recops_models.callbacks import Callbacks


class RunBars(Callbacks):
    """One bar that counts runs, and a printed line per run with the runs and time ahead."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("", total=None)
        self._started = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def start(self, stage: str, **details: object) -> None:
        ahead, seconds = details["ahead"], details["seconds"]
        assert isinstance(ahead, int)
        estimate = f", about {_time(seconds)}" if isinstance(seconds, (int, float)) else ""
        text = f"{ahead} ahead{estimate}: {stage}"
        self._bars.update(
            self._task,
            completed=self._started,
            total=self._started + ahead,
            description=text,
        )
        self._bars.console.print(text, soft_wrap=True)
        self._started += 1

    def log_message(self, text: str) -> None:
        self._bars.console.print(text, soft_wrap=True)

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self._bars.update(self._task, completed=self._started - 1 + share)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
