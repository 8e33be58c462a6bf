"""Events of a Redis stream, read by a consumer group: each until it is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

import redis

from recops_models.serving.errors import FieldError
from recops_models.serving.event_lines import event_of_json
from recops_models.serving.stores.redis_store import answers, connect
from recops_models.serving.stores.store_url import shown

SCHEME = "redis-stream://"

_CONSUMER = "center"
"""A group has one active consumer, so one name is enough: what a killed one left unacknowledged is
the next one's own."""


class StreamEntry(NamedTuple):
    """An entry of a stream.

    Attributes:
        id: of the entry.
        event: what its field ``event`` says; an error where that is no JSON.
    """

    id: bytes
    event: object


class RedisStream:
    """A stream's entries in order, whoever read them before and died.

    One consumer of a group is active at a time, which a lock in the store sees to. A former one
    that was only asleep may still take entries from the stream, but not apply them; they are
    pending then, and before any entry behind them. So after each read the group's pending entries
    are counted, and where there are more than were read, they come first.

    Args:
        url: ``redis-stream://HOST:PORT/DB/KEY?group=NAME``. The group is made if need be, from the
            beginning of the stream.

    Raises:
        ValueError: another URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        database, _, key = parts.path.removeprefix("/").partition("/")
        named = given.keys() == {"group"} and given["group"]
        if not (url.startswith(SCHEME) and parts.netloc and database.isdecimal() and key and named):
            raise ValueError(
                f"events must be {SCHEME}HOST:PORT/DB/KEY?group=NAME, got {shown(url)!r}"
            )
        server = f"redis://{parts.netloc}/{database}"
        self._server = shown(server)
        self._key, self._group = key, given["group"]
        self._client = connect(server)
        self._pending, self._replayed = True, "-"
        self._trimmed: list[StreamEntry] = []

    @property
    def name(self) -> str:
        """Of what one consumer at a time may read."""
        return f"{self._server}/{self._key}/{self._group}"

    def claim(self) -> None:
        """Begin with what any consumer of the group has read and not acknowledged.

        Raises:
            StoreAwayError: no answer.
        """
        start: bytes | str = "0-0"
        with answers(self._server):
            self._make_group()
            while True:
                start, _, *trimmed = self._client.xautoclaim(
                    self._key, self._group, _CONSUMER, 0, start_id=start, count=1000
                )
                for names in trimmed:  # Of which servers before Redis 7 do not tell.
                    self._trimmed += [StreamEntry(name, _event(None)) for name in names]
                if start in (b"0-0", "0-0"):
                    break
        self._pending = True

    def read(self, *, count: int, block: float) -> list[StreamEntry]:
        """The next entries in order, at most ``count``, after :meth:`claim`; those of a read before
        that were not acknowledged come again only after another.

        Args:
            count: see above.
            block: seconds to wait for the first.

        Raises:
            StoreAwayError: no answer.
        """
        if self._trimmed:
            trimmed, self._trimmed = self._trimmed, []
            return trimmed
        if self._pending:
            entries = self._read("0", count, None)
            if entries:
                return entries
            self._pending = False
        entries = self._read(">", count, max(1, int(block * 1000)))
        if entries and self._num_pending() > len(entries):
            self.claim()
            return self._read("0", count, None)
        return entries

    def acknowledge(self, entries: Sequence[StreamEntry]) -> None:
        """The entries need not come again.

        Raises:
            StoreAwayError: no answer; they may come again.
        """
        if entries:
            with answers(self._server):
                self._client.xack(self._key, self._group, *(entry.id for entry in entries))

    def replay(self, *, count: int) -> Iterator[list[object]]:
        """All events of the stream from its beginning, whatever the group has read, which stays as
        it is; another call goes on behind the last.

        Raises:
            StoreAwayError: no answer.
        """
        while True:
            with answers(self._server):
                listed = self._client.xrange(self._key, min=self._replayed, count=count)
            if not listed:
                return
            entries = _entries(listed)
            yield [entry.event for entry in entries]
            self._replayed = f"({entries[-1].id.decode()}"

    def close(self) -> None:
        """Let go of the server."""
        self._client.close()

    def _read(self, start: str, count: int, block: int | None) -> list[StreamEntry]:
        with answers(self._server):
            found = self._client.xreadgroup(
                self._group, _CONSUMER, {self._key: start}, count=count, block=block
            )
        if not found:
            return []
        streams = found.items() if isinstance(found, dict) else found
        entries: list[StreamEntry] = []
        for _, listed in streams:
            entries += _entries(listed)
        return entries

    def _num_pending(self) -> int:
        with answers(self._server):
            return int(self._client.xpending(self._key, self._group)["pending"])

    def _make_group(self) -> None:
        try:
            self._client.xgroup_create(self._key, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # It is there.
                raise


def _entries(listed: object) -> list[StreamEntry]:
    found = cast("list[tuple[bytes, dict[bytes, bytes] | None]]", listed)
    return [StreamEntry(name, _event(fields)) for name, fields in found]


def _event(fields: dict[bytes, bytes] | None) -> object:
    if not fields:
        return FieldError("event", "must be there, but the stream was trimmed before it was read")
    if b"event" not in fields:
        return FieldError("event", "must be a field of a stream's entry")
    return event_of_json(fields[b"event"])
