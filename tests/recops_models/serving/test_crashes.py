"""SIGKILL at any time: every acknowledged event is in the state exactly once."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from centers import events_of
from killable import Killable
from recops_models.data import Dataset
from recops_models.serving.center import Center
from recops_models.serving.ingester import ingest_stream
from recops_models.serving.ingestion import IngestReport
from recops_models.serving.keys import generation_prefix, user_key
from recops_models.serving.open_store import open_store
from recops_models.serving.record import UserRecord
from recops_models.serving.redis_stream import RedisStream
from recops_models.serving.stores.store import Store
from redis_server import DURABLE, RedisServer

STREAM, GROUP = "events", "center"

COUNTS = pytest.mark.parametrize(
    "count",
    [pytest.param(3, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.full)],
)


@pytest.fixture(scope="module")
def killable() -> Iterator[Killable]:
    with Killable(
        "recops_models.serving.ingester",
        "recops_models.serving.stores.lmdb_store",
        "recops_models.recipes.mimn",
        "recops_models.training.click_task",
    ) as commands:
        yield commands


def flow(dataset: Dataset, count: int) -> list[dict[str, Any]]:
    """Return enough events for the kills; every twentieth is repeated later."""
    events = [
        {**event, "user_id": f"{event['user_id']}-{copy}"}
        for copy in range(1 + count // 4)
        for event in events_of(dataset)
    ]
    repeats = [(index + 7, event) for index, event in enumerate(events) if index % 20 == 0]
    for index, event in reversed(repeats):
        events.insert(index, event)
    return events


class Sender(threading.Thread):
    """Sends events to a stream, a few at a time."""

    def __init__(self, client: redis.Redis, events: list[dict[str, Any]]) -> None:
        super().__init__()
        self._client, self._events, self._end = client, events, threading.Event()

    def run(self) -> None:
        for event in self._events:
            while not self._sent(json.dumps(event)):
                self._end.wait(0.01)
            self._end.wait(0.001)

    def _sent(self, event: str) -> bool:
        try:
            self._client.xadd(STREAM, {"event": event})
        except redis.ConnectionError:
            return False
        return True

    def finish(self) -> None:
        """Send the remaining events immediately, and wait for the thread."""
        self._end.set()
        self.join()


def acknowledged(client: redis.Redis) -> list[dict[str, Any]]:
    """Return the events that were delivered to the group and acknowledged."""
    groups = client.xinfo_groups(STREAM)
    if not groups:
        return []
    delivered = client.xrange(STREAM, max=groups[0]["last-delivered-id"])
    pending = {
        entry["message_id"] for entry in client.xpending_range(STREAM, GROUP, "-", "+", 100_000)
    }
    return [json.loads(fields[b"event"]) for name, fields in delivered if name not in pending]


def assert_holds(store: Store, events: list[dict[str, Any]]) -> None:
    """Check that each of ``events`` is in the state of its user."""
    last: dict[str, int] = {}
    for event in events:
        last[event["user_id"]] = max(event["seq"], last.get(event["user_id"], 0))
    view = store.view([user_key(1, user) for user in last])
    for (user, seq), data in zip(last.items(), view.values, strict=True):
        assert data is not None, user
        assert UserRecord.unpack(user, data).ledger.last >= seq


def contents(store: Store) -> dict[bytes, bytes]:
    return dict(store.scan([generation_prefix(1)]))


@COUNTS
def test_a_killed_ingester_loses_nothing_and_repeats_nothing(
    count: int,
    store_url: str,
    killable: Killable,
    trained: Callable[..., Path],
    small: Dataset,
    redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    model, events = trained("mimn"), flow(small, count)
    url = redis_server.stream_url(STREAM, group=GROUP, database=1)
    with redis_server.client(1) as client:
        client.flushdb()
        command = ["uic", "ingest", "--model", str(model), "--store", store_url, "--events", url]
        sender = Sender(client, events)
        sender.start()
        rng, latest, num_confirmed, kills, num_working = random.Random(0), 1.5, 0, 0, 0
        while kills < count or not num_working:
            killable.run([*command, "--follow"], kill_after=rng.uniform(0.02, latest))
            kills += 1
            with open_store(store_url) as store:
                confirmed = acknowledged(client)
                assert_holds(store, confirmed)
            if len(confirmed) > num_confirmed:
                num_working += 1
            else:  # It was killed before it applied any events: allow more time.
                latest *= 1.2
            num_confirmed = len(confirmed)
        sender.finish()
        completed = killable.run(command)
        assert completed["code"] == 0, completed["output"]
        assert client.xpending(STREAM, GROUP)["pending"] == 0
        assert len(acknowledged(client)) == len(events)
    clean = f"lmdb:{tmp_path / 'clean'}"
    with Center.open(model, clean) as center, open_store(store_url) as store:
        report = center.ingest(events)
        assert report.accepted == len({(e["user_id"], e["seq"]) for e in events})
        assert report.late == report.gaps == 0
        assert contents(store) == contents(center.store)


@COUNTS
def test_a_killed_redis_loses_no_acknowledged_event(
    count: int, trained: Callable[..., Path], small: Dataset, tmp_path: Path
) -> None:
    """Redis holds both the stream and the store. The ingester waits for it and continues."""
    events, stop, total = flow(small, count), threading.Event(), IngestReport()
    (tmp_path / "redis").mkdir()
    with (
        RedisServer(tmp_path / "redis", *DURABLE) as server,
        server.client() as client,
        Center.open(trained("hpmn"), server.url(1)) as center,
    ):
        stream = RedisStream(server.stream_url(STREAM, group=GROUP))
        sender, rng = Sender(client, events), random.Random(0)
        follower = threading.Thread(
            target=ingest_stream,
            args=(center, stream),
            kwargs={"follow": True, "stop": stop, "on_report": total.join},
        )
        sender.start()
        follower.start()
        for _ in range(count):
            time.sleep(rng.uniform(0.05, 0.6))
            server.kill()
            server.start()
        sender.finish()
        deadline = time.monotonic() + 120
        while not _is_drained(client) and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        follower.join()
        with Center.open(trained("hpmn"), f"lmdb:{tmp_path / 'clean'}") as clean:
            clean.ingest(events)
            assert contents(center.store) == contents(clean.store)
    assert total.accepted > 0
    assert total.late == 0


def _is_drained(client: redis.Redis) -> bool:
    groups = client.xinfo_groups(STREAM)
    return bool(groups) and (groups[0]["pending"], groups[0]["lag"]) == (0, 0)
