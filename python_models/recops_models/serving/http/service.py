"""A center among many requests at once: who waits for whom, and how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from recops_models.serving.center import Center, KnownUser, Scored
from recops_models.serving.errors import ModelVersionError, StoreAwayError, StoreError
from recops_models.serving.generations import served_now
from recops_models.serving.http.answers import OverloadedError
from recops_models.serving.http.group_commit import GroupCommit
from recops_models.serving.http.metrics import ServiceMetrics
from recops_models.serving.http.requests import ForgetRequest, ScoreRequest
from recops_models.serving.http.scores_first import ScoresFirst
from recops_models.serving.intake import IngestReport

SCORERS = 2
"""Threads that score: a request is a few milliseconds of one core."""

MOST_UNANSWERED = 256
"""Requests for scores that may wait."""

_PATIENCE = 2.0
"""Seconds that the store has to tell of itself."""

ResponseT = TypeVar("ResponseT")


class Service:
    """A center for requests that come at once: one thread writes, a few read and score.

    Args:
        center: stays its caller's to close.
        metrics: told of all that happens.
    """

    def __init__(self, center: Center, metrics: ServiceMetrics) -> None:
        self._center, self._metrics = center, metrics
        self._scores = ScoresFirst()
        self._writer = GroupCommit(center, metrics, self._scores)
        self._scorers = ThreadPoolExecutor(SCORERS, "uic-scorer")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes inside; at the end, everything that came is written."""
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
        forget = partial(self._center.forget, through=request.through, patience=1.0)
        return await self._writer.between_commits(partial(forget, request.user_id))

    async def score(self, request: ScoreRequest) -> Scored:
        """See :meth:`Center.score`.

        Raises:
            OverloadedError: too many wait.
        """
        if self._metrics.unanswered >= MOST_UNANSWERED:
            raise OverloadedError(f"{MOST_UNANSWERED} requests wait to be scored")
        self._metrics.unanswered += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._scorers, self._score, request
            )
        finally:
            self._metrics.unanswered -= 1
        self._metrics.scored(len(found.scores), known=found.known)
        return found

    def _score(self, request: ScoreRequest) -> Scored:
        with self._scores.scoring():
            return self._center.score(request.user_id, request.candidates, request.features)

    async def state(self, user_id: str) -> KnownUser:
        """See :meth:`Center.look_up`."""
        return await _soon(partial(self._center.look_up, user_id))

    async def model_version(self) -> str:
        """Of the model whose states the store serves.

        Raises:
            StoreError: the store is away, or tells of no model.
        """
        active = await _soon(partial(served_now, self._center.store))
        if active is None:
            raise ModelVersionError("the store was emptied")
        return active.version.hex()

    async def metrics(self) -> bytes:
        """In Prometheus' text format, whether the store is there or not."""
        try:
            stats = await _soon(self._center.stats)
        except StoreError:
            stats = None
        return self._metrics.text(stats)


async def _soon(ask: Callable[[], ResponseT]) -> ResponseT:
    """What the store tells, unless it takes too long."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(ask), _PATIENCE)
    except asyncio.TimeoutError:
        raise StoreAwayError(f"the store does not answer within {_PATIENCE:g} s") from None
