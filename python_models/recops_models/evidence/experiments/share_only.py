"""Callbacks that report the share of a stage alone."""

from __future__ import annotations

from collections.abc import Callable

from recops_models.callbacks import Callbacks


class ShareOnly(Callbacks):
    """Callbacks that pass on the share done of a training or a fit.

    Steps without metrics, such as those of a stage before the training, are left out.

    Args:
        on_step: called with the share, from 0 to 1.
    """

    def __init__(self, on_step: Callable[[float], None]) -> None:
        self._on_step = on_step

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        if metrics:
            self._on_step(share)
