"""Invalid events, requests and states cause a named error and change nothing."""

from __future__ import annotations

import json
import mmap
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from centers import events_of, untrained
from recops_models.data import Dataset
from recops_models.serving import served_model
from recops_models.serving.center import Center
from recops_models.serving.errors import (
    CorruptStateError,
    FieldError,
    ModelVersionError,
    NotDurableError,
    StoreAwayError,
    StoreError,
)
from recops_models.serving.keys import ACTIVE, user_key
from recops_models.serving.open_store import open_store
from recops_models.serving.redis_stream import RedisStream
from recops_models.serving.served_model import ServedModel, version_of
from recops_models.serving.stores.store import Store
from redis_server import RedisServer

GOOD = {"user_id": 1, "item_id": 2, "timestamp": 5.5, "seq": 1, "rating": 4}


@pytest.fixture
def center(trained: Callable[..., Path], tmp_path: Path) -> Iterator[Center]:
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as opened:
        yield opened


@pytest.mark.parametrize(
    ("change", "field"),
    [
        *(({name: None}, name) for name in ("user_id", "item_id", "timestamp", "seq", "rating")),
        ({"user_id": ""}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"user_id": 1.0}, "user_id"),
        ({"user_id": 2**70}, "user_id"),
        ({"user_id": "x" * 401}, "user_id"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"item_id": ["a"]}, "item_id"),
        ({"timestamp": "now"}, "timestamp"),
        ({"timestamp": float("nan")}, "timestamp"),
        ({"timestamp": 10**400}, "timestamp"),
        ({"seq": 0}, "seq"),
        ({"seq": -3}, "seq"),
        ({"seq": 1.5}, "seq"),
        ({"seq": True}, "seq"),
        ({"seq": 2**63}, "seq"),
        ({"rating": "good"}, "rating"),
        ({"rating": float("inf")}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": 1e19}, "rating"),
        ({"label": 2}, "label"),
        ({"feedback": 3}, "feedback"),
        ({"genre": 7}, None),
        ({"class": 7.5}, None),
    ],
)
def test_an_event_with_an_invalid_field_is_refused_and_others_are_applied(
    center: Center, change: dict[str, Any], field: str | None
) -> None:
    other = {**GOOD, "user_id": 2}
    report = center.ingest([{**GOOD, **change}, other])
    if field is None:  # The model has no such feature and ignores it.
        assert report.accepted == 2
        return
    assert (report.accepted, [refusal.field for refusal in report.refused]) == (1, [field])
    assert report.refused[0].index == 0
    assert center.score(2, [1]).events == 1
    assert not center.score(1, [1]).known


@pytest.mark.parametrize("name", ["user_id", "item_id", "timestamp", "seq", "rating"])
def test_a_missing_field_is_named(center: Center, name: str) -> None:
    event = {key: value for key, value in GOOD.items() if key != name}
    (refused,) = center.ingest([event]).refused
    assert refused.field == name
    assert "must be present" in refused.error


@pytest.mark.parametrize("event", [None, 5, "text", [GOOD], []])
def test_an_event_that_is_no_object_is_refused(center: Center, event: object) -> None:
    (refused,) = center.ingest([event]).refused
    assert refused.field == "event"


@pytest.mark.parametrize(
    ("user", "candidates", "features", "field"),
    [
        (None, [1], {}, "user_id"),
        (1, [], {}, "candidates"),
        (1, [None], {}, "candidates"),
        (1, ["1"] * 10_001, {}, "candidates"),
        (1, [1], {"colour": 5}, "colour"),
        (1, [1], {"history_item": 5}, "history_item"),
        (1, [1, 2], {"user_age": [1, 2, 3]}, "user_age"),
        (1, [1], {"user_rate": "high"}, "user_rate"),
        (1, [1], {"user_rate": 1e200}, "user_rate"),
        (1, [1], {"user_rate": -(10**19)}, "user_rate"),
        (1, [1], {"user_gender": 7}, "user_gender"),
    ],
)
def test_an_invalid_request_names_its_field(
    center: Center, user: object, candidates: list[object], features: dict[str, object], field: str
) -> None:
    with pytest.raises(FieldError) as caught:
        center.score(user, candidates, features)
    assert caught.value.field == field


