"""From a source to a center, batch by batch, until there is no more or someone says stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from recops_models.serving.center import Center
from recops_models.serving.errors import StoreAwayError
from recops_models.serving.intake import BATCH, IngestReport, without_damaged
from recops_models.serving.locks import SECONDS, Lock, LostLockError
from recops_models.serving.redis_stream import RedisStream

_POLL = 0.5
"""Seconds between looks at whether to stop."""

ReportCallback = Callable[[IngestReport], None]


def ingest_batches(
    center: Center, batches: Iterable[list[object]], *, stop: threading.Event, told: ReportCallback
) -> bool:
    """Apply the batches of a file or of any iterator. Events that touch a damaged record are
    refused.

    Args:
        center: see :meth:`Center.ingest`.
        batches: of events.
        stop: once set, no further batch begins.
        told: of each batch.

    Returns:
        whether all were applied; False: it was stopped before.

    Raises:
        StoreError: the store cannot be written; all may be sent again.
    """
    for batch in batches:
        if stop.is_set():
            return False
        told(without_damaged(batch, partial(center.ingest, patience=SECONDS)))
    return True


def ingest_stream(
    center: Center,
    stream: RedisStream,
    *,
    follow: bool,
    stop: threading.Event,
    told: ReportCallback,
    seconds: float = SECONDS,
) -> bool:
    """Apply the entries of a stream as the one active consumer of its group.

    An entry is acknowledged when its event is durable in the store, or is refused: it is no event,
    or touches a damaged record, which would be met again for ever. What happens in between, it
    comes again, and its sequence number tells.

    Args:
        center: see :meth:`Center.ingest`.
        stream: with its group.
        follow: wait for entries, for the lock, and for a store or server that is away; else the end
            of the stream is the end, and errors are raised.
        stop: once set, no further batch begins.
        told: of each batch.
        seconds: after which the lock expires, should this process die on another machine.

    Returns:
        whether it came to the end of the stream; False: it was stopped before.

    Raises:
        HeldLockError: another consumer is active (without ``follow``).
        StoreError: the store or the server cannot do its part.
    """
    lock = Lock(center.store, stream.name, seconds=seconds)
    while not stop.is_set():
        is_all = _held(center, stream, lock, follow=follow, stop=stop, told=told)
        if is_all is not None:
            return is_all
    return False


def _held(
    center: Center,
    stream: RedisStream,
    lock: Lock,
    *,
    follow: bool,
    stop: threading.Event,
    told: ReportCallback,
) -> bool | None:
    """:func:`_consume` as long as the lock is held; None: it is to be tried again."""
    try:
        with lock:
            stream.claim()
            return _consume(center, stream, lock, follow=follow, stop=stop, told=told)
    except LostLockError:
        return None
    except StoreAwayError:
        if not follow:
            raise
        stop.wait(_POLL)
        return None


def _consume(
    center: Center,
    stream: RedisStream,
    lock: Lock,
    *,
    follow: bool,
    stop: threading.Event,
    told: ReportCallback,
) -> bool:
    """Apply entries until there are no more (without ``follow``) or it is stopped; whether it came
    to their end.
    """
    ingest = partial(center.ingest, lock=lock, patience=SECONDS)
    while True:
        entries = stream.read(count=BATCH, block=_POLL if follow else 0.0)
        if stop.is_set() or not (entries or follow):
            return not entries
        if entries:
            report = without_damaged([entry.event for entry in entries], ingest)
            stream.acknowledge(entries)
            told(report)
        lock.renew()
