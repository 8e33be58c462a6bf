"""States in Redis, which several machines share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import redis

from recops_models.serving.errors import (
    ConflictError,
    NotDurableError,
    StoreAwayError,
    StoreError,
    StoreFullError,
)
from recops_models.serving.stores.store import CLOCK, Store
from recops_models.serving.stores.store_url import shown

_PREFIX = b"uic:"
_TIMEOUT = 5.0
_PAGE = 512

_COMMIT = """
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
local puts = #ARGV - 1
for i = 1, puts do redis.call('SET', KEYS[1 + i], ARGV[1 + i]) end
for i = 2 + puts, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('INCR', KEYS[1])
return 1
"""
"""A script is one command to Redis: no other comes between, and its effects reach the disk as one
transaction."""


class RedisStore(Store):
    """Any number of readers and writers, on any machines.

    Args:
        url: ``redis://HOST:PORT/DB``.
        allow_loss: take a server that may lose what it said was written: one without ``appendonly
            yes`` and ``appendfsync always``, or with a policy that evicts.

    Raises:
        NotDurableError: such a server, or one that does not tell.
        StoreAwayError: no answer.
    """

    consistent_scan = False

    def __init__(self, url: str, *, allow_loss: bool = False) -> None:
        self.url = shown(url)
        self._client = connect(url)
        with answers(self.url):
            if not allow_loss:
                _require_durable(self.url, self._client)
            self._commit = self._client.register_script(_COMMIT)

    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._mget([_PREFIX + key for key in keys])

    def _mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with answers(self.url):
            return cast("list[bytes | None]", self._client.mget(keys))

    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        """See :meth:`Store.commit`; durable as the server is."""
        puts = {key: value for key, value in changes.items() if value is not None}
        keys = [CLOCK, *puts, *(key for key, value in changes.items() if value is None)]
        with answers(self.url):
            done = self._commit([_PREFIX + key for key in keys], [b"%d" % clock, *puts.values()])
        if not done:
            raise ConflictError(f"{self.url}: someone has committed after {clock}")

    def scan(self, prefixes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """See :meth:`Store.scan`: keys that are there all the while, in no order."""
        for prefix in prefixes:
            pattern = re.sub(rb"([*?\[\]\\])", rb"\\\1", _PREFIX + prefix) + b"*"
            cursor, met = 0, set[bytes]()
            while True:
                with answers(self.url):
                    cursor, keys = self._client.scan(cursor, match=pattern, count=_PAGE)
                fresh = sorted(set(cast("list[bytes]", keys)) - met)
                met.update(fresh)
                values = self._mget(fresh) if fresh else []
                for key, value in zip(fresh, values, strict=True):
                    if value is not None:
                        yield key.removeprefix(_PREFIX), value
                if cursor == 0:
                    break

    def num_bytes(self) -> int:
        """The server's memory in use, all of it."""
        with answers(self.url):
            return int(self._client.info("memory")["used_memory"])

    def close(self) -> None:
        """See :meth:`Store.close`."""
        self._client.close()


def connect(url: str) -> redis.Redis:
    """A client of the server, which answers in bytes.

    Raises:
        ValueError: no such URL.
    """
    try:
        return redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, decode_responses=False
        )
    except ValueError as error:
        raise ValueError(
            f"store must be redis://HOST:PORT/DB, got {shown(url)!r} ({error})"
        ) from error


@contextmanager
def answers(url: str) -> Iterator[None]:
    """Errors of the server inside are those of a store."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreAwayError(f"{url}: no answer ({error})") from error
    except redis.OutOfMemoryError as error:
        raise StoreFullError(f"{url}: no room, nothing was written ({error})") from error
    except redis.RedisError as error:
        raise StoreError(f"{url}: {error}") from error


def _require_durable(url: str, client: redis.Redis) -> None:
    due = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    try:
        found = {name: client.config_get(name).get(name) for name in due}
    except redis.ResponseError as error:
        raise NotDurableError(
            f"{url}: does not tell whether it is durable ({error}); --allow-loss takes it as it is"
        ) from error
    for name, value in due.items():
        if found[name] != value:
            raise NotDurableError(
                f"{url}: {name} must be {value}, got {found[name]}: acknowledged events could be "
                "lost; --allow-loss takes it as it is"
            )
