"""A bar for all trainings of a reproduction, on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from typing_extensions import Self

from recops_models.evidence.harness.experiment import Run


class RunBars:
    """Says how many trainings lie ahead and about how long they take; shows the one that runs."""

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
        self._begun = 0

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

    def start(self, run: Run, ahead: int, seconds: float | None) -> None:
        """A training begins, the first of ``ahead``."""
        left = "" if seconds is None else f", about {_time(seconds)}"
        settings = " ".join(f"{name}={value}" for name, value in run.settings)
        what = f"{run.model} on {run.data}, seed {run.seed} {settings}".strip()
        kind = "measured" if run.test else "trial"
        self._bars.update(
            self._task,
            completed=self._begun,
            total=self._begun + ahead,
            description=f"{ahead} ahead{left}: {kind}, {what}",
        )
        self._bars.console.print(f"{ahead} ahead{left}: {kind}, {what}", soft_wrap=True)
        self._begun += 1

    def note(self, text: str) -> None:
        """Something to be told once."""
        self._bars.console.print(text, soft_wrap=True)

    def advance(self, share: float) -> None:
        """The training has come to ``share`` of its work."""
        self._bars.update(self._task, completed=self._begun - 1 + share)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
