"""Callbacks of long work, such as training, tokenizing and the quickstart."""

from __future__ import annotations

from collections.abc import Mapping


class Callbacks:
    """Receiver of the stages, progress, metrics and messages of long work.

    This class ignores every call. A subclass overrides the methods it needs, and may raise
    ``KeyboardInterrupt`` to stop the work as Ctrl-C does.

    Example:
        >>> class Printer(Callbacks):
        ...     def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        ...         print(step, metrics["train_loss"])
    """

    def start(self, stage: str, **details: object) -> None:
        """Start a stage; the previous stage is finished.

        Args:
            stage: its name, for display.
            details: more on the stage. A reproduction passes its ``run``, the number of runs
                ``ahead`` including this one, and the ``seconds`` they may take, or None.
        """

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        """Report progress within the stage.

        Args:
            share: of the stage's work that is done, from 0 to 1.
            note: which part of the stage runs, for display; empty: nothing to add.
            metrics: current figures, such as ``loss`` of the last training step.
        """

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report the metrics of a finished step.

        Args:
            step: counted from 1. A resumed training reports its earlier epochs again.
            metrics: by name; of an epoch: ``train_loss``, validation metrics and ``seconds``.
        """

    def log_message(self, text: str) -> None:
        """Report one line of text for the user."""


class CallbackList(Callbacks):
    """Callbacks that pass every call to several others, in order.

    Args:
        callbacks: the receivers.
    """

    def __init__(self, *callbacks: Callbacks) -> None:
        self._callbacks = callbacks

    def start(self, stage: str, **details: object) -> None:
        for each in self._callbacks:
            each.start(stage, **details)

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        for each in self._callbacks:
            each.advance(share, note, **metrics)

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        for each in self._callbacks:
            each.log_metrics(step, metrics)

    def log_message(self, text: str) -> None:
        for each in self._callbacks:
            each.log_message(text)


class Portion(Callbacks):
    """Callbacks that report inner work as a portion of one stage of other callbacks.

    The stages, metrics and messages of the inner work are left out.

    Args:
        outer: receive the progress.
        before: share of the outer stage that is done before the inner work.
        width: share of the outer stage that is the inner work.
    """

    def __init__(self, outer: Callbacks, before: float = 0.0, width: float = 1.0) -> None:
        self._outer, self._before, self._width = outer, before, width

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self._outer.advance(self._before + self._width * share, note, **metrics)


def progress_text(note: str, metrics: Mapping[str, float]) -> str:
    """Return the text of one :meth:`Callbacks.advance`, such as ``level 0, error 0.0213``."""
    return ", ".join([note] * bool(note) + [f"{k} {value:.4g}" for k, value in metrics.items()])