def test_large_features_give_finite_scores(center: Center) -> None:
    for value in (2**63, -(2**63), 9.9e18):
        assert np.isfinite(center.score(1, [1], {"user_rate": value}).logits).all()


def test_a_score_that_is_not_finite_is_an_error(center: Center) -> None:
    served, _ = center._serving
    for parameter in served.model.parameters():
        parameter.fill_(1e30)
    with pytest.raises(FieldError, match="features must be closer to 0"):
        center.score(1, [1], {"user_rate": 1.0})
    with pytest.raises(StoreError, match="the state of '1' are not finite"):
        center.score(1, [1])


@pytest.mark.parametrize("through", [-1, 2**63])
def test_an_invalid_sequence_number_to_forget_is_refused(center: Center, through: int) -> None:
    center.ingest([GOOD])
    with pytest.raises(FieldError, match=r"through must be from 0 to 2\^63 - 1, got"):
        center.forget(1, through=through)
    assert center.score(1, [1]).known
    assert center.forget(1, through=2**63 - 1)
    assert center.ingest([{**GOOD, "seq": 2**63 - 1}]).duplicates == 1


@pytest.mark.parametrize("position", [0, 3, 10, 40, -1])
def test_a_flipped_bit_of_a_state_is_a_named_error(center: Center, position: int) -> None:
    center.ingest([GOOD])
    view = center.store.view([user_key(1, "1")])
    assert view.values[0] is not None
    damaged = bytearray(view.values[0])
    damaged[position] ^= 4
    center.store.commit({user_key(1, "1"): bytes(damaged)}, clock=view.clock)
    with pytest.raises(CorruptStateError, match="the state of '1' is damaged"):
        center.score(1, [1])
    with pytest.raises(CorruptStateError, match="the state of '1' is damaged"):
        center.ingest([{**GOOD, "seq": 2}])
    with pytest.raises(CorruptStateError, match="--through"):
        center.forget(1)
    assert center.forget(1, through=1)
    assert center.ingest([GOOD, {**GOOD, "seq": 2}]).counts() == {
        **{"accepted": 1, "duplicates": 1, "late": 0, "refused": 0, "gaps": 0}
    }


def test_a_state_under_the_key_of_another_user_is_damaged(center: Center) -> None:
    center.ingest([GOOD])
    view = center.store.view([user_key(1, "1")])
    center.store.commit({user_key(1, "9"): view.values[0]}, clock=view.clock)
    with pytest.raises(CorruptStateError, match="the state of '9' is damaged"):
        center.score(9, [1])


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"generation": 1}'])
def test_an_invalid_record_of_the_active_model_is_refused(
    trained: Callable[..., Path], tmp_path: Path, data: bytes
) -> None:
    url = f"lmdb:{tmp_path / 'store'}"
    with open_store(url) as store:
        store.commit({ACTIVE: data}, clock=0)
    with pytest.raises(ModelVersionError, match="the record of the active model is invalid"):
        Center.open(trained("mimn"), url)


def test_states_of_another_model_are_refused(trained: Callable[..., Path], tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'store'}"
    Center.open(trained("mimn"), url).close()
    for other in (trained("hpmn"), trained("mimn", seed=1)):
        with pytest.raises(ModelVersionError, match="recops uic refresh"):
            Center.open(other, url)


@pytest.mark.parametrize("quirk", ["target", "channels"])
def test_a_quirk_that_states_cannot_reproduce_is_refused(
    trained: Callable[..., Path], quirk: str
) -> None:
    with pytest.raises(ModelVersionError, match=f"compat={quirk}, which a stored state cannot"):
        ServedModel.load(trained("mimn", compat=quirk))


