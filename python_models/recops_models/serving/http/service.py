"""Concurrent requests to a center: threads, queues and time limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from recops_models.serving.center import Center, ScoreResult, UserStatus
from recops_models.serving.errors import ModelVersionError, StoreAwayError, StoreError
from recops_models.serving.generations import read_active
from recops_models.serving.http.group_commit import GroupCommit
from recops_models.serving.http.metrics import ServiceMetrics
from recops_models.serving.http.requests import ForgetRequest, ScoreRequest
from recops_models.serving.http.responses import OverloadedError
from recops_models.serving.http.score_priority import ScorePriority
from recops_models.serving.ingestion import IngestReport
from recops_models.serving.store_availability import StoreAvailability

SCORERS = 2
"""Number of scoring threads. A request takes a few milliseconds of one core."""

MAX_UNANSWERED = 256
"""Largest number of unanswered scoring requests."""

_STORE_SECONDS = 2.0
"""Time limit of a read that only reports on the store or a user."""

ResponseT = TypeVar("ResponseT")


class Service:
    """Asynchronous access to a center with one writing thread and a few scoring threads.

    Args:
        center: the center. The caller closes it.
        metrics: receives counts and latencies.
    """

    def __init__(self, center: Center, metrics: ServiceMetrics) -> None:
        self._center, self._metrics = center, metrics
        self._scores = ScorePriority()
        self._availability = StoreAvailability(center.store.url)
        self._writer = GroupCommit(center, metrics, self._scores, self._availability)
        self._scorers = ThreadPoolExecutor(SCORERS, "uic-scorer")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the writer in the ``with`` block. On exit it writes all events that have arrived."""
        writing = asyncio.create_task(self._writer.run())
        try:
            yield
        finally:
            self._writer.close()
            await writing
            self._scorers.shutdown()

    async def ingest(self, events: list[object]) -> IngestReport:
        """See :meth:`GroupCommit.ingest`."""
        return await self._writer.ingest(events)

    async def forget(self, request: ForgetRequest) -> bool:
        """See :meth:`Center.forget`."""
        return await self._writer.between_commits(partial(self._forget, request))

    def _forget(self, request: ForgetRequest) -> bool:
        with self._availability.watching():
            return self._center.forget(request.user_id, through=request.through, patience=1.0)

    async def score(self, request: ScoreRequest) -> ScoreResult:
        """See :meth:`Center.score`.

        Raises:
            OverloadedError: too many requests wait.
        """
        if self._metrics.unanswered >= MAX_UNANSWERED:
            raise OverloadedError(f"{MAX_UNANSWERED} requests wait to be scored")
        self._metrics.unanswered += 1
        try:
            result = await asyncio.get_running_loop().run_in_executor(
                self._scorers, self._score, request
            )
        finally:
            self._metrics.unanswered -= 1
        self._metrics.scored(len(result.scores), known=result.known)
        return result

    def _score(self, request: ScoreRequest) -> ScoreResult:
        with self._availability.watching(), self._scores.scoring():
            return self._center.score(
                request.user_id, request.candidates, request.features, explore=request.explore
            )

    async def state(self, user_id: str) -> UserStatus:
        """See :meth:`Center.look_up`."""
        return await self._with_timeout(partial(self._center.look_up, user_id))

    async def model_version(self) -> str:
        """Return the version of the model whose states the store serves.

        Raises:
            StoreError: the store does not answer, or is empty.
        """
        active = await self._with_timeout(partial(read_active, self._center.store))
        if active is None:
            raise ModelVersionError("all states of the store were deleted")
        return active.version.hex()

    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format, even if the store does not answer."""
        try:
            stats = await self._with_timeout(self._center.stats)
        except StoreError:
            stats = None
        return self._metrics.text(stats)

    async def _with_timeout(self, read: Callable[[], ResponseT]) -> ResponseT:
        """Return the result of a read from the store; StoreAwayError after a time limit."""
        with self._availability.watching():
            try:
                return await asyncio.wait_for(asyncio.to_thread(read), _STORE_SECONDS)
            except asyncio.TimeoutError:
                raise StoreAwayError(
                    f"the store does not answer within {_STORE_SECONDS:g} s"
                ) from None
