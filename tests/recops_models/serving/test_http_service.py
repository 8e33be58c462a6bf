"""The service within one process: group commits, queues and limits."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Scope

from centers import events_of
from recops_models.data import Dataset
from recops_models.serving.center import Center
from recops_models.serving.errors import (
    CorruptStateError,
    FieldError,
    ModelVersionError,
    NotDurableError,
    StoreAwayError,
    StoreFullError,
)
from recops_models.serving.http import body, group_commit, service
from recops_models.serving.http.app import make_app
from recops_models.serving.http.group_commit import GroupCommit
from recops_models.serving.http.metrics import ServiceMetrics
from recops_models.serving.http.requests import ScoreRequest
from recops_models.serving.http.responses import OverloadedError, error_response
from recops_models.serving.http.score_priority import ScorePriority
from recops_models.serving.http.service import Service
from recops_models.serving.keys import user_key
from recops_models.serving.locks import HeldLockError
from recops_models.serving.store_availability import StoreAvailability


@pytest.fixture
def center(trained: Callable[..., Path], tmp_path: Path) -> Iterator[Center]:
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as opened:
        yield opened


def new_writer(center: Center, metrics: ServiceMetrics | None = None) -> GroupCommit:
    availability = StoreAvailability(center.store.url)
    return GroupCommit(center, metrics or ServiceMetrics(), ScorePriority(), availability)


class Gate:
    """Gate that blocks a method of a center until it is opened."""

    def __init__(self, center: Center, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self._open = threading.Event(), threading.Event()
        method = getattr(center, name)

        def waiting(*arguments: object, **options: object) -> object:
            self.entered.set()
            assert self._open.wait(30)
            return method(*arguments, **options)

        monkeypatch.setattr(center, name, waiting)

    def open(self) -> None:
        self._open.set()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_requests_during_a_commit_share_the_next_commit(
    center: Center, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = events_of(small)
    gate = Gate(center, "ingest_together", monkeypatch)
    before = center.stats().commits

    async def scenario() -> None:
        writer = new_writer(center)
        running = asyncio.create_task(writer.run())
        sending = [asyncio.create_task(writer.ingest(events[:1]))]
        await until(gate.entered.is_set)
        sending += [asyncio.create_task(writer.ingest([event])) for event in events[1:40]]
        await asyncio.sleep(0.01)
        sending[7].cancel()  # The events of a disconnected client are still written.
        gate.open()
        reports = await asyncio.gather(*sending, return_exceptions=True)
        assert isinstance(reports.pop(7), asyncio.CancelledError)
        assert {report.accepted for report in reports if not isinstance(report, BaseException)} == {
            1
        }
        writer.close()
        await running

    asyncio.run(scenario())
    assert center.stats().commits == before + 2
    assert center.stats().events == 40


def test_a_commit_has_a_bounded_number_of_events(
    center: Center, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "BATCH", 10)
    events = events_of(small)
    metrics = ServiceMetrics()

    async def scenario() -> None:
        writer = new_writer(center, metrics)
        parts = [events[:25], events[25:31], events[31:35], events[35:36], []]
        sending = [asyncio.create_task(writer.ingest(part)) for part in parts]
        await asyncio.sleep(0.01)
        assert metrics.waiting == 36
        running = asyncio.create_task(writer.run())
        reports = await asyncio.gather(*sending)
        assert [report.accepted for report in reports] == [25, 6, 4, 1, 0]
        writer.close()
        await running

    asyncio.run(scenario())
    assert metrics.waiting == 0
    assert center.stats().commits == 1 + 3  # The first one creates the store.


def test_events_before_the_shutdown_are_written(center: Center, small: Dataset) -> None:
    async def scenario() -> None:
        writer = new_writer(center)
        sending = asyncio.create_task(writer.ingest(events_of(small)[:5]))
        await asyncio.sleep(0.01)
        writer.close()
        await writer.run()
        assert (await sending).accepted == 5

    asyncio.run(scenario())


def test_a_damaged_state_fails_only_its_request(center: Center, small: Dataset) -> None:
    events = events_of(small)
    center.ingest(events[:1])
    user = str(events[0]["user_id"])
    view = center.store.view([user_key(1, user)])
    center.store.commit({user_key(1, user): b"damaged"}, clock=view.clock)
    other = next(event for event in events if str(event["user_id"]) != user)

    async def scenario() -> None:
        writer = new_writer(center)
        parts = [[{**events[0], "seq": 2}], [other]]
        sending = [asyncio.create_task(writer.ingest(part)) for part in parts]
        await asyncio.sleep(0.01)
        running = asyncio.create_task(writer.run())
        bad, good = await asyncio.gather(*sending, return_exceptions=True)
        assert isinstance(bad, CorruptStateError)
        assert not isinstance(good, BaseException)
        assert good.accepted == 1
        writer.close()
        await running

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "messages"),
    [
        (
            StoreAwayError("away"),
            [
                "WARNING {url} does not answer, retrying: away",
                "WARNING a batch of 3 events failed: away",
                "WARNING {url} answers again",
            ],
        ),
        (ZeroDivisionError("a bug"), ["ERROR a batch failed with an unexpected error"]),
    ],
)
def test_an_error_reaches_every_waiting_request_and_the_log(
    center: Center,
    small: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    messages: list[str],
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    async def scenario() -> None:
        writer = new_writer(center)
        running = asyncio.create_task(writer.run())
        with monkeypatch.context() as patched:
            patched.setattr(center, "ingest_together", failing)
            requests = [
                asyncio.create_task(writer.ingest([event])) for event in events_of(small)[:3]
            ]
            outcomes = await asyncio.gather(*requests, return_exceptions=True)
            assert outcomes == [error] * 3
        assert (await writer.ingest(events_of(small)[:3])).accepted == 3
        writer.close()
        await running

    asyncio.run(scenario())
    lines = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(message.format(url=center.store.url))


def test_too_many_events_are_refused(
    center: Center, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING", 10)
    events = events_of(small)

    async def scenario() -> None:
        writer = new_writer(center)
        first = asyncio.create_task(
            writer.ingest(events[:30])
        )  # A single request may exceed the limit.
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError, match="30 events wait"):
            await writer.ingest(events[30:31])
        running = asyncio.create_task(writer.run())
        assert (await first).accepted == 30
        assert (await writer.ingest(events[30:31])).accepted == 1
        writer.close()
        await running

    asyncio.run(scenario())


def test_too_many_scores_are_refused(center: Center, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_UNANSWERED", 3)
    gate = Gate(center, "score", monkeypatch)
    request = ScoreRequest(user_id=1, candidates=[1])

    async def scenario() -> None:
        serving = Service(center, ServiceMetrics())
        async with serving.running():
            waiting = [asyncio.create_task(serving.score(request)) for _ in range(3)]
            await until(gate.entered.is_set)
            with pytest.raises(OverloadedError, match="3 requests wait"):
                await serving.score(request)
            gate.open()
            assert {response.events for response in await asyncio.gather(*waiting)} == {0}
            assert (await serving.score(request)).events == 0

    asyncio.run(scenario())


def test_scores_do_not_wait_for_the_writer(
    center: Center, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(center, "ingest_together", monkeypatch)

    async def scenario() -> None:
        serving = Service(center, ServiceMetrics())
        async with serving.running():
            writing = asyncio.create_task(serving.ingest(list(events_of(small))))
            await until(gate.entered.is_set)
            assert (await serving.score(ScoreRequest(user_id=1, candidates=[1]))).events == 0
            assert not writing.done()
            gate.open()
            await writing
            response = await serving.score(ScoreRequest(user_id=1, candidates=[1]))
            assert response.events > 0

    asyncio.run(scenario())


def test_a_store_that_does_not_answer_is_reported_as_down(
    center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_STORE_SECONDS", 0.05)
    gate = Gate(center, "stats", monkeypatch)

    async def scenario() -> None:
        serving = Service(center, ServiceMetrics())
        async with serving.running():
            assert b"recops_uic_store_up 0.0" in await serving.metrics()
            gate.open()
            assert b"recops_uic_store_up 1.0" in await serving.metrics()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FieldError("seq", "must be present"), 422),
        (ModelVersionError("another's"), 409),
        (NotDurableError("may lose"), 500),
        (StoreFullError("no room"), 507),
        (HeldLockError("writing pauses"), 503),
        (OverloadedError("too much"), 503),
    ],
)
def test_every_error_is_one_line_with_a_status(error: Exception, status: int) -> None:
    answer = asyncio.run(error_response(Request({"type": "http"}), error))
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)
    content = json.loads(bytes(answer.body))
    assert content["error"] in (str(error), "must be present")
    assert content.get("field") == getattr(error, "field", None)


def test_a_full_store_gets_status_507(trained: Callable[..., Path], tmp_path: Path) -> None:
    store = f"lmdb:{tmp_path / 'store'}?map_bytes=100000"
    events = [
        {"user_id": n, "item_id": 1, "timestamp": 0, "seq": 1, "rating": 5} for n in range(99)
    ]

    async def scenario(center: Center) -> None:
        serving = Service(center, ServiceMetrics())
        async with serving.running():
            with pytest.raises(StoreFullError):
                await serving.ingest(list(events))
            assert (await serving.ingest(list(events[:1]))).accepted == 1

    with Center.open(trained("mimn"), store) as center:
        asyncio.run(scenario(center))


async def _post(app: Any, messages: list[Message]) -> list[Message]:
    """Return the response of an ASGI application to a POST in these messages."""
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    answers: list[Message] = []

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        answers.append(message)

    await app(scope, receive, send)
    return answers


def test_a_body_that_does_not_arrive_times_out(
    center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "_BODY_SECONDS", 0.05)
    part: Message = {"type": "http.request", "body": b"{", "more_body": True}
    answers = asyncio.run(_post(make_app(center), [part]))
    assert answers[0]["status"] == 408
    assert (b"connection", b"close") in answers[0]["headers"]


def test_a_disconnect_during_the_body_changes_nothing(center: Center) -> None:
    part: Message = {"type": "http.request", "body": b"{", "more_body": True}
    asyncio.run(_post(make_app(center), [part, {"type": "http.disconnect"}]))
    assert center.stats().events == 0