@pytest.mark.parametrize("url", ["", "states", "lmdb:", "redis:6379", "mysql://h/1", "redis://h/x"])
def test_an_invalid_store_url_is_refused(url: str) -> None:
    with pytest.raises((ValueError, StoreError), match=r"store must be|no answer"):
        open_store(url)


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(f"lmdb:{tmp_path / 'file'}")
    (tmp_path / "data.mdb").write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(f"lmdb:{tmp_path}")
    with pytest.raises(ValueError, match="map_bytes"):
        open_store(f"lmdb:{tmp_path / 'other'}?size=5")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(f"lmdb:{tmp_path / 'other'}?map_bytes={10**30}")


def test_a_missing_store_is_not_created(trained: Callable[..., Path], store_url: str) -> None:
    with pytest.raises(StoreError, match=r"there is no store|is empty"):
        Center.open(trained("mimn"), store_url, create=False)
    with pytest.raises(StoreError, match="is empty"), open_store(store_url) as store:
        Center(ServedModel.load(trained("mimn")), store, create=False)
    Center.open(trained("mimn"), store_url).close()
    Center.open(trained("mimn"), store_url, create=False).close()


def test_an_empty_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").touch()
    with pytest.raises(StoreError, match="there is no store"):
        open_store(f"lmdb:{tmp_path}", create=False)


def test_a_store_in_the_home_folder_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("lmdb:~/states?map_bytes=1048576").close()
    assert (tmp_path / "states" / "data.mdb").exists()
    assert (tmp_path / "states").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("pages", [1, 5, 20])
def test_a_truncated_file_is_damaged(
    trained: Callable[..., Path], small: Dataset, tmp_path: Path, pages: int
) -> None:
    url, file = f"lmdb:{tmp_path / 'store'}", tmp_path / "store" / "data.mdb"
    with Center.open(trained("mimn"), url) as center:
        center.ingest(events_of(small))
    size = file.stat().st_size
    os.truncate(file, size - pages * mmap.PAGESIZE)
    with pytest.raises(StoreError, match=r"is damaged, data\.mdb was cut short"):
        open_store(url)
    assert file.stat().st_size < size


