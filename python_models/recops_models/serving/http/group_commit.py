"""Group commit: one writer whose commits combine the events of several requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from recops_models.serving.center import Center
from recops_models.serving.errors import StoreAwayError, StoreError
from recops_models.serving.http.metrics import ServiceMetrics
from recops_models.serving.http.responses import OverloadedError
from recops_models.serving.http.score_priority import ScorePriority
from recops_models.serving.ingestion import BATCH, IngestReport
from recops_models.serving.store_availability import StoreAvailability

_logger = logging.getLogger(__name__)

MAX_WAITING = 1 << 16
"""Largest number of events that wait for the writer."""

MAX_WAIT_SECONDS = 0.05
"""Longest time that a commit yields to scores."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class _PendingRequest:
    events: Sequence[object]
    answer: asyncio.Future[IngestReport]


class GroupCommit:
    """Writer of the events of all requests, in order of arrival.

    A durable commit costs one disk flush, regardless of its size. Requests that arrive during a
    commit wait, and the next commit contains them all, up to
    :data:`~recops_models.serving.ingestion.BATCH` events. A single request therefore does not wait,
    and the number of flushes does not grow with the load.

    Args:
        center: the center that applies the events.
        metrics: receives counts and latencies.
        scores: scores in progress, to which the writer yields.
        availability: records whether the store answers.
    """

    def __init__(
        self,
        center: Center,
        metrics: ServiceMetrics,
        scores: ScorePriority,
        availability: StoreAvailability,
    ) -> None:
        self._center, self._metrics, self._scores = center, metrics, scores
        self._availability = availability
        self._queue: deque[_PendingRequest] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, "uic-writer")

    async def ingest(self, events: Sequence[object]) -> IngestReport:
        """Return the report on ``events`` after they are durable.

        Raises:
            OverloadedError: too many events wait.
            StoreError: see :meth:`Center.ingest`.
        """
        waiting = self._metrics.waiting
        if self._queue and waiting + len(events) > MAX_WAITING:
            raise OverloadedError(f"{waiting:,} events wait to be written")
        request = _PendingRequest(events, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        self._metrics.waiting += len(events)
        self._arrived.set()
        return await request.answer

    async def between_commits(self, work: Callable[[], ResultT]) -> ResultT:
        """Run ``work`` in the writer's thread, where it does not compete with commits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def run(self) -> None:
        """Write until :meth:`close`, then write the remaining events."""
        loop = asyncio.get_running_loop()
        while True:
            group = self._next_group()
            if group:
                outcomes = await loop.run_in_executor(self._thread, self._write, group)
                self._metrics.waiting -= sum(len(request.events) for request in group)
                for request, outcome in zip(group, outcomes, strict=True):
                    _set_outcome(request.answer, outcome)
            elif self._closing:
                self._thread.shutdown()
                return
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def close(self) -> None:
        """Stop after the events that have arrived."""
        self._closing = True
        self._arrived.set()

    def _next_group(self) -> list[_PendingRequest]:
        """Return the waiting requests that fit into one commit, at least one if any waits."""
        group: list[_PendingRequest] = []
        room = BATCH
        while self._queue and (not group or len(self._queue[0].events) <= room):
            group.append(self._queue.popleft())
            room -= len(group[-1].events)
        return group

    def _write(self, group: Sequence[_PendingRequest]) -> list[IngestReport | Exception]:
        start = time.perf_counter()
        try:
            with self._availability.watching():
                reports = self._center.ingest_together(
                    [request.events for request in group],
                    yield_point=self._scores.yield_point(MAX_WAIT_SECONDS),
                )
        except StoreError as error:
            if len(group) == 1 or isinstance(error, StoreAwayError):
                num_events = sum(len(request.events) for request in group)
                _logger.warning("a batch of %d events failed: %s", num_events, error)
                return [error] * len(group)
            # One request may touch a damaged state; the other requests must not fail with it.
            return [outcome for request in group for outcome in self._write([request])]
        except Exception as error:  # The requests wait for an outcome, so pass on any error.
            _logger.exception("a batch failed with an unexpected error")
            return [error] * len(group)
        self._metrics.committed(reports, time.perf_counter() - start)
        return list(reports)


def _set_outcome(answer: asyncio.Future[IngestReport], outcome: IngestReport | Exception) -> None:
    with suppress(asyncio.InvalidStateError):  # The client has disconnected.
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
