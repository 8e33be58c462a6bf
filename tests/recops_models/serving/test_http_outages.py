"""Shutdown under load and Redis outages lose no accepted event."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from centers import events_of
from recops_models.data import Dataset
from recops_models.serving.center import Center
from redis_server import DURABLE, RedisServer
from uic_server import UicServer

GOOD = {"user_id": "good", "item_id": 2, "timestamp": 5.5, "seq": 1, "rating": 4}
REQUEST = {"user_id": "good", "candidates": [1, 2]}


class Sender(threading.Thread):
    """Thread that posts events of its users until the server stops, and records accepted ones."""

    def __init__(self, server: UicServer, events: list[dict[str, Any]], name: int) -> None:
        super().__init__()
        self._server, self._events, self._name = server, events, name
        self.accepted: list[dict[str, Any]] = []
        self.statuses: set[int] = set()

    def run(self) -> None:
        client = self._server.client()
        for copy in range(100_000):
            batch = [
                {**event, "user_id": f"{event['user_id']}/{self._name}/{copy}"}
                for event in self._events
            ]
            try:
                answer = client.post("/v1/events", {"events": batch})
            except (OSError, http.client.HTTPException):
                break
            self.statuses.add(answer.status)
            if answer.status == 200:
                assert answer.content["accepted"] == len(batch)
                self.accepted += batch
        client.close()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_server_finishes_open_requests_before_it_stops(
    trained: Callable[..., Path], small: Dataset, tmp_path: Path, number: signal.Signals
) -> None:
    store = f"lmdb:{tmp_path / 'store'}"
    with UicServer(trained("mimn"), store) as server:
        senders = [Sender(server, events_of(small)[:50], name) for name in range(4)]
        for sender in senders:
            sender.start()
        while not all(sender.accepted for sender in senders):
            time.sleep(0.02)
        server.process.send_signal(number)
        assert server.process.wait(60) == 0
        for sender in senders:
            sender.join()
        (line,) = server.stderr().splitlines()
        assert "has no states" in line
    assert {status for sender in senders for status in sender.statuses} == {200}
    with Center.open(trained("mimn"), store) as center:
        accepted_events = [event for sender in senders for event in sender.accepted]
        assert center.stats().events >= len(accepted_events) > 0
        assert center.ingest(accepted_events).duplicates == len(accepted_events)


@pytest.mark.slow
def test_the_server_recovers_from_a_redis_outage(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    with (
        RedisServer(tmp_path, *DURABLE) as redis_server,
        UicServer(trained("mimn"), redis_server.url(), verbose=True) as server,
    ):
        client = server.client()
        assert client.post("/v1/events", {"events": [GOOD]}).content["accepted"] == 1
        before = client.post("/v1/score", REQUEST).content
        redis_server.kill()
        later = {**GOOD, "seq": 2}
        for path, body in (
            ("/v1/score", REQUEST),
            ("/v1/events", {"events": [later]}),
            ("/v1/forget", {"user_id": "other"}),
        ):
            answer = client.post(path, body)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert "no answer" in answer.content["error"]
        assert client.get("/healthz").status == 503
        assert "recops_uic_store_up 0.0" in client.get("/metrics").text
        redis_server.start()
        assert client.get("/healthz").status == 200
        assert client.post("/v1/score", REQUEST).content == before
        answer = client.post("/v1/events", {"events": [GOOD, later]}).content
        assert (answer["accepted"], answer["duplicates"]) == (1, 1)
        assert "recops_uic_store_up 1.0" in client.get("/metrics").text
        client.close()
        server.process.terminate()
        assert server.process.wait(60) == 0
        lines = [line.split(maxsplit=2)[2] for line in server.stderr().splitlines()]
    url, version = redis_server.url(), before["model_version"]
    for message in (
        f"INFO recops_models.serving.http.server: serving {url} with model {version} at http://",
        f"WARNING recops_models.serving.store_availability: {url} does not answer, retrying: ",
        "WARNING recops_models.serving.http.group_commit: a batch of 1 events failed: ",
        f"WARNING recops_models.serving.store_availability: {url} answers again after ",
        "INFO recops_models.serving.http.server: stopped serving at http://127.0.0.1:",
    ):
        assert sum(line.startswith(message) for line in lines) == 1


@pytest.mark.slow
def test_a_hanging_redis_makes_the_server_unhealthy(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    with (
        RedisServer(tmp_path, *DURABLE) as redis_server,
        UicServer(trained("mimn"), redis_server.url()) as server,
    ):
        client = server.client()
        redis_server.process.send_signal(signal.SIGSTOP)
        try:
            assert client.get("/healthz").status == 503
        finally:
            redis_server.process.send_signal(signal.SIGCONT)
        assert client.get("/healthz").status == 200
        client.close()
