"""Progress bars of a tokenizer's fit, one per stage."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rich.progress import Progress

from recops_models.callbacks import Callbacks, progress_text

_logger = logging.getLogger(__name__)


class FitBars(Callbacks):
    """One bar per stage of a tokenizer, all shown from the start.

    Args:
        bars: display of the bars.
        stages: stages of the tokenizer, in order.
    """

    def __init__(self, bars: Progress, stages: Sequence[str]) -> None:
        self._bars, self._stage = bars, stages[0]
        self._tasks = {stage: bars.add_task(stage, total=1.0) for stage in stages}

    def start(self, stage: str, **details: object) -> None:
        _logger.info("stage %s", stage)
        self._stage = stage

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        text = progress_text(self._stage, metrics)
        self._bars.update(self._tasks[self._stage], completed=share, description=text)
