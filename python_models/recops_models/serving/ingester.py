"""Ingestion of a whole source, batch by batch, until its end or a stop signal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial

from recops_models.serving.center import Center
from recops_models.serving.errors import StoreAwayError
from recops_models.serving.ingestion import BATCH, IngestReport, ingest_undamaged
from recops_models.serving.locks import LOCK_SECONDS, Lock, LostLockError
from recops_models.serving.redis_stream import RedisStream
from recops_models.serving.store_availability import StoreAvailability

_logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
"""Interval between checks of the stop signal."""

ReportCallback = Callable[[IngestReport], None]


def ingest_batches(
    center: Center,
    batches: Iterable[list[object]],
    *,
    stop: threading.Event,
    on_report: ReportCallback,
) -> bool:
    """Apply batches of events. Events that touch a damaged record are refused.

    Args:
        center: the center.
        batches: batches of events.
        stop: no further batch starts after this is set.
        on_report: receives the report of each batch.

    Returns:
        True if all batches were applied, False if it was stopped.

    Raises:
        StoreError: the store cannot be written. All events may be sent again.
    """
    for batch in batches:
        if stop.is_set():
            return False
        on_report(ingest_undamaged(batch, partial(center.ingest, patience=LOCK_SECONDS)))
    return True


def ingest_stream(
    center: Center,
    stream: RedisStream,
    *,
    follow: bool,
    stop: threading.Event,
    on_report: ReportCallback,
    seconds: float = LOCK_SECONDS,
) -> bool:
    """Apply the entries of a stream as the only active consumer of its group.

    An entry is acknowledged after its event is durable in the store, or after the event is refused
    because it is invalid or touches a damaged record. After a failure in between, the entry is
    delivered again, and its sequence number identifies it as a duplicate.

    Args:
        center: the center.
        stream: the stream and its consumer group.
        follow: wait for new entries, for the lock, and for an unavailable store or server. Without
            it, stop at the end of the stream and raise these errors.
        stop: no further batch starts after this is set.
        on_report: receives the report of each batch.
        seconds: time after which the lock expires if this process dies.

    Returns:
        True if the end of the stream was reached, False if it was stopped.

    Raises:
        HeldLockError: another consumer is active, and ``follow`` is False.
        StoreError: the store or the server failed.
    """
    lock = Lock(center.store, stream.name, seconds=seconds)
    availability = StoreAvailability(center.store.url)
    while not stop.is_set():
        consume = partial(_consume, center, stream, lock, follow, stop, on_report)
        at_end = _try_consuming(consume, stream, lock, availability, follow, stop)
        if at_end is not None:
            return at_end
    return False


def _try_consuming(
    consume: Callable[[], bool],
    stream: RedisStream,
    lock: Lock,
    availability: StoreAvailability,
    follow: bool,
    stop: threading.Event,
) -> bool | None:
    """Return the result of ``consume`` under the lock; None if it must be tried again."""
    try:
        with lock:
            stream.claim()
            availability.record_answer()
            return consume()
    except LostLockError as error:
        _logger.warning("%s; reading the stream again", error)
    except StoreAwayError as error:
        if not follow:
            raise
        availability.record_failure(error)
        stop.wait(_POLL_SECONDS)
    return None


def _consume(
    center: Center,
    stream: RedisStream,
    lock: Lock,
    follow: bool,
    stop: threading.Event,
    on_report: ReportCallback,
) -> bool:
    """Apply entries until the end of the stream (without ``follow``) or the stop signal.

    Returns:
        whether the end of the stream was reached.
    """
    ingest = partial(center.ingest, lock=lock, patience=LOCK_SECONDS)
    while True:
        entries = stream.read(count=BATCH, block=_POLL_SECONDS if follow else 0.0)
        if stop.is_set() or not (entries or follow):
            return not entries
        if entries:
            report = ingest_undamaged([entry.event for entry in entries], ingest)
            stream.acknowledge(entries)
            on_report(report)
        lock.renew()
