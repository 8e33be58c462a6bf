"""Stores of the User Interest Center, LMDB and Redis with states of MIMN, and a snapshot."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from recops_models.data import load
from stored_fixtures.fixture import StoredFixture, Values, newest

_LMDB, _SNAPSHOTS, _DUMP = "store", "snapshots", "dump.json"
_USERS, _EVENTS = 4, 60
_FEATURES = {"user_age": "old"}


def _events() -> list[dict[str, Any]]:
    """Return events of a few users as the center takes them; one sequence number is skipped."""
    from recops_models.serving.sources import dataset_events

    (rows,) = dataset_events(load(newest("shop")), batch=1 << 20)
    skipped = {"user_id": 1, "seq": 3}.items()
    events: list[Any] = [
        row for row in rows if row["user_id"] <= _USERS and not skipped <= row.items()
    ]
    return events[:_EVENTS]


def _later_event(user: int) -> dict[str, Any]:
    return {
        **{"user_id": user, "item_id": 7, "timestamp": 100_000, "seq": 1000},
        **{"rating": 5.0, "scene": "search"},
    }


def _fill(model: Path, url: str) -> None:
    """Ingest the events, then forget one user."""
    from recops_models.serving.center import Center

    with Center.open(model, url) as center:
        report = center.ingest(_events())
        assert report.num_refused == 0, report
        center.forget(_USERS)


def _model_of(url: str) -> Path:
    """Return the stored model that wrote the states of a store."""
    from recops_models.serving.generations import read_active
    from recops_models.serving.open_store import open_store
    from recops_models.serving.served_model import holds_version

    store = open_store(url)
    try:
        active = read_active(store)
    finally:
        store.close()
    assert active is not None, f"{url}: no active record"
    (folder,) = (path for path in Path("mimn").iterdir() if holds_version(path, active.version))
    return folder


def read_store(url: str) -> Values:
    """Open a store; list its keys; look up, score and move its users.

    Args:
        url: URL of the store, which is changed.
    """
    from recops_models.serving.center import Center

    with Center.open(_model_of(url), url, create=False) as center:
        values: Values = {
            "keys": _keys(center),
            "stats": _stats(center),
            "before": _users(center),
            "again": center.ingest(_events()).counts(),
            "later": center.ingest([_later_event(user) for user in range(1, _USERS + 2)]).counts(),
        }
        return {**values, "after": _users(center)}


def _keys(center: Any) -> list[str]:
    return sorted(key.decode() for key, _ in center.store.scan([b""]))


def _stats(center: Any) -> Values:
    stats = vars(center.stats())
    return {name: stats[name] for name in ("users", "events", "model_version")}


def _users(center: Any) -> list[Values]:
    users = []
    for user in range(1, _USERS + 3):
        state = vars(center.look_up(user))
        tensors = {name: tensor.tolist() for name, tensor in state.pop("tensors").items()}
        scored = center.score(user, [1, 2, 3, "no such item"], _FEATURES)
        users.append({**state, "tensors": tensors, "scores": scored.scores.tolist()})
    return users


def _write_lmdb(folder: Path) -> None:
    from recops_models.serving.open_store import open_store
    from recops_models.serving.snapshots import take_snapshot

    url = f"lmdb:{folder / _LMDB}"
    _fill(newest("mimn"), url)
    store = open_store(url)
    take_snapshot(store, folder / _SNAPSHOTS)
    store.close()
    (folder / _LMDB / "lock.mdb").unlink()


def _read_lmdb(folder: Path) -> Values:
    """Read the store, and a store that is restored from the snapshot."""
    from recops_models.serving.open_store import open_store
    from recops_models.serving.snapshots import restore_snapshot

    filled = f"lmdb:{folder / _LMDB}"
    values = read_store(filled)
    with tempfile.TemporaryDirectory() as temporary:
        url = f"lmdb:{temporary}/restored"
        store = open_store(url)
        (snapshot,) = (folder / _SNAPSHOTS).iterdir()
        users = restore_snapshot(store, snapshot, model=_model_of(filled))
        store.close()
        return {**values, "restored users": users, "restored": read_store(url)}


@contextmanager
def _redis() -> Iterator[tuple[str, Any]]:
    """Start a Redis server; yield its URL and a client."""
    from redis_server import DURABLE, RedisServer

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(RedisServer(folder, *DURABLE))
        yield server.url(), stack.enter_context(server.client())


def _write_redis(folder: Path) -> None:
    """Dump all keys and values; a dump in Redis' own format is not read by older servers."""
    with _redis() as (url, client):
        _fill(newest("mimn"), url)
        keys = sorted(client.keys())
        dump = {key.decode(): client.get(key).hex() for key in keys}
    (folder / _DUMP).write_text(json.dumps(dump, indent=1) + "\n")


def _read_redis(folder: Path) -> Values:
    dump = json.loads((folder / _DUMP).read_text())
    with _redis() as (url, client):
        client.mset({key: bytes.fromhex(value) for key, value in dump.items()})
        return read_store(url)


STORES = {
    "lmdb": StoredFixture(_write_lmdb, _read_lmdb, ("lmdb",)),
    "redis": StoredFixture(_write_redis, _read_redis, ("redis",)),
}
