"""Models and stores for the tests of the center."""

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
    """Function that returns the folder of a model on the small data set; cached."""
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
    """Durable Redis server, shared by the tests."""
    with RedisServer(tmp_path_factory.mktemp("redis"), *DURABLE) as server:
        yield server


@pytest.fixture
def fresh_database(redis_server: RedisServer) -> int:
    """The number of an empty database of the server."""
    with redis_server.client() as client:
        client.flushall()
    return 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Clock of the locks, set by the test."""
    stopped = Clock()
    monkeypatch.setattr("recops_models.serving.locks.time.time", stopped.time)
    return stopped


@pytest.fixture(params=["lmdb", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store of either kind."""
    if request.param == "lmdb":
        return f"lmdb:{tmp_path / 'store'}"
    database: int = request.getfixturevalue("fresh_database")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url(database)
