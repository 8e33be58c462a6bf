"""Store in Redis, shared by several machines."""

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
from recops_models.serving.stores.store_url import redact_url

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
"""Lua script of a commit. Redis runs it atomically and logs its effects as one transaction."""


class RedisStore(Store):
    """Store in a Redis database, for any number of processes on any machines.

    Args:
        url: ``redis://HOST:PORT/DB``.
        allow_loss: accept a server that may lose acknowledged writes. Without it the server must
            have ``appendonly yes``, ``appendfsync always`` and ``maxmemory-policy noeviction``.

    Raises:
        NotDurableError: the server has other settings, or does not report them.
        StoreAwayError: the server does not answer.
    """

    consistent_scan = False

    def __init__(self, url: str, *, allow_loss: bool = False) -> None:
        self.url = redact_url(url)
        self._client = connect(url)
        with store_errors(self.url):
            if not allow_loss:
                _require_durable(self.url, self._client)
            self._commit = self._client.register_script(_COMMIT)

    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._mget([_PREFIX + key for key in keys])

    def _mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with store_errors(self.url):
            return cast("list[bytes | None]", self._client.mget(keys))

    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        """See :meth:`Store.commit`. Durability depends on the server's settings."""
        puts = {key: value for key, value in changes.items() if value is not None}
        keys = [CLOCK, *puts, *(key for key, value in changes.items() if value is None)]
        with store_errors(self.url):
            is_committed = self._commit(
                [_PREFIX + key for key in keys], [b"%d" % clock, *puts.values()]
            )
        if not is_committed:
            raise ConflictError(f"{self.url}: another commit followed {clock}")

    def scan(self, prefixes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """See :meth:`Store.scan`. Yields the keys that exist throughout the scan, in no order."""
        for prefix in prefixes:
            pattern = re.sub(rb"([*?\[\]\\])", rb"\\\1", _PREFIX + prefix) + b"*"
            cursor, seen = 0, set[bytes]()
            while True:
                with store_errors(self.url):
                    cursor, keys = self._client.scan(cursor, match=pattern, count=_PAGE)
                fresh = sorted(set(cast("list[bytes]", keys)) - seen)
                seen.update(fresh)
                values = self._mget(fresh) if fresh else []
                for key, value in zip(fresh, values, strict=True):
                    if value is not None:
                        yield key.removeprefix(_PREFIX), value
                if cursor == 0:
                    break

    def num_bytes(self) -> int:
        """Return the memory in use by the whole server."""
        with store_errors(self.url):
            return int(self._client.info("memory")["used_memory"])

    def close(self) -> None:
        """See :meth:`Store.close`."""
        self._client.close()


def connect(url: str) -> redis.Redis:
    """Return a client that receives replies as bytes.

    Raises:
        ValueError: the URL is invalid.
    """
    try:
        return redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, decode_responses=False
        )
    except ValueError as error:
        raise ValueError(
            f"store must be redis://HOST:PORT/DB, got {redact_url(url)!r} ({error})"
        ) from error


@contextmanager
def store_errors(url: str) -> Iterator[None]:
    """Convert Redis errors to store errors."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreAwayError(f"{url}: no answer ({error})") from error
    except redis.OutOfMemoryError as error:
        raise StoreFullError(f"{url}: no room, nothing was written ({error})") from error
    except redis.RedisError as error:
        raise StoreError(f"{url}: {error}") from error


def _require_durable(url: str, client: redis.Redis) -> None:
    required = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    try:
        settings = {name: client.config_get(name).get(name) for name in required}
    except redis.ResponseError as error:
        raise NotDurableError(
            f"{url}: does not report whether it is durable ({error}); --allow-loss accepts that"
        ) from error
    for name, value in required.items():
        if settings[name] != value:
            raise NotDurableError(
                f"{url}: {name} must be {value}, got {settings[name]}: acknowledged events could "
                "be lost; --allow-loss accepts that"
            )
