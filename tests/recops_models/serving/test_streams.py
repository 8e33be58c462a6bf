"""Streams and files of events: order, acknowledgement, and a single active consumer."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from centers import events_of
from recops_models.data import DataError, Dataset
from recops_models.serving import event_lines
from recops_models.serving.apply_events import EventOutcome
from recops_models.serving.center import Center
from recops_models.serving.errors import FieldError
from recops_models.serving.generations import read_active
from recops_models.serving.ingester import ingest_batches, ingest_stream
from recops_models.serving.ingestion import BATCH, IngestReport
from recops_models.serving.keys import generation_prefix, lock_key, user_key
from recops_models.serving.ledger import EventStatus
from recops_models.serving.locks import HeldLockError, Lock, LostLockError
from recops_models.serving.redis_stream import RedisStream
from recops_models.serving.refresh import refresh_model
from recops_models.serving.served_model import ServedModel
from recops_models.serving.sources import dataset_events, file_events, growing_events
from redis_server import RedisServer
from stopped_clock import Clock


@pytest.fixture(scope="module")
def events(small: Dataset) -> list[dict[str, Any]]:
    return events_of(small)


@pytest.fixture
def center(trained: Callable[..., Path], tmp_path: Path) -> Iterator[Center]:
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as opened:
        yield opened


@pytest.fixture
def stream_url(redis_server: RedisServer) -> str:
    with redis_server.client(3) as client:
        client.flushdb()
    return redis_server.stream_url("events", database=3)


def send(server: RedisServer, events: list[dict[str, Any]]) -> None:
    with server.client(3) as client, client.pipeline() as pipeline:
        for event in events:
            pipeline.xadd("events", {"event": json.dumps(event)})
        pipeline.execute()


def drain(center: Center, url: str, **options: Any) -> IngestReport:
    total = IngestReport()
    stream = RedisStream(url)
    arguments = {"follow": False, "stop": threading.Event(), "on_report": total.join, **options}
    ingest_stream(center, stream, **arguments)
    stream.close()
    return total


def contents(center: Center) -> dict[bytes, bytes]:
    return dict(center.store.scan([generation_prefix(1)]))


def test_a_stream_is_applied_and_acknowledged(
    center: Center, events: list[dict[str, Any]], stream_url: str, redis_server: RedisServer
) -> None:
    send(redis_server, events)
    assert drain(center, stream_url).accepted == len(events)
    assert drain(center, stream_url).num_events == 0
    with redis_server.client(3) as client:
        (group,) = client.xinfo_groups("events")
        assert (group["pending"], group["lag"]) == (0, 0)


def test_pending_entries_come_before_new_ones(
    center: Center, events: list[dict[str, Any]], stream_url: str, redis_server: RedisServer
) -> None:
    """Pending entries of a killed consumer, and of one that was suspended."""
    user_events = [event for event in events if event["user_id"] == 1]
    send(redis_server, user_events[:6])
    with redis_server.client(3) as client:
        client.xgroup_create("events", "center", id="0")
        client.xreadgroup("center", "another", {"events": ">"}, count=3)
        assert drain(center, stream_url).counts() == {
            **{"accepted": 6, "duplicates": 0, "late": 0, "refused": 0, "gaps": 0}
        }
        stream = RedisStream(stream_url)
        stream.claim()
        assert stream.read(count=10, block=0) == []
        send(redis_server, user_events[6:10])
        client.xreadgroup("center", "sleeper", {"events": ">"}, count=2)
        read = stream.read(count=10, block=0)
        assert [entry.event for entry in read] == user_events[6:10]
        stream.acknowledge(read)
        assert client.xpending("events", "center")["pending"] == 0


def test_invalid_entries_are_refused_and_acknowledged(
    center: Center, events: list[dict[str, Any]], stream_url: str, redis_server: RedisServer
) -> None:
    with redis_server.client(3) as client:
        for fields in (
            {"event": "no JSON"},
            {"other": "5"},
            {"event": "[" * 100_000},
            {"event": json.dumps({**events[0], "seq": "x"})},
            {"event": json.dumps(events[0])},
            {"event": "x" * (1 << 21)},
            {"event": b"\xff\xfe"},
        ):
            client.xadd("events", fields)  # type: ignore[arg-type]
        report = drain(center, stream_url)
        assert report.accepted == 1
        assert [(refusal.index, refusal.field) for refusal in report.refused] == [
            *((0, "event"), (1, "event"), (2, "event"), (3, "seq"), (5, "event"), (6, "event"))
        ]
        assert client.xpending("events", "center")["pending"] == 0


def test_a_trimmed_entry_is_refused(
    center: Center, events: list[dict[str, Any]], stream_url: str, redis_server: RedisServer
) -> None:
    send(redis_server, events[:3])
    with redis_server.client(3) as client:
        client.xgroup_create("events", "center", id="0")
        client.xreadgroup("center", "center", {"events": ">"}, count=2)
        client.xtrim("events", maxlen=1, approximate=False)
        report = drain(center, stream_url)
        assert (report.accepted, report.gaps) == (1, 0 if events[2]["seq"] == 1 else 2)
        assert ["trimmed" in refusal.error for refusal in report.refused] == [True, True]
        assert client.xpending("events", "center")["pending"] == 0


def test_events_of_a_damaged_user_are_refused_and_acknowledged(
    center: Center, events: list[dict[str, Any]], stream_url: str, redis_server: RedisServer
) -> None:
    user = events[0]["user_id"]
    center.ingest(events[:1])
    view = center.store.view([user_key(1, str(user))])
    center.store.commit({user_key(1, str(user)): b"damaged"}, clock=view.clock)
    send(redis_server, events[:60])
    positions = [position for position, event in enumerate(events[:60]) if event["user_id"] == user]
    report = drain(center, stream_url)
    assert [refusal.index for refusal in report.refused] == positions[:10]
    assert report.refused[0].error == (
        f"cannot be applied: the state of '{user}' is damaged (checksum mismatch)"
    )
    assert report.accepted == 60 - len(positions)
    assert drain(center, stream_url).num_events == 0
    total = IngestReport()
    ingest_batches(center, [events[:60]], stop=threading.Event(), on_report=total.join)
    assert (total.duplicates, total.num_refused) == (60 - len(positions), len(positions))


def test_the_result_says_whether_the_end_was_reached(
    center: Center, events: list[dict[str, Any]], stream_url: str, redis_server: RedisServer
) -> None:
    def ingested(*batches: list[Any]) -> bool:
        stop = threading.Event()
        return ingest_batches(center, batches, stop=stop, on_report=lambda _: stop.set())

    assert ingested(events[:2])
    assert not ingested(events[:2], events[2:4])
    send(redis_server, events[:10])
    stop, stream = threading.Event(), RedisStream(stream_url)
    arguments = {"follow": False, "stop": stop, "on_report": lambda _: stop.set()}
    assert ingest_stream(center, stream, **arguments)
    stop.clear()
    send(redis_server, [events[10]] * (BATCH + 1))
    assert not ingest_stream(center, stream, **arguments)
    stop.clear()
    assert ingest_stream(center, stream, **arguments)
    stream.close()


def test_a_sum_of_reports_names_ten_refusals() -> None:
    total = IngestReport()
    for _ in range(5):
        total.join(
            IngestReport.of([EventOutcome(EventStatus.accepted), *[FieldError("seq", "no")] * 4])
        )
    assert [refusal.index for refusal in total.refused] == [1, 2, 3, 4, 6, 7, 8, 9, 11, 12]
    assert total.counts()["refused"] == total.num_refused == 20
    assert total.num_events == 25


def test_one_consumer_is_active(
    center: Center, events: list[dict[str, Any]], stream_url: str, redis_server: RedisServer
) -> None:
    send(redis_server, events[:10])
    name = RedisStream(stream_url).name
    with Lock(center.store, name), pytest.raises(HeldLockError, match="is held by"):
        drain(center, stream_url)
    assert drain(center, stream_url).accepted == 10


def test_a_former_holder_cannot_write(
    center: Center, events: list[dict[str, Any]], clock: Clock
) -> None:
    former = Lock(center.store, "group", seconds=5)
    former.acquire()
    assert center.ingest(events[:1], lock=former).accepted == 1
    clock.now += 6
    with Lock(center.store, "group") as lock:
        with pytest.raises(LostLockError, match="was taken by"):
            center.ingest(events[1:2], lock=former)
        clock.now += 4
        with pytest.raises(LostLockError):
            former.renew()
        former.release()  # Another holder has the lock, and nothing is released.
        assert center.ingest(events[1:2], lock=lock).accepted == 1


@pytest.mark.parametrize("action", ["commit", "renew"])
def test_commits_and_renewals_extend_a_lock(
    center: Center, events: list[dict[str, Any]], clock: Clock, action: str
) -> None:
    lock = Lock(center.store, "group", seconds=10)
    lock.acquire()
    for event in events[:6]:
        clock.now += 6
        if action == "commit":
            center.ingest([event], lock=lock)
        else:
            lock.renew()
    clock.now += 6
    with pytest.raises(HeldLockError, match=r"4\.0 s more"):
        Lock(center.store, "group").acquire()
    clock.now += 6
    Lock(center.store, "group").acquire()


def test_the_lock_of_an_exited_process_is_free_immediately(center: Center) -> None:
    code = (
        "import sys; from recops_models.serving.locks import Lock; "
        "from recops_models.serving.open_store import open_store; "
        "Lock(open_store(sys.argv[1]), 'group', seconds=1000).acquire()"
    )
    subprocess.run([sys.executable, "-c", code, center.store.url], check=True)
    with Lock(center.store, "group"):  # The other process exited.
        pass
    view = center.store.view([lock_key("group")])
    elsewhere = {"owner": "another-machine:1:2", "token": 9, "expires": time.time() + 1000}
    center.store.commit({lock_key("group"): json.dumps(elsewhere).encode()}, clock=view.clock)
    with pytest.raises(HeldLockError):  # Whether that process still runs is unknown.
        Lock(center.store, "group").acquire()


def test_following_waits_and_stops(
    center: Center, events: list[dict[str, Any]], stream_url: str, redis_server: RedisServer
) -> None:
    stop, total = threading.Event(), IngestReport()
    stream = RedisStream(stream_url)
    follower = threading.Thread(
        target=ingest_stream,
        args=(center, stream),
        kwargs={"follow": True, "stop": stop, "on_report": total.join},
    )
    follower.start()
    for start in range(0, 60, 20):
        send(redis_server, events[start : start + 20])
        time.sleep(0.1)
    deadline = time.monotonic() + 20
    while total.accepted < 60 and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    follower.join()
    assert total.accepted == 60
    Lock(center.store, stream.name).acquire()  # It was released.


def test_concurrent_writers_lose_nothing(
    trained: Callable[..., Path], store_url: str, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Three centers write the events of different users at the same time."""
    with (
        Center.open(trained("mimn"), store_url) as center,
        Center.open(trained("mimn"), f"lmdb:{tmp_path / 'clean'}") as clean,
    ):
        clean.ingest(events)

        def write(part: int) -> None:
            own_events = [event for event in events if event["user_id"] % 3 == part]
            with Center.open(trained("mimn"), store_url) as writer_center:
                for start in range(0, len(own_events), 30):
                    writer_center.ingest(own_events[start : start + 30])

        writers = [threading.Thread(target=write, args=(part,)) for part in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert contents(center) == contents(clean)


@pytest.mark.parametrize("store_kind", ["lmdb", "redis"])
def test_a_new_model_takes_over_while_events_flow(
    trained: Callable[..., Path],
    events: list[dict[str, Any]],
    stream_url: str,
    redis_server: RedisServer,
    store_kind: str,
    tmp_path: Path,
) -> None:
    """The ingester never stops, and the final states equal those of a replay by the new model."""
    store = f"lmdb:{tmp_path / 'store'}"
    if store_kind == "redis":
        with redis_server.client(4) as client:
            client.flushdb()
        store = redis_server.url(4)
    stop, total = threading.Event(), IngestReport()
    served, stream = ServedModel.load(trained("hpmn")), RedisStream(stream_url)
    with Center.open(trained("mimn"), store) as center:
        follower = threading.Thread(
            target=ingest_stream,
            args=(center, stream),
            kwargs={"follow": True, "stop": stop, "on_report": total.join},
        )
        follower.start()
        parts = [events[start : start + 20] for start in range(0, len(events), 20)]
        sender = threading.Thread(target=lambda: [send(redis_server, part) for part in parts])
        sender.start()
        time.sleep(0.2)
        replay = partial(RedisStream(stream_url).replay, count=100)
        refresh_model(center.store, served, [replay])
        assert center.score(1, [1]).model_version == served.version_text
        sender.join()
        deadline = time.monotonic() + 20
        while center.stats().events < len(events) and time.monotonic() < deadline:
            time.sleep(0.02)
        stop.set()
        follower.join()
        assert center.model_version == served.version_text
        active = read_active(center.store)
        assert active is not None
        prefix = generation_prefix(active.generation)
        result = {key.removeprefix(prefix): value for key, value in center.store.scan([prefix])}
    with Center.open(trained("hpmn"), f"lmdb:{tmp_path / 'clean'}") as clean:
        clean.ingest(events)
        prefix = generation_prefix(1)
        assert result == {key.removeprefix(prefix): value for key, value in contents(clean).items()}


@pytest.mark.parametrize(
    "url",
    [
        "redis-stream://127.0.0.1:6379/0/events",
        "redis-stream://127.0.0.1:6379/0/events?group=",
        "redis-stream://127.0.0.1:6379/events?group=g",
        "redis-stream://127.0.0.1:6379/0/?group=g",
        "redis-stream:///0/events?group=g",
        "redis-stream://127.0.0.1:6379/0/events?group=g&x=1",
    ],
)
def test_an_invalid_stream_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="events must be redis-stream://"):
        RedisStream(url)