def test_a_file_may_lack_pages_that_are_free(tmp_path: Path) -> None:
    """LMDB does not write pages that a transaction allocated and freed again."""
    for seed in range(100):
        folder = tmp_path / str(seed)
        if content := _store_without_free_pages(folder, random.Random(seed)):
            break
    assert content
    with open_store(f"lmdb:{folder}", create=False) as store:
        assert dict(store.scan([b""])) == content
    os.truncate(folder / "data.mdb", (folder / "data.mdb").stat().st_size // 2)
    with pytest.raises(StoreError, match="cut short"):
        open_store(f"lmdb:{folder}")


def _store_without_free_pages(folder: Path, rng: random.Random) -> dict[bytes, bytes] | None:
    """Write a store whose file lacks pages, and return its content; None if no page is missing."""
    folder.mkdir()
    content: dict[bytes, bytes] = {}
    with lmdb.open(str(folder), map_size=1 << 30, sync=False) as environment:
        for _ in range(12):
            with environment.begin(write=True) as transaction:
                if rng.random() < 0.6 or len(content) < 10:
                    for _ in range(rng.randrange(1, 200)):
                        key, size = b"%d" % rng.randrange(3000), rng.choice([24, 400, 3900])
                        content[key] = b"v" * size
                        transaction.put(key, content[key])
                else:
                    count = min(len(content), rng.choice([5, 100, 2000]))
                    for key in rng.sample(sorted(content), count):
                        del content[key]
                        transaction.delete(key)
            full_size = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
            if (folder / "data.mdb").stat().st_size < full_size:
                return content
    return None


def test_a_model_that_is_replaced_while_it_is_read(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = untrained("mimn", small, tmp_path / "data", tmp_path / "model")
    before = version_of(folder)

    def retrain(seed: int) -> Dataset:
        untrained("mimn", small, tmp_path / "data", folder, seed=seed)
        return small

    loaded_model = ServedModel.load(folder, data=partial(retrain, 1))
    assert loaded_model.version == before != version_of(folder)
    load_trained = served_model.load_trained

    def load_and_retrain(folder: Path, **options: Any) -> Any:
        loaded = load_trained(folder, **options)
        retrain(2)
        return loaded

    monkeypatch.setattr(served_model, "load_trained", load_and_retrain)
    with pytest.raises(ModelVersionError, match="was replaced while it was read"):
        ServedModel.load(folder)


def test_an_open_folder_keeps_its_size_bound(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'store'}"
    with open_store(f"{url}?map_bytes=1048576") as store:
        open_store(url).close()
        open_store(f"{url}?map_bytes=1048576").close()
        with pytest.raises(StoreError, match=r"map_bytes must be 1048576, .*, got 2097152"):
            open_store(f"{url}?map_bytes=2097152")
        store.commit({b"key": b"value"}, clock=0)
    with open_store(f"{url}?map_bytes=2097152") as store:
        assert store.view([b"key"]).values == [b"value"]


def test_a_scan_continues_after_the_store_is_closed(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'store'}"
    with open_store(url) as store:
        store.commit({b"a/1": b"one", b"a/2": b"two"}, clock=0)
        reading = store.scan([b"a/"])
        assert next(reading) == (b"a/1", b"one")
    with open_store(url) as store:
        store.commit({b"a/2": None}, clock=1)
        assert list(reading) == [(b"a/2", b"two")]


def test_threads_open_a_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, stores = [], list[Store]()
    open_environment = lmdb.open

    def open_slowly(*arguments: Any, **settings: Any) -> lmdb.Environment:
        opened.append(arguments)
        time.sleep(0.2)
        return open_environment(*arguments, **settings)

    monkeypatch.setattr(lmdb, "open", open_slowly)
    url = f"lmdb:{tmp_path / 'store'}"
    threads = [threading.Thread(target=lambda: stores.append(open_store(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(opened), len(stores)) == (1, 4)
    stores[0].commit({b"key": b"value"}, clock=0)
    assert stores[3].view([b"key"]) == (1, [b"value"])


def test_an_unreachable_store_is_reported_without_the_password() -> None:
    with pytest.raises(StoreAwayError, match=r"^redis://127.0.0.1:1/0: no answer") as caught:
        open_store("redis://me:secret@127.0.0.1:1/0")
    assert "secret" not in str(caught.value)
    for opened, url in (
        (open_store, "redis://me:secret@127.0.0.1:x/0"),
        (RedisStream, "redis-stream://me:secret@127.0.0.1:1/0/key"),
    ):
        with pytest.raises(ValueError, match="must be") as refused:
            opened(url)
        assert "secret" not in str(refused.value)


def test_a_redis_that_may_lose_writes_is_refused(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    with RedisServer(tmp_path, "--appendonly", "yes") as server:
        with pytest.raises(NotDurableError, match="appendfsync must be always, got everysec"):
            open_store(server.url())
        with Center.open(trained("mimn"), server.url(), allow_loss=True) as center:
            assert center.ingest([GOOD]).accepted == 1
        with server.client() as client:
            client.config_set("appendfsync", "always")
            client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(NotDurableError, match="maxmemory-policy must be noeviction"):
            open_store(server.url())


def test_events_are_the_same_after_a_round_trip_through_json(
    center: Center, small: Dataset
) -> None:
    events = events_of(small)[:50]
    assert center.ingest(json.loads(json.dumps(events))).accepted == 50
    assert center.ingest(events).duplicates == 50
