"""One writer, whose every commit takes all that has arrived while it made the last."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from recops_models.serving.center import Center
from recops_models.serving.errors import StoreAwayError, StoreError
from recops_models.serving.http.answers import OverloadedError
from recops_models.serving.http.metrics import ServiceMetrics
from recops_models.serving.http.scores_first import ScoresFirst
from recops_models.serving.intake import BATCH, IngestReport

MOST_WAITING = 1 << 16
"""Events that may wait for the writer."""

MOST_WAIT_SECONDS = 0.05
"""That a commit gives to scores."""

Done = TypeVar("Done")


@dataclass(frozen=True)
class _Sending:
    events: Sequence[object]
    answer: asyncio.Future[IngestReport]


class GroupCommit:
    """Writes events in the order in which requests brought them, several requests in a commit.

    A durable commit costs a flush of the disk, whatever is in it. While one is made, requests wait;
    the next takes them all, up to :data:`~recops_models.serving.intake.BATCH` events. So a lone
    request waits for nobody, and under load the flushes do not grow with the requests.

    Args:
        center: that is written.
        metrics: told of each commit.
        scores: whom the writer lets go first.
    """

    def __init__(self, center: Center, metrics: ServiceMetrics, scores: ScoresFirst) -> None:
        self._center, self._metrics, self._scores = center, metrics, scores
        self._queue: deque[_Sending] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, "uic-writer")

    async def ingest(self, events: Sequence[object]) -> IngestReport:
        """What became of ``events``, durable by then.

        Raises:
            OverloadedError: too many are waiting.
            StoreError: as of :meth:`Center.ingest`.
        """
        waiting = self._metrics.waiting
        if self._queue and waiting + len(events) > MOST_WAITING:
            raise OverloadedError(f"{waiting:,} events wait to be written")
        sending = _Sending(events, asyncio.get_running_loop().create_future())
        self._queue.append(sending)
        self._metrics.waiting += len(events)
        self._arrived.set()
        return await sending.answer

    async def between_commits(self, work: Callable[[], Done]) -> Done:
        """Do other writing in the writer's thread, where it need not race with commits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def run(self) -> None:
        """Write until :meth:`close`, and then what is left."""
        loop = asyncio.get_running_loop()
        while True:
            group = self._next_group()
            if group:
                outcomes = await loop.run_in_executor(self._thread, self._write, group)
                self._metrics.waiting -= sum(len(sending.events) for sending in group)
                for sending, outcome in zip(group, outcomes, strict=True):
                    _tell(sending.answer, outcome)
            elif self._closing:
                self._thread.shutdown()
                return
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def close(self) -> None:
        """No more will come."""
        self._closing = True
        self._arrived.set()

    def _next_group(self) -> list[_Sending]:
        """The first that waits, and those behind it as long as there is room in the commit."""
        group: list[_Sending] = []
        room = BATCH
        while self._queue and (not group or len(self._queue[0].events) <= room):
            group.append(self._queue.popleft())
            room -= len(group[-1].events)
        return group

    def _write(self, group: Sequence[_Sending]) -> list[IngestReport | Exception]:
        begun = time.perf_counter()
        try:
            reports = self._center.ingest_together(
                [sending.events for sending in group],
                give_way=self._scores.waits(MOST_WAIT_SECONDS),
            )
        except StoreError as error:
            if len(group) == 1 or isinstance(error, StoreAwayError):
                return [error] * len(group)
            # One sender's user, say, has a damaged state: the others need not suffer for it.
            return [outcome for sending in group for outcome in self._write([sending])]
        except Exception as error:  # Whatever it is, those who wait must be told.
            return [error] * len(group)
        self._metrics.committed(reports, time.perf_counter() - begun)
        return list(reports)


def _tell(answer: asyncio.Future[IngestReport], outcome: IngestReport | Exception) -> None:
    with suppress(asyncio.InvalidStateError):  # Who asked has gone.
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