def test_lines_and_parquet_give_the_same_events(
    center: Center, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    lines.write_text("".join(json.dumps(event) + "\n\n" for event in events))
    table = tmp_path / "events.parquet"
    pq.write_table(pa.Table.from_pylist(events), table)
    assert [e for part in file_events(lines, batch=64) for e in part] == events
    assert [e for part in file_events(table, batch=64) for e in part] == events
    total = IngestReport()
    for path in (lines, table):
        ingest_batches(
            center, file_events(path, batch=64), stop=threading.Event(), on_report=total.join
        )
    assert (total.accepted, total.duplicates) == (len(events), len(events))


def test_an_invalid_line_is_reported_by_its_index(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq": 1}\n{"seq": \n\xff\n')
    ((first, second, third),) = file_events(path, batch=10)
    assert first == {"seq": 1}
    assert isinstance(second, FieldError)
    assert isinstance(third, FieldError)


def test_a_line_longer_than_an_event_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_lines, "MAX_EVENT_BYTES", 10)
    path = tmp_path / "events.bin"
    path.write_bytes(b"x" * 35 + b"\n[1]\n" + b"y" * 11)
    sizes = []

    class Bounded(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            sizes.append(size)
            return super().readline(size)

    assert event_lines._next_line(Bounded(path.read_bytes())) == (b"x" * 11, 36, True)
    assert sizes == [11] * 4
    ((first, second, third),) = file_events(path, batch=10)
    assert (str(first), second) == ("event must be at most 10 bytes, got 36", [1])
    assert str(third) == "event must be at most 10 bytes, got 11"


def test_appended_lines_are_read_once_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"seq": 1}\n{"seq": 2}\n{"seq"')
    read_new = growing_events(path, batch=1)
    assert list(read_new()) == [[{"seq": 1}], [{"seq": 2}]]
    assert list(read_new()) == []
    with path.open("a") as file:
        file.write(": 3}")  # A complete object without a line end.
    assert list(read_new()) == [[{"seq": 3}]]
    with path.open("a") as file:
        file.write('\n{"seq": 4}\n12')
    assert list(read_new()) == [[{"seq": 4}]]
    path.write_text("")
    with pytest.raises(DataError, match="became shorter while it was read"):
        list(read_new())


def test_parquet_is_detected_by_its_first_bytes_and_read_once(
    events: list[dict[str, Any]], tmp_path: Path
) -> None:
    table = tmp_path / "events.pq"
    pq.write_table(pa.Table.from_pylist(events), table)
    assert [e for part in file_events(table, batch=64) for e in part] == events
    read_new = growing_events(table, batch=64)
    assert [e for part in read_new() for e in part] == events
    assert list(read_new()) == []


def test_a_refresh_reads_events_that_are_appended_meanwhile(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    lines = [json.dumps(event) + "\n" for event in events[:60]]
    path.write_text("".join(lines[:50]))
    center.ingest(events[:60])

    def source() -> Iterator[list[Any]]:
        yield from read_new()
        with path.open("a") as file:
            file.write("".join(lines[50:]))
            lines.clear()

    read_new = growing_events(path, batch=20)
    refresh_model(center.store, ServedModel.load(trained("hpmn")), [source])
    assert center.stats().events == 60


@pytest.mark.parametrize(
    "name", ["none.jsonl", "none.parquet", "damaged.parquet", "text.parquet", "packed.jsonl.gz"]
)
def test_a_missing_or_invalid_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "text.parquet").write_bytes(b'{"seq": 1}')
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(b'{"seq": 1}'))
    with pytest.raises(DataError, match=name):
        list(file_events(tmp_path / name, batch=10))
    with pytest.raises(DataError, match=name):
        list(growing_events(tmp_path / name, batch=10)())


def test_a_data_set_is_a_source_of_events(small: Dataset, events: list[dict[str, Any]]) -> None:
    assert [e for part in dataset_events(small, batch=100) for e in part] == events


def test_events_of_a_data_set_leave_item_columns_to_the_items(small: Dataset) -> None:
    rows = small.interactions.num_rows
    names = [name for name in small.items.column_names if name != "item_id"]
    table = small.interactions
    for name in (*names, "price"):
        table = table.append_column(name, pa.array(np.arange(rows)))
    first = next(dataset_events(dataclasses.replace(small, interactions=table), batch=1))[0]
    assert isinstance(first, dict)
    assert "price" in first
    assert not set(names) & set(first)
