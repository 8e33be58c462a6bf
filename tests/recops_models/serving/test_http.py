"""Responses and refusals of the HTTP service in a separate process."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centers import events_of
from recops_models.cli import run
from recops_models.data import Dataset
from recops_models.serving.center import Center
from recops_models.serving.keys import user_key
from recops_models.serving.open_store import open_store
from uic_server import UicClient, UicServer

SECRET = "an-example-of-a-token"
MOST = 100_000
GOOD = {"user_id": "good", "item_id": 2, "timestamp": 5.5, "seq": 1, "rating": 4}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("http")


@pytest.fixture(scope="module")
def server(trained: Callable[..., Path], home: Path) -> Iterator[UicServer]:
    with UicServer(trained("mimn"), f"lmdb:{home / 'store'}", "--max-body", str(MOST)) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(trained: Callable[..., Path], home: Path) -> Iterator[UicServer]:
    (home / "token").write_text(f"{SECRET}\n")
    options = ("--token-file", str(home / "token"))
    store = f"lmdb:{home / 'guarded'}"
    with UicServer(trained("mimn"), store, *options, token=SECRET) as running:
        yield running


@pytest.fixture
def client(server: UicServer) -> Iterator[UicClient]:
    opened = server.client()
    yield opened
    opened.close()


def of_user(events: list[dict[str, Any]], user: str) -> list[dict[str, Any]]:
    """Return the events of user 1 with the id of ``user``."""
    return [{**event, "user_id": user} for event in events if event["user_id"] == 1]


def test_events_and_scores_agree_with_a_center(
    client: UicClient, small: Dataset, trained: Callable[..., Path], tmp_path: Path
) -> None:
    events = of_user(events_of(small), "in and out")
    counts = {"accepted": len(events), "duplicates": 0, "late": 0, "refused": []}
    assert client.post("/v1/events", {"events": events}).content == counts
    repeated = {**counts, "accepted": 0, "duplicates": len(events)}
    assert client.post("/v1/events", {"events": events}).content == repeated

    request = {"user_id": "in and out", "candidates": [5, 6, "7"]}
    answer = client.post("/v1/score", request)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    with Center.open(trained("hpmn"), f"lmdb:{tmp_path / 'other'}") as other:
        assert answer.content["model_version"] != other.model_version
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        center.ingest(events)
        expected = center.score("in and out", [5, 6, 7])
        state = center.look_up("in and out")
    assert answer.content.keys() == {"scores", "model_version", "events", "unknown_candidates"}
    assert answer.content["unknown_candidates"] == []
    assert answer.content["model_version"] == expected.model_version
    assert answer.content["events"] == len(events)
    state_content = client.get("/v1/state?user_id=in%20and%20out").content
    assert state_content["events"] == len(events)
    for name, values in state.tensors.items():  # JSON keeps every bit.
        assert (np.array(state_content["tensors"][name], dtype=np.float32) == values).all()


def test_features_of_the_request(client: UicClient) -> None:
    request = {"user_id": 1, "candidates": [5, 6]}
    plain = client.post("/v1/score", request).content["scores"]
    changed = client.post("/v1/score", {**request, "features": {"user_gender": "F"}}).content[
        "scores"
    ]
    assert plain != changed


def test_unknown_candidates_are_marked(client: UicClient) -> None:
    answer = client.post("/v1/score", {"user_id": 1, "candidates": [5, "mistyped", 6, 10**12]})
    assert answer.status == 200
    assert answer.content["unknown_candidates"] == [1, 3]
    assert len(answer.content["scores"]) == 4
    path = client.get("/openapi.json").content["paths"]["/v1/score"]["post"]
    assert "unknown_candidates" in path["description"]


def test_an_unknown_user_has_the_empty_state(client: UicClient) -> None:
    answer = client.post("/v1/score", {"user_id": "nobody", "candidates": [1]})
    assert (answer.status, answer.content["events"]) == (200, 0)
    assert not client.get("/v1/state?user_id=nobody").content["known"]


def test_a_forgotten_user_stays_forgotten(client: UicClient) -> None:
    event = {**GOOD, "user_id": "leaves"}
    client.post("/v1/events", {"events": [event]})
    assert client.post("/v1/forget", {"user_id": "leaves"}).content == {"forgotten": True}
    assert client.post("/v1/forget", {"user_id": "leaves"}).content == {"forgotten": False}
    assert client.post("/v1/events", {"events": [event]}).content["duplicates"] == 1
    assert client.post("/v1/forget", {"user_id": "leaves", "through": 2}).status == 200
    ahead = {**event, "seq": 2}
    assert client.post("/v1/events", {"events": [ahead]}).content["duplicates"] == 1


def test_refused_events_are_reported_by_index_and_field(client: UicClient) -> None:
    events = [{**GOOD, "seq": 0}, GOOD, 5, {**GOOD, "rating": "good"}]
    content = client.post("/v1/events", {"events": events}).content
    assert content["accepted"] == 1
    assert [(refusal["index"], refusal["field"]) for refusal in content["refused"]] == [
        (0, "seq"),
        (2, "event"),
        (3, "rating"),
    ]
    assert all(refusal["error"] for refusal in content["refused"])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/events", b"", "body"),
        ("/v1/events", b"{", "body"),
        ("/v1/events", b"[" * 5000, "body"),
        ("/v1/events", b'"\\ud800"', "body"),
        ("/v1/events", b"\xff", "body"),
        ("/v1/events", b"5", "body"),
        ("/v1/events", b"[]", "body"),
        ("/v1/events", b"NaN", "body"),
        ("/v1/events", {}, "events"),
        ("/v1/events", {"events": None}, "events"),
        ("/v1/events", {"events": {}}, "events"),
        ("/v1/events", {"events": [], "event": []}, "event"),
        ("/v1/events", {"events": [GOOD, {**GOOD, "timestamp": float("nan")}]}, "timestamp"),
        ("/v1/events", b'{"events": [{"seq": 1e999}]}', "seq"),
        ("/v1/score", {"candidates": [1]}, "user_id"),
        ("/v1/score", {"user_id": 1.5, "candidates": [1]}, "user_id"),
        ("/v1/score", {"user_id": 1}, "candidates"),
        ("/v1/score", {"user_id": 1, "candidates": "12"}, "candidates"),
        ("/v1/score", {"user_id": 1, "candidates": []}, "candidates"),
        ("/v1/score", {"user_id": 1, "candidates": [True]}, "candidates"),
        ("/v1/score", {"user_id": 1, "candidates": ["1"] * 10_001}, "candidates"),
        ("/v1/score", {"user_id": 1, "candidates": [1], "features": []}, "features"),
        ("/v1/score", {"user_id": 1, "candidates": [1], "features": {"colour": 5}}, "colour"),
        (
            "/v1/score",
            {"user_id": 1, "candidates": [1], "features": {"user_age": float("inf")}},
            "user_age",
        ),
        ("/v1/forget", {}, "user_id"),
        ("/v1/forget", {"user_id": None}, "user_id"),
        ("/v1/forget", {"user_id": 1, "through": -1}, "through"),
        ("/v1/forget", {"user_id": 1, "through": 1.5}, "through"),
        ("/v1/forget", {"user_id": 1, "through": 2**63}, "through"),
    ],
)
def test_an_invalid_request_names_its_field(
    client: UicClient, path: str, body: object, field: str
) -> None:
    answer = client.post(path, body)
    assert (answer.status, answer.content["field"]) == (422, field)
    assert "\n" not in answer.content["error"]


@pytest.mark.parametrize("size", [MOST + 1, 100 * MOST])
def test_a_body_too_large_is_refused(server: UicServer, size: int) -> None:
    client = server.client()
    answer = client.post("/v1/events", b" " * size)
    assert (answer.status, answer.headers["Connection"]) == (413, "close")
    assert f"at most {MOST:,} bytes" in answer.content["error"]
    exact = client.post("/v1/events", json.dumps({"events": []}).encode().ljust(MOST))
    assert exact.status == 200
    client.close()


def test_expect_continue_is_refused_immediately(server: UicServer) -> None:
    head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(f"{head}Content-Length: {MOST + 1}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_body_without_an_end_is_cut_off(server: UicServer) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(head)
        endless = (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 100
        with pytest.raises(OSError, match=r"[Rr]eset|[Pp]ipe"):
            connection.sendall(endless)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("get", "/nowhere", 404), ("get", "/v1/events", 405), ("get", "/docs", 404)],
)
def test_unknown_paths_and_methods(client: UicClient, method: str, path: str, status: int) -> None:
    answer = getattr(client, method)(path)
    assert answer.status == status
    assert answer.content["error"]


def test_a_damaged_state_fails_only_requests_on_it(server: UicServer, home: Path) -> None:
    client = server.client()
    event = {**GOOD, "user_id": "damaged"}
    assert client.post("/v1/events", {"events": [event]}).content["accepted"] == 1
    with open_store(f"lmdb:{home / 'store'}") as store:
        view = store.view([user_key(1, "damaged")])
        assert view.values[0] is not None
        store.commit({user_key(1, "damaged"): view.values[0][:-1] + b"?"}, clock=view.clock)
    request = {"user_id": "damaged", "candidates": [1]}
    for path, body in (("/v1/score", request), ("/v1/events", {"events": [{**event, "seq": 2}]})):
        answer = client.post(path, body)
        assert answer.status == 500
        assert answer.content == {"error": "the state of 'damaged' is damaged (checksum mismatch)"}
    assert client.post("/v1/forget", {"user_id": "damaged", "through": 2}).status == 200
    client.close()


def test_requests_need_the_token(guarded: UicServer) -> None:
    client = guarded.client()
    body = {"user_id": 1, "candidates": [1]}
    assert client.post("/v1/score", body).status == 200
    for wrong in ("", SECRET, f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"bearer  {SECRET}"):
        for path in ("/v1/events", "/v1/score", "/v1/forget", "/nowhere"):
            answer = client.post(path, body, Authorization=wrong)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        for path in ("/metrics", "/v1/state?user_id=1", "/openapi.json"):
            assert client.get(path, Authorization=wrong).status == 401
        for path in ("/", "/healthz"):
            assert client.get(path, Authorization=wrong).status == 200
    assert client.get("/healthz", Host="center.example").status == 200
    assert client.get("/healthz", Origin="http://other.example").status == 403
    client.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:80"}, 200),
        ({"Host": "127.0.0.2"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "center.example"}, 403),
        ({"Host": "10.0.0.1:8080"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://other.example"}, 403),
        ({"Host": "localhost:80", "Origin": "http://localhost:80"}, 200),
        ({"Host": "localhost:80", "Origin": "http://localhost:81"}, 403),
    ],
)
def test_pages_of_other_origins_are_refused(
    client: UicClient, headers: dict[str, str], status: int
) -> None:
    assert client.get("/healthz", **headers).status == status
    assert client.post("/v1/forget", {"user_id": "other"}, **headers).status == status


def test_health(client: UicClient, trained: Callable[..., Path]) -> None:
    content = client.get("/healthz").content
    assert content["status"] == "ok"
    assert content == {"status": "ok", "model_version": content["model_version"]}


def samples(client: UicClient) -> dict[str, float]:
    """Return the values of /metrics by their names and labels."""
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_metrics_count_requests_and_events(client: UicClient) -> None:
    before = samples(client)
    events = [{**GOOD, "user_id": "counted", "seq": seq} for seq in (1, 1, 5, 3, 0)]
    client.post("/v1/events", {"events": events})
    client.post("/v1/score", {"user_id": "counted", "candidates": [1, 2, 3]})
    client.post("/v1/score", {"user_id": "never met", "candidates": [1]})
    client.post("/v1/score", {"user_id": "counted"})
    client.get("/no/such/place")
    after = samples(client)
    increases = {
        name: after[name] - before.get(name, 0)
        for name in after
        if after[name] != before.get(name, 0) and not name.startswith("process_")
    }
    expected = {
        'recops_uic_events_total{outcome="accepted"}': 2,
        'recops_uic_events_total{outcome="duplicate"}': 1,
        'recops_uic_events_total{outcome="late"}': 1,
        'recops_uic_events_total{outcome="refused"}': 1,
        'recops_uic_refused_events_total{field="seq"}': 1,
        "recops_uic_skipped_events_total": 3,
        "recops_uic_commit_seconds_count": 1,
        'recops_uic_commit_events_bucket{le="10.0"}': 1,
        "recops_uic_scored_candidates_total": 4,
        "recops_uic_unknown_users_total": 1,
        "recops_uic_store_users": 1,
        "recops_uic_store_events": 2,
        'recops_uic_requests_total{path="/v1/events",status="200"}': 1,
        'recops_uic_requests_total{path="/v1/score",status="200"}': 2,
        'recops_uic_requests_total{path="/v1/score",status="422"}': 1,
        'recops_uic_requests_total{path="other",status="404"}': 1,
        'recops_uic_request_seconds_count{path="/v1/score"}': 3,
    }
    assert {name: increases[name] for name in expected} == expected
    assert after["recops_uic_store_up"] == 1
    assert after["recops_uic_waiting_events"] == after["recops_uic_unanswered_scores"] == 0
    assert after["recops_uic_store_bytes"] > 0
    version = client.get("/healthz").content["model_version"]
    assert after[f'recops_uic_model_info{{version="{version}"}}'] == 1


def test_the_page_loads_nothing_from_other_hosts(client: UicClient) -> None:
    page = client.get("/")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not re.search(
        r"(src|href)=|url\(|//[a-z]|@import", page.text.replace('href="data:,"', "")
    )
    for metric in set(re.findall(r"recops_uic_\w+", page.text)):
        assert metric in client.get("/metrics").text


def test_open_api_describes_each_route(client: UicClient) -> None:
    paths = client.get("/openapi.json").content["paths"]
    assert set(paths) >= {"/v1/events", "/v1/score", "/v1/forget", "/healthz", "/metrics"}
    schema = paths["/v1/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"user_id", "candidates", "features", "explore"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--host", "0.0.0.0"],
            "0.0.0.0: other machines may reach this host: a token is required (--token-file)",
        ),
        (["--host", "::"], "::: other machines may reach this host"),
        (["--token-file", "nowhere"], "nowhere"),
        (["--data", "EMPTY"], "interactions"),
        (["--token-file", "/dev/null"], "/dev/null: must hold one token"),
        (["--host", "192.0.2.1", "--token-file", "TOKEN"], "192.0.2.1:"),
        (["--port", "PORT"], "in use"),
    ],
)
def test_start_errors_are_one_line(
    trained: Callable[..., Path],
    tmp_path: Path,
    server: UicServer,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "empty").mkdir()
    replacements = {name.upper(): str(tmp_path / name) for name in ("token", "empty")}
    replacements["PORT"] = str(server.port)
    arguments = [replacements.get(option, option) for option in options]
    store = f"lmdb:{tmp_path / 'store'}"
    code = run(["uic", "serve", "--model", str(trained("mimn")), "--store", store, *arguments])
    result = capsys.readouterr()
    assert (code, result.out) == (1, "")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.slow
def test_a_token_with_a_space_is_refused(trained: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("two words")
    command = ["uic", "serve", "--model", str(trained("mimn")), "--store", f"lmdb:{tmp_path / 's'}"]
    assert run([*command, "--token-file", str(tmp_path / "token")]) == 1
