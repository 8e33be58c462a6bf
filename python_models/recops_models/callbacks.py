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
            stage: name of the stage, for display.
            details: further properties of the stage. A reproduction passes its ``run``, the number
                of runs ``ahead`` including this one, and an estimate of their ``seconds``, or None.
        """

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        """Report progress within the stage.

        Args:
            share: finished share of the stage's work, from 0 to 1.
            note: current part of the stage, for display; may be empty.
            metrics: current figures, such as ``loss`` of the last training step.
        """

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report the metrics of a finished step.

        Args:
            step: number of the step, from 1. A resumed training reports its earlier epochs again.
            metrics: values by name; of an epoch: ``train_loss``, validation metrics and
                ``seconds``.
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

    The metrics and messages of the inner work are left out. Its stages become one share, which
    never decreases.

    Args:
        outer: receive the progress.
        before: share of the outer stage that is done before the inner work.
        width: share of the outer stage that is the inner work.
        weights: weights of the inner stages by name, in order. An inner stage without a weight
            reports no progress. None: the inner work is one stage.

    Example:
        >>> class Printer(Callbacks):
        ...     def advance(self, share: float, note: str = "", **metrics: float) -> None:
        ...         print(share)
        >>> portion = Portion(Printer(), weights={"pretrain": 1, "train": 3})
        >>> portion.start("train")
        >>> portion.advance(0.5)
        0.625
    """

    def __init__(
        self,
        outer: Callbacks,
        before: float = 0.0,
        width: float = 1.0,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self._outer, self._before, self._width = outer, before, width
        self._weights = dict(weights or {})
        self._stage: str | None = None

    def start(self, stage: str, **details: object) -> None:
        self._stage = stage

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        if self._weights:
            if self._stage not in self._weights:
                return
            names = list(self._weights)
            finished = sum(self._weights[name] for name in names[: names.index(self._stage)])
            share = finished + self._weights[self._stage] * share
            share /= sum(self._weights.values())
        self._outer.advance(self._before + self._width * share, note, **metrics)


def progress_text(note: str, metrics: Mapping[str, float]) -> str:
    """Return the text of one :meth:`Callbacks.advance`, such as ``level 0, error 0.0213``."""
    return ", ".join([note] * bool(note) + [f"{k} {value:.4g}" for k, value in metrics.items()])
