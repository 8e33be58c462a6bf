"""Names of the User Interest Center: HTTP fields, fields of events, metrics, keys of the store."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from typing import Any

from recops_models.serving.http.requests import ScoreRequest
from stored_fixtures.fixture import newest
from uic_server import Answer, UicClient, UicServer

_EVENT = {"user_id": 1, "item_id": 2, "timestamp": 3.0, "seq": 1, "rating": 4.0}
_FEATURES = {"user_age": "old"}


def serving_names() -> dict[str, set[str]]:
    """Ask a server of the newest MIMN; collect the names that it answers and stores."""
    with tempfile.TemporaryDirectory() as temporary:
        url = f"lmdb:{temporary}/store"
        with UicServer(newest("mimn"), url) as server:
            client = server.client()
            http, events = _requests(client)
            metrics = set(_metrics(client.get("/metrics").text))
            client.close()
        return {
            "HTTP fields": http,
            "fields of events": events,
            "Prometheus metrics": metrics,
            "records of the store": set(_records(url)),
        }


def _requests(client: UicClient) -> tuple[set[str], set[str]]:
    """Send one request per route and one bad one; return HTTP fields and fields of events."""
    names: set[str] = set()

    def post(path: str, **fields: object) -> Any:
        answer = client.post(path, fields)
        names.update(_fields(f"POST {path}", answer))
        if answer.status == 200:
            names.update(f"POST {path} takes {name}" for name in fields)
        return answer.content

    others = [{**_EVENT, "user_id": user} for user in (2, "three")]
    lacking = [{key: _EVENT[key] for key in _EVENT if key != name} for name in _EVENT]
    post("/v1/events", events=[_EVENT, *others])
    refused = post("/v1/events", events=lacking)["refused"]
    names |= {f"POST /v1/events answers 200, refused[].{key}" for one in refused for key in one}
    post("/v1/score", user_id=1, candidates=[1], features=_FEATURES)
    post("/v1/score", user_id=1, candidates=[])
    names |= {f"POST /v1/score takes {name}" for name in ScoreRequest.model_fields}
    post("/v1/forget", user_id=2, through=5)
    state = client.get("/v1/state?user_id=1")
    names |= _fields("GET /v1/state?user_id", state)
    names |= {
        f"GET /v1/state?user_id answers 200, tensors.{key}" for key in state.content["tensors"]
    }
    names |= _fields("GET /healthz", client.get("/healthz"))
    names |= {f"GET {path} answers {client.get(path).status}" for path in ("/metrics", "/")}
    return names, {one["field"] for one in refused}


def _fields(request: str, answer: Answer) -> set[str]:
    return {f"{request} answers {answer.status}, {key}" for key in answer.content}


def _metrics(text: str) -> Iterator[str]:
    """List the samples of recops, each with the names of its labels."""
    for name, labels in re.findall(r"^(recops_\w+)(?:\{(.*)\})? ", text, re.M):
        if not name.endswith("_created"):
            of_labels = ", ".join(re.findall(r'(\w+)="', labels))
            yield f"{name}({of_labels})"


def _records(url: str) -> Iterator[str]:
    """List the keys of a store, and the size and first bytes of each binary value."""
    from recops_models.serving.open_store import open_store

    store = open_store(url)
    for key, value in store.scan([b""]):
        if re.match(rb"[0-9a-f]{8}/[unim]|forgotten/", key):
            begins = f", begins with {value[:4]!r}" if b"/u/" in key else ""
            yield f"{key.decode()}: {len(value)} bytes{begins}"
        else:
            yield key.decode()
    store.close()
