"""Fixtures of serving: trained models, Redis servers, stores, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from centers import untrained
from recops_models.data import Dataset
from redis_server import DURABLE, RedisServer
from stopped_clock import Clock


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


@pytest.fixture(scope="session")
def trained(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a cached function that trains a model on the small data set and returns its folder."""
    folders: dict[Any, Path] = {}
    home = tmp_path_factory.mktemp("trained")

    def folder(name: str, *, seed: int = 0, **settings: str) -> Path:
        key = (name, seed, tuple(sorted(settings.items())))
        if key not in folders:
            path = home / f"{name}-{len(folders)}"
            folders[key] = untrained(name, small, home / "data", path, seed=seed, **settings)
        return folders[key]

    return folder


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Start a durable Redis server that all tests share."""
    with RedisServer(tmp_path_factory.mktemp("redis"), *DURABLE) as server:
        yield server


@pytest.fixture
def fresh_database(redis_server: RedisServer) -> int:
    """Return the number of an empty database of the server."""
    with redis_server.client() as client:
        client.flushall()
    return 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock of the locks by one that the test sets."""
    stopped = Clock()
    monkeypatch.setattr("recops_models.serving.locks.time.time", stopped.time)
    return stopped


@pytest.fixture(params=["lmdb", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty store, in LMDB or Redis."""
    if request.param == "lmdb":
        return f"lmdb:{tmp_path / 'store'}"
    database: int = request.getfixturevalue("fresh_database")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url(database)
