"""From a source to a center, batch by batch, until there is no more or someone says stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from recops_models.serving.center import Center
from recops_models.serving.errors import StoreAwayError
from recops_models.serving.intake import BATCH, IngestReport
from recops_models.serving.locks import SECONDS, Lock, LostLockError
from recops_models.serving.redis_stream import RedisStream

_POLL = 0.5
"""Seconds between looks at whether to stop."""

Told = Callable[[IngestReport], None]


def ingest_batches(
    center: Center, batches: Iterable[list[object]], *, stop: threading.Event, told: Told
) -> None:
    """Apply the batches of a file or of any iterator.

    Args:
        center: see :meth:`Center.ingest`.
        batches: of events.
        stop: once set, no further batch begins.
        told: of each batch.

    Raises:
        StoreError: the store cannot be written; all may be sent again.
    """
    for batch in batches:
        told(center.ingest(batch, patience=SECONDS))
        if stop.is_set():
            return


def ingest_stream(
    center: Center,
    stream: RedisStream,
    *,
    follow: bool,
    stop: threading.Event,
    told: Told,
    seconds: float = SECONDS,
) -> None:
    """Apply the entries of a stream as the one active consumer of its group.

    An entry is acknowledged when its event is durable in the store, or known to be no event. What
    happens in between, it comes again, and its sequence number tells.

    Args:
        center: see :meth:`Center.ingest`.
        stream: with its group.
        follow: wait for entries, for the lock, and for a store or server that is away; else the end
            of the stream is the end, and errors are raised.
        stop: once set, no further batch begins.
        told: of each batch.
        seconds: after which the lock expires, should this process die on another machine.

    Raises:
        HeldLockError: another consumer is active (without ``follow``).
        StoreError: the store or the server cannot do its part.
    """
    lock = Lock(center.store, stream.name, seconds=seconds)
    while not stop.is_set() and not _held(
        center, stream, lock, follow=follow, stop=stop, told=told
    ):
        pass


def _held(
    center: Center,
    stream: RedisStream,
    lock: Lock,
    *,
    follow: bool,
    stop: threading.Event,
    told: Told,
) -> bool:
    """Consume as long as the lock is held; whether that is all."""
    try:
        with lock:
            stream.claim()
            _consume(center, stream, lock, follow=follow, stop=stop, told=told)
    except LostLockError:
        return False
    except StoreAwayError:
        if not follow:
            raise
        stop.wait(_POLL)
        return False
    return True


def _consume(
    center: Center,
    stream: RedisStream,
    lock: Lock,
    *,
    follow: bool,
    stop: threading.Event,
    told: Told,
) -> None:
    while not stop.is_set():
        entries = stream.read(count=BATCH, block=_POLL if follow else 0.0)
        if entries:
            report = center.ingest([entry.event for entry in entries], lock=lock, patience=SECONDS)
            stream.acknowledge(entries)
            told(report)
        elif not follow:
            return
        lock.renew()
