"""``recops uic``: from events to scores, snapshots, expiry, and errors."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from centers import events_of, untrained
from recops.files import read_json
from recops_models.cli import run
from recops_models.cli.uic.candidates import read_candidates
from recops_models.cli.uic.refresh import _source
from recops_models.cli.uic.shared import snapshots_folder
from recops_models.data import DataError, Dataset
from recops_models.serving.center import Center
from recops_models.serving.keys import user_key
from recops_models.serving.open_store import open_store
from recops_models.serving.redis_stream import RedisStream
from redis_server import DURABLE, RedisServer


@pytest.fixture(scope="module")
def folder(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("uic")
    lines = "".join(json.dumps(event) + "\n" for event in events_of(small))
    (home / "events.jsonl").write_text(lines)
    untrained("mimn", small, home / "data", home / "mimn")
    untrained("hpmn", small, home / "data", home / "hpmn")
    return home


@pytest.fixture
def uic(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command on a new store: exit code, output, errors."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(["uic", *arguments, "--store", f"lmdb:{tmp_path / 'store'}"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_a_center_from_events_to_scores_and_expiry(
    uic: Callable[..., tuple[int, str, str]], folder: Path, small: Dataset, tmp_path: Path
) -> None:
    model, events = ("--model", str(folder / "mimn")), str(folder / "events.jsonl")
    count = small.interactions.num_rows
    code, out, _ = uic("ingest", *model, "--events", events, "--out", str(tmp_path / "out"))
    counts = {"accepted": count, "duplicates": 0, "late": 0, "refused": 0, "gaps": 0}
    assert (code, json.loads(out)) == (0, counts)
    assert read_json(tmp_path / "out" / "counts.json", kind="uic-counts") == counts
    code, out, _ = uic("ingest", *model, "--events", str(folder / "data"))
    assert json.loads(out)["duplicates"] == count

    code, out, _ = uic("score", *model, "--user", "1", "--candidates", "5,6,7")
    answer = json.loads(out)
    assert (code, answer["candidates"], len(answer["scores"])) == (0, ["5", "6", "7"], 3)
    assert answer["unknown_candidates"] == []
    code, out, _ = uic("score", *model, "--user", "1", "--candidates", "5,nothing,7")
    assert (code, json.loads(out)["unknown_candidates"]) == (0, [1])
    (tmp_path / "items").write_text("5\n6\n\n7\n")
    options = ("--candidates", str(tmp_path / "items"), "--features", '{"user_gender": "F"}')
    code, out, _ = uic("score", *model, "--user", "1", *options)
    assert len(json.loads(out)["scores"]) == 3
    assert json.loads(out)["events"] == answer["events"] > 0

    code, out, _ = uic("stats", *model)
    assert (json.loads(out)["users"], json.loads(out)["events"]) == (60, count)
    code, out, _ = uic("snapshot")
    path = out.strip()
    assert Path(path).parent == tmp_path / "store" / "snapshots"
    assert uic("forget", "1")[:2] == (0, "user 1: forgotten\n")
    code, out, _ = uic("forget", "1")
    assert (code, out.partition(";")[0]) == (0, "user 1: has no state")
    assert "give --through SEQ" in out
    assert uic("forget", "1", "--through", "9")[:2] == (0, "user 1: has no state\n")
    code, out, _ = uic("restore", path)
    assert (code, out.partition(" users")[0]) == (0, "59")
    assert uic("rollback", "--to", Path(path).name[:8])[0] == 0
    code, out, _ = uic("expire", "--days", "1")
    assert (code, out) == (0, "59 users forgotten\n")

    code, out, err = uic(
        "refresh", "--model", str(folder / "hpmn"), "--events", events, "--events", events
    )
    assert (code, json.loads(out)["accepted"]) == (0, 0), err  # All users are forgotten.
    assert uic("stats", *model)[0] == 1
    assert uic("stats", "--model", str(folder / "hpmn"))[0] == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("items.csv", b'title,item_id\nHeat,5\n"a,b",6\nnone,7\n'),
        ("items.tsv", b"item_id\ttitle\n5\tHeat\n6\ta\n7\tb\n"),
        ("items.json", b'[5, "6", 7]'),
        ("items.lst", b"\xef\xbb\xbf5\r\n\r\n 6\r\n7"),
        ("items", b"5\n6\n7\n"),
        ("items.parquet", None),
    ],
)
def test_candidates_are_read_from_a_file(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        pq.write_table(pa.table({"title": ["a", "b", "c"], "item_id": [5, 6, 7]}), path)
    else:
        path.write_bytes(content)
    assert [str(item) for item in read_candidates(str(path))] == ["5", "6", "7"]


def test_candidates_are_listed_in_the_option() -> None:
    ids = [str(number) for number in range(1000)]
    assert read_candidates(",".join(ids)) == ids
    for text in ("5", "v1.2", "a b"):
        assert read_candidates(text) == [text]
    assert read_candidates("song.mp3,") == ["song.mp3"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("items.csv", b"item\n5\n", "no column 'item_id'"),
        ("items.csv", b"item_id,title\n5\n", "items.csv, row 1: cannot be read"),
        ("items.json", b'{"items": [5]}', "items.json: must be a list of ids, got {"),
        ("items.json", b"[5,", "items.json: must be JSON"),
        ("items.txt", b"5\n\xe9\n", "items.txt: not readable as text"),
        ("nowhere.lst", None, "nowhere.lst: no such file of candidates"),
        ("nowhere", None, "nowhere: no such file of candidates"),
    ],
)
def test_candidates_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((DataError, FileNotFoundError), match=re.escape(message)):
        read_candidates(str(path))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["score", "--user", "1", "--candidates", "1", "--features", "[]"], 2, "JSON object"),
        (["score", "--user", "1", "--candidates", "1", "--features", "{"], 2, "JSON object"),
        (["score", "--user", "1", "--candidates", "nowhere.txt"], 1, "nowhere.txt: no such file"),
        (["score", "--user", "1", "--candidates", ","], 1, "candidates must be 1 to 10,000 ids"),
        (["ingest", "--events", "nowhere.jsonl"], 1, "nowhere.jsonl: no such file"),
        (["ingest", "--events", "nowhere.jsonl", "--follow"], 2, "--follow requires a stream"),
        (["rollback"], 1, "no snapshot"),
        (["rollback", "--to", "2020"], 1, "no snapshot of 2020"),
        (["restore", "nowhere"], 1, "nowhere"),
        (["expire"], 2, "--days or --before"),
        (["expire", "--days", "1", "--before", "5"], 2, "--days or --before"),
        (["forget", ""], 1, "user must be"),
        (["forget", "1", "--through", str(2**63)], 2, "--through"),
        (["snapshot", "--snapshots", "/dev/null"], 1, "/dev/null"),
    ],
)
def test_errors_are_one_line(
    uic: Callable[..., tuple[int, str, str]],
    folder: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    needs_model = arguments[0] in ("score", "ingest")
    assert uic("ingest", "--model", str(folder / "mimn"), "--events", str(folder / "data"))[0] == 0
    exit_code, _, err = uic(*arguments, *(("--model", str(folder / "mimn")) if needs_model else ()))
    assert exit_code == code
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["forget", "1"], ["expire", "--days", "1"], ["stats"], ["snapshot"]]
)
def test_a_missing_store_is_not_created(
    uic: Callable[..., tuple[int, str, str]], arguments: list[str], tmp_path: Path
) -> None:
    """Otherwise a mistyped path would report that a user was forgotten."""
    code, out, err = uic(*arguments)
    assert (code, out) == (1, "")
    assert "store: there is no store" in err
    assert not (tmp_path / "store").exists()


def test_scoring_creates_no_store(
    uic: Callable[..., tuple[int, str, str]], folder: Path, tmp_path: Path
) -> None:
    request = ("--model", str(folder / "mimn"), "--user", "1", "--candidates", "5")
    code, out, err = uic("score", *request)
    assert (code, out) == (1, "")
    assert "store: there is no store" in err
    assert not (tmp_path / "store").exists()


def test_an_invalid_output_folder_is_refused_before_events_are_applied(
    uic: Callable[..., tuple[int, str, str]], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    options = ("--model", str(folder / "mimn"), "--events", str(folder / "events.jsonl"))
    code, out, err = uic("ingest", *options, "--out", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert "--out must be a folder, got the file" in err
    assert not (tmp_path / "store").exists()


def test_an_interrupt_during_the_last_batch_applies_it_completely(
    uic: Callable[..., tuple[int, str, str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = Center.ingest

    def interrupted(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return ingest(*arguments, **named)

    monkeypatch.setattr(Center, "ingest", interrupted)
    options = ("--model", str(folder / "mimn"), "--events", str(folder / "events.jsonl"))
    code, out, err = uic("ingest", *options)
    assert (code, json.loads(out)["refused"]) == (0, 0), err
    monkeypatch.setattr("recops_models.serving.ingestion.BATCH", 500)
    code, out, err = uic("ingest", *options)
    assert (code, json.loads(out)["duplicates"]) == (1, 500)
    assert "interrupted" in err


@pytest.mark.parametrize("content", [b"user_id,item_id\n1,2\n3,4\n", b"\0\1\2" * 1000])
def test_a_file_without_valid_events_is_a_failure(
    uic: Callable[..., tuple[int, str, str]], folder: Path, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "events"
    path.write_bytes(content)
    code, out, err = uic("ingest", "--model", str(folder / "mimn"), "--events", str(path))
    count = max(1, content.count(b"\n"))
    assert (code, json.loads(out)["refused"]) == (1, count)
    assert f"events: all {count} events were refused" in err.splitlines()[-1]


def test_damaged_records_are_reported_on_stderr(
    uic: Callable[..., tuple[int, str, str]], folder: Path, tmp_path: Path
) -> None:
    uic("ingest", "--model", str(folder / "mimn"), "--events", str(folder / "events.jsonl"))
    with open_store(f"lmdb:{tmp_path / 'store'}") as store:
        store.commit({user_key(1, "1"): b"damaged"}, clock=store.view([]).clock)
    code, out, err = uic("snapshot")
    assert code == 0
    assert err.startswith("warning: ")
    assert "damaged records of '1': a restore will leave them out" in err
    path = Path(out.strip())
    code, out, err = uic("restore", str(path))
    assert (code, out.partition(" ")[0]) == (0, "59")
    assert "'1': they were left out" in err
    with open_store(f"lmdb:{tmp_path / 'store'}") as store:
        store.commit({user_key(2, "2"): b"damaged"}, clock=store.view([]).clock)
    code, out, err = uic("expire", "--days", "1")
    assert (code, out) == (0, "58 users forgotten\n")
    assert "'2': they are kept" in err


def test_a_rollback_needs_the_new_path_of_a_moved_model(
    uic: Callable[..., tuple[int, str, str]], folder: Path, small: Dataset, tmp_path: Path
) -> None:
    model, new_folder = tmp_path / "mimn", tmp_path / "moved"
    untrained("mimn", small, folder / "data", model)
    uic("ingest", "--model", str(model), "--events", str(folder / "events.jsonl"))
    path = Path(uic("snapshot")[1].strip())
    model.rename(new_folder)
    (path.parent / "manual.snapshot.parquet").touch()  # It sorts last, but is no snapshot.
    code, _, err = uic("rollback")
    assert (code, "--model" in err) == (1, True)
    code, out, err = uic("rollback", "--model", str(new_folder))
    assert (code, out.partition(" ")[0]) == (0, "60"), err


def test_events_that_are_appended_during_a_refresh_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"seq": 1}\n')
    with ExitStack() as streams:
        read_events = _source(str(path), streams)
        assert list(read_events()) == [[{"seq": 1}]]
        with path.open("a") as file:
            file.write('{"seq": 2}\n')
        assert list(read_events()) == [[{"seq": 2}]]


def test_the_snapshots_folder_is_in_the_folder_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert snapshots_folder("lmdb:~/store?map_bytes=5", None) == tmp_path / "store" / "snapshots"


def test_refused_events_are_named(
    uic: Callable[..., tuple[int, str, str]], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("no JSON\n" + (folder / "events.jsonl").read_text() + '{"user_id": 5}\n')
    code, out, err = uic("ingest", "--model", str(folder / "mimn"), "--events", str(path))
    assert (code, json.loads(out)["refused"]) == (0, 2)
    last = json.loads(out)["accepted"] + 2
    assert [line.partition(": ")[2][:20] for line in err.splitlines()] == [
        "event 1: event must be JSON"[:20],
        f"event {last}: item_id must be present"[:20],
    ]


def test_a_refresh_closes_its_streams(
    uic: Callable[..., tuple[int, str, str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, closed = [], []

    class Empty(RedisStream):
        def replay(self, *, count: int) -> Iterator[list[object]]:
            opened.append(self)
            return iter(())

        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr("recops_models.serving.redis_stream.RedisStream", Empty)
    events = ("--events", "redis-stream://127.0.0.1:1/0/events?group=center")
    code, _, err = uic("refresh", "--model", str(folder / "hpmn"), *events, *events)
    assert code == 0, err
    assert len(closed) == 2
    assert set(closed) == set(opened)


def test_redis_needs_a_folder_for_snapshots(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["uic", "snapshot", "--store", "redis://127.0.0.1:1/0"]) == 2
    assert "--snapshots" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["ftp://me:secret@host/0", "lmdb:", "redis:0"])
def test_an_invalid_store_is_bad_usage(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["uic", "stats", "--store", url]) == 2
    error = capsys.readouterr().err
    assert "store must be lmdb:PATH or redis://HOST:PORT/DB, got " in error
    assert "secret" not in error


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_follower_finishes_its_batch_after_a_signal(
    folder: Path, small: Dataset, tmp_path: Path, number: signal.Signals
) -> None:
    events = events_of(small)
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis", *DURABLE) as server, server.client() as client:
        command = ["uic", "ingest", "--model", str(folder / "mimn"), "--store"]
        command += [f"lmdb:{tmp_path / 'store'}", "--events", server.stream_url("events")]
        code = "from recops_models.cli import main; main()"
        follower = subprocess.Popen(
            [sys.executable, "-c", code, *command, "--follow"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for event in events:
            client.xadd("events", {"event": json.dumps(event)})
        deadline = time.monotonic() + 60
        while not _is_done(client) and time.monotonic() < deadline:
            time.sleep(0.05)
        follower.send_signal(number)
        out, _ = follower.communicate()
        assert follower.returncode == 0
        assert json.loads(out)["accepted"] == len(events)


def _is_done(client: Any) -> bool:
    groups = client.xinfo_groups("events")
    return bool(groups) and (groups[0]["pending"], groups[0]["lag"]) == (0, 0)
