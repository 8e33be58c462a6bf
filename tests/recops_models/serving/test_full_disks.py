"""Full disks, maps and memory cause a named error and lose no event."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from centers import events_of
from recops_models.data import Dataset
from recops_models.serving.center import Center
from recops_models.serving.errors import StoreError, StoreFullError
from recops_models.serving.keys import generation_prefix
from redis_server import DURABLE, RedisServer

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from recops_models.cli import run
sys.exit(run(sys.argv[2:]))
"""


def contents(center: Center) -> dict[bytes, bytes]:
    return dict(center.store.scan([generation_prefix(1)]))


@pytest.fixture(scope="module")
def events(small: Dataset) -> list[dict[str, Any]]:
    return events_of(small)


@pytest.fixture
def clean(
    trained: Callable[..., Path], events: list[dict[str, Any]], tmp_path: Path
) -> dict[bytes, bytes]:
    """Return the content of a store that was never full."""
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'clean'}") as center:
        center.ingest(events)
        return contents(center)


def fill(center: Center, events: list[dict[str, Any]], size: int, error: type[StoreError]) -> int:
    """Ingest batches of ``size`` events until one fails; return the number of accepted events."""

    def num_applied(batch: list[dict[str, Any]]) -> bool:
        try:
            center.ingest(batch)
        except error:
            return False
        return True

    for start in range(0, len(events), size):
        if not num_applied(events[start : start + size]):
            return start
    raise AssertionError("the store was never full")


def test_a_full_map(
    trained: Callable[..., Path],
    events: list[dict[str, Any]],
    clean: dict[bytes, bytes],
    tmp_path: Path,
) -> None:
    url = f"lmdb:{tmp_path / 'store'}"
    with Center.open(trained("mimn"), f"{url}?map_bytes=131072") as center:
        applied = fill(center, events, 50, StoreFullError)
        assert 0 < applied < len(events)
        for user in {event["user_id"] for event in events[:applied]}:  # Reads still work.
            seen = sum(event["user_id"] == user for event in events[:applied])
            assert center.score(user, [1]).events == seen
    with Center.open(trained("mimn"), url) as center:
        report = center.ingest(events)
        assert report.duplicates == applied
        assert contents(center) == clean


@pytest.mark.slow
def test_a_full_disk_below_lmdb(
    trained: Callable[..., Path],
    events: list[dict[str, Any]],
    clean: dict[bytes, bytes],
    redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    store, stream = f"lmdb:{tmp_path / 'store'}", redis_server.stream_url("full", database=2)
    with redis_server.client(2) as client:
        client.flushdb()
        arguments = ["uic", "ingest", "--model", str(trained("mimn"))]
        arguments += ["--store", store, "--events", stream]

        def ingest(
            limit: int, new_events: list[dict[str, Any]]
        ) -> subprocess.CompletedProcess[str]:
            for event in new_events:
                client.xadd("full", {"event": json.dumps(event)})
            command = [sys.executable, "-c", LIMITED, str(limit), *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=False)

        assert ingest(1 << 40, events[:100]).returncode == 0
        size = (tmp_path / "store" / "data.mdb").stat().st_size
        failed = ingest(size + 40_000, events[100:])
        assert failed.returncode == 1
        assert failed.stderr.startswith(f"recops: {store}: no room on the disk")
        assert failed.stderr.count("\n") == 1
        assert client.xpending("full", "center")["pending"] == len(events) - 100
        assert ingest(1 << 40, []).returncode == 0
        assert client.xpending("full", "center")["pending"] == 0
    with Center.open(trained("mimn"), store) as center:
        assert contents(center) == clean


def test_a_redis_whose_memory_is_full(
    trained: Callable[..., Path],
    events: list[dict[str, Any]],
    clean: dict[bytes, bytes],
    tmp_path: Path,
) -> None:
    with (
        RedisServer(tmp_path, *DURABLE, "--maxmemory-policy", "noeviction") as server,
        Center.open(trained("mimn"), server.url()) as center,
        server.client() as client,
    ):
        center.ingest(events[:100])
        client.config_set("maxmemory", client.info("memory")["used_memory"] + (1 << 16))
        assert fill(center, events[100:], 20, StoreFullError) < len(events) - 100
        client.config_set("maxmemory", 0)
        center.ingest(events)
        assert contents(center) == clean


@pytest.mark.slow
def test_a_full_disk_below_redis(
    trained: Callable[..., Path],
    events: list[dict[str, Any]],
    clean: dict[bytes, bytes],
    tmp_path: Path,
) -> None:
    """A durable Redis stops at a failed write, and its file is complete up to that point."""
    with RedisServer(tmp_path, *DURABLE, most_file_bytes=1 << 17) as server:
        center = Center.open(trained("mimn"), server.url())
        accepted = fill(center, events, 20, StoreError)
        server.process.wait()
    assert 0 < accepted < len(events)
    with (
        RedisServer(tmp_path, *DURABLE) as server,
        Center.open(trained("mimn"), server.url()) as center,
    ):
        report = center.ingest(events)
        assert report.duplicates >= accepted
        assert report.late == 0
        assert contents(center) == clean
