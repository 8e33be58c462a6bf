"""Events of a Redis stream, read by a consumer group with acknowledgements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

import redis

from recops_models.serving.errors import FieldError
from recops_models.serving.event_lines import event_of_json
from recops_models.serving.stores.redis_store import connect, store_errors
from recops_models.serving.stores.store_url import redact_url

SCHEME = "redis-stream://"

_CONSUMER = "center"
"""Name of every consumer. Only one is active per group, and it takes over the entries that a killed
one left unacknowledged."""


class StreamEntry(NamedTuple):
    """Entry of a stream.

    Attributes:
        id: id of the entry.
        event: parsed JSON of the field ``event``, or a FieldError if it is invalid.
    """

    id: bytes
    event: object


class RedisStream:
    """Reader of a stream's entries in order, including entries that earlier consumers left pending.

    A lock in the store allows one active consumer per group. A former consumer that was suspended
    may still read entries, but cannot apply them, so they stay pending before all later entries.
    After each read this class therefore counts the group's pending entries. If there are more than
    were read, it delivers the older ones first.

    Args:
        url: ``redis-stream://HOST:PORT/DB/KEY?group=NAME``. A missing group is created at the
            beginning of the stream.

    Raises:
        ValueError: ``url`` has another form.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        database, _, key = parts.path.removeprefix("/").partition("/")
        group = options.get("group", "") if options.keys() == {"group"} else ""
        if not (url.startswith(SCHEME) and parts.netloc and database.isdecimal() and key and group):
            raise ValueError(
                f"events must be {SCHEME}HOST:PORT/DB/KEY?group=NAME, got {redact_url(url)!r}"
            )
        server = f"redis://{parts.netloc}/{database}"
        self._server = redact_url(server)
        self._key, self._group = key, group
        self._client = connect(server)
        self._has_pending, self._replayed = True, "-"
        self._trimmed: list[StreamEntry] = []

    @property
    def name(self) -> str:
        """Name of the lock that allows one consumer."""
        return f"{self._server}/{self._key}/{self._group}"

    def claim(self) -> None:
        """Take over all entries of the group that were read and not acknowledged.

        Raises:
            StoreAwayError: the server does not answer.
        """
        start: bytes | str = "0-0"
        with store_errors(self._server):
            self._make_group()
            while True:
                start, _, *trimmed = self._client.xautoclaim(
                    self._key, self._group, _CONSUMER, 0, start_id=start, count=1000
                )
                for ids in trimmed:  # Redis before version 7 does not report them.
                    self._trimmed += [StreamEntry(entry, _event(None)) for entry in ids]
                if start in (b"0-0", "0-0"):
                    break
        self._has_pending = True

    def read(self, *, count: int, block: float) -> list[StreamEntry]:
        """Return the next entries in order. Call :meth:`claim` first.

        Entries that are not acknowledged are returned again only after another :meth:`claim`.

        Args:
            count: largest number of entries.
            block: seconds to wait for the first entry.

        Raises:
            StoreAwayError: the server does not answer.
        """
        if self._trimmed:
            trimmed, self._trimmed = self._trimmed, []
            return trimmed
        if self._has_pending:
            entries = self._read("0", count, None)
            if entries:
                return entries
            self._has_pending = False
        entries = self._read(">", count, max(1, int(block * 1000)))
        if entries and self._num_pending() > len(entries):
            self.claim()
            return self._read("0", count, None)
        return entries

    def acknowledge(self, entries: Sequence[StreamEntry]) -> None:
        """Mark entries as processed, so that they are not delivered again.

        Raises:
            StoreAwayError: the server does not answer. The entries may be delivered again.
        """
        if entries:
            with store_errors(self._server):
                self._client.xack(self._key, self._group, *(entry.id for entry in entries))

    def replay(self, *, count: int) -> Iterator[list[object]]:
        """Yield batches of all events of the stream, from its beginning.

        The state of the consumer group is neither used nor changed. A second call continues after
        the last event of the first one.

        Raises:
            StoreAwayError: the server does not answer.
        """
        while True:
            with store_errors(self._server):
                listed = self._client.xrange(self._key, min=self._replayed, count=count)
            if not listed:
                return
            entries = _entries(listed)
            yield [entry.event for entry in entries]
            self._replayed = f"({entries[-1].id.decode()}"

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _read(self, start: str, count: int, block: int | None) -> list[StreamEntry]:
        with store_errors(self._server):
            reply = self._client.xreadgroup(
                self._group, _CONSUMER, {self._key: start}, count=count, block=block
            )
        if not reply:
            return []
        streams = reply.items() if isinstance(reply, dict) else reply
        entries: list[StreamEntry] = []
        for _, listed in streams:
            entries += _entries(listed)
        return entries

    def _num_pending(self) -> int:
        with store_errors(self._server):
            return int(self._client.xpending(self._key, self._group)["pending"])

    def _make_group(self) -> None:
        try:
            self._client.xgroup_create(self._key, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # The group exists.
                raise


def _entries(listed: object) -> list[StreamEntry]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes] | None]]", listed)
    return [StreamEntry(entry, _event(fields)) for entry, fields in entries]


def _event(fields: dict[bytes, bytes] | None) -> object:
    if not fields:
        return FieldError("event", "must be present, but the stream was trimmed before it was read")
    if b"event" not in fields:
        return FieldError("event", "must be a field of a stream's entry")
    return event_of_json(fields[b"event"])
