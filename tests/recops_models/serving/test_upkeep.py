"""Snapshots, model refresh and forgetting change the served states atomically."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from centers import events_of, untrained
from recops.files import CorruptFileError
from recops_models.data import Dataset
from recops_models.serving.center import Center
from recops_models.serving.commit_retry import MAX_CONFLICTS
from recops_models.serving.errors import CorruptStateError, ModelVersionError, StoreAwayError
from recops_models.serving.forgetting import expire_users
from recops_models.serving.generations import MAINTENANCE, change, read_active
from recops_models.serving.ingester import ingest_batches
from recops_models.serving.ingestion import IngestReport
from recops_models.serving.keys import (
    forgotten_key,
    generation_prefix,
    items_prefix,
    lock_key,
    meta_key,
    totals_key,
    user_key,
    users_prefix,
)
from recops_models.serving.locks import (
    LOCK_SECONDS,
    WRITE_PAUSE,
    HeldLockError,
    Lock,
    LostLockError,
    NoWritePause,
)
from recops_models.serving.open_store import open_store
from recops_models.serving.refresh import refresh_model
from recops_models.serving.sealed_values import Tombstone, Totals
from recops_models.serving.served_model import ServedModel
from recops_models.serving.snapshot_files import snapshots_in
from recops_models.serving.snapshots import restore_snapshot, take_snapshot
from recops_models.serving.stats import center_stats
from recops_models.serving.stores.store import Store
from stopped_clock import Clock


@pytest.fixture(scope="module")
def events(small: Dataset) -> list[dict[str, Any]]:
    return events_of(small)


@pytest.fixture
def center(trained: Callable[..., Path], store_url: str) -> Iterator[Center]:
    with Center.open(trained("mimn"), store_url) as opened:
        yield opened


def contents(store: Store) -> dict[bytes, bytes]:
    """Return all served values, independent of the generation number."""
    active = read_active(store)
    assert active is not None
    prefix = generation_prefix(active.generation)
    return {key.removeprefix(prefix): value for key, value in store.scan([prefix])}


def users(store: Store) -> dict[bytes, bytes]:
    return {key: value for key, value in contents(store).items() if key.startswith(b"u/")}


def generations(store: Store) -> set[bytes]:
    return {key[:9] for key, _ in store.scan([b"0"])}


def once(events: list[dict[str, Any]]) -> Callable[[], Iterator[list[Any]]]:
    batches = iter([events[start : start + 100] for start in range(0, len(events), 100)])
    return lambda: batches


def test_a_restored_snapshot_has_the_same_bits(
    center: Center, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    center.ingest(events[:400])
    before = contents(center.store)
    path = take_snapshot(center.store, tmp_path / "snapshots")
    center.ingest(events)
    after = contents(center.store)
    assert restore_snapshot(center.store, path) == len({e["user_id"] for e in events[:400]})
    assert contents(center.store) == before
    assert len(generations(center.store)) == 1  # The old generation is deleted.
    assert center.ingest(events).duplicates == 400  # The center uses the restored states.
    assert contents(center.store) == after


def test_a_snapshot_fills_an_empty_store(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path], tmp_path: Path
) -> None:
    center.ingest(events)
    path = take_snapshot(center.store, tmp_path / "snapshots")
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'other'}") as other:
        restore_snapshot(other.store, path)
        assert contents(other.store) == contents(center.store)
        assert other.stats().users == center.stats().users == 60


def test_restoring_a_snapshot_of_a_moved_model_needs_its_new_path(
    small: Dataset, events: list[dict[str, Any]], tmp_path: Path, store_url: str
) -> None:
    folder, new_folder = tmp_path / "model", tmp_path / "moved"
    untrained("mimn", small, tmp_path / "data", folder)
    other = untrained("mimn", small, tmp_path / "data", tmp_path / "other", seed=5)
    with Center.open(folder, store_url) as center:
        center.ingest(events)
        path = take_snapshot(center.store, tmp_path)
    folder.rename(new_folder)
    with open_store(store_url) as store:
        for wrong in (None, other, tmp_path):
            with pytest.raises(ModelVersionError, match=r"does not hold.*--model"):
                restore_snapshot(store, path, model=wrong)
        assert restore_snapshot(store, path, model=new_folder) == 60
        active = read_active(store)
        assert active is not None
        assert active.folder == str(new_folder)


def test_seven_snapshots_are_kept(center: Center, tmp_path: Path) -> None:
    snapshot_paths = [take_snapshot(center.store, tmp_path) for _ in range(9)]
    assert snapshots_in(tmp_path) == snapshot_paths[2:]
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        take_snapshot(center.store, tmp_path, keep=0)
    assert snapshots_in(tmp_path) == snapshot_paths[2:]
    assert take_snapshot(center.store, tmp_path, keep=1) in snapshots_in(tmp_path)
    assert len(snapshots_in(tmp_path)) == 1


def test_files_with_other_names_are_not_deleted(center: Center, tmp_path: Path) -> None:
    first = take_snapshot(center.store, tmp_path)
    others = [tmp_path / "manual.snapshot.parquet", tmp_path / ".notes.tmp"]
    for other in others:
        other.write_bytes(b"mine")
        os.utime(other, (0, 0))
    killed = tmp_path / f".{first.name}.0a1b2c3d.tmp"
    in_progress = tmp_path / f".{first.name}.4e5f6a7b.tmp"
    killed.write_bytes(b"half")
    os.utime(killed, (0, 0))
    in_progress.write_bytes(b"half")
    newest = take_snapshot(center.store, tmp_path, keep=1)
    assert snapshots_in(tmp_path) == [newest]
    assert sorted(tmp_path.glob(".*")) == sorted([others[1], in_progress])
    assert others[0].exists()


def test_older_snapshots_are_kept_until_the_new_one_is_verified(
    center: Center, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = take_snapshot(center.store, tmp_path)

    def damaged(path: Path) -> None:
        raise CorruptFileError(f"{path}: damaged")

    monkeypatch.setattr("recops_models.serving.snapshots.verify_file", damaged)
    with pytest.raises(CorruptFileError):
        take_snapshot(center.store, tmp_path, keep=1)
    assert snapshots_in(tmp_path) == [old]
    monkeypatch.undo()
    take_snapshot(center.store, tmp_path, keep=1)
    assert old not in snapshots_in(tmp_path)


def damage(store: Store, key: bytes) -> None:
    """Flip a bit of the stored value."""
    view = store.view([key])
    assert view.values[0] is not None
    damaged = bytearray(view.values[0])
    damaged[-1] ^= 1
    store.commit({key: bytes(damaged)}, clock=view.clock)


def test_damaged_records_do_not_block_a_snapshot_and_its_restore(
    center: Center, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    center.ingest(events)
    damaged_user, forgotten = events[0]["user_id"], events[1]["user_id"]
    center.forget(forgotten)
    damage(center.store, user_key(1, str(damaged_user)))
    damage(center.store, forgotten_key(str(forgotten)))
    messages = list[str]()
    path = take_snapshot(center.store, tmp_path, on_warning=messages.append)
    assert f"damaged records of '{forgotten}', '{damaged_user}': a restore will" in messages[0]
    before = users(center.store)
    with pytest.warns(UserWarning, match=f"'{forgotten}', '{damaged_user}': they were left out"):
        assert restore_snapshot(center.store, path) == 58
    assert before.pop(b"u/%d" % damaged_user)
    assert users(center.store) == before
    assert not center.look_up(damaged_user).known
    with open_store(f"lmdb:{tmp_path / 'empty'}") as empty:
        assert restore_snapshot(empty, path, on_warning=messages.append) == 58
        (tombstone,) = empty.view([forgotten_key(str(forgotten))]).values
        assert tombstone


def test_a_damaged_total_blocks_snapshots_and_ingestion(
    center: Center, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    center.ingest(events)
    damage(center.store, totals_key(1))
    with pytest.raises(CorruptStateError, match="count of 'all' is damaged"):
        take_snapshot(center.store, tmp_path)
    assert not list(tmp_path.glob("*.parquet*"))
    with pytest.raises(CorruptStateError, match="count of 'all' is damaged"):
        ingest_batches(center, [events], stop=threading.Event(), on_report=lambda _: None)


def test_damaged_records_do_not_block_expiry(center: Center, events: list[dict[str, Any]]) -> None:
    center.ingest(events)
    damaged_user, unclear_user = (event["user_id"] for event in events[:2])
    damage(center.store, user_key(1, str(damaged_user)))
    tombstone = Tombstone(0).pack(str(unclear_user))
    center.store.commit(
        {forgotten_key(str(unclear_user)): tombstone}, clock=center.store.view([]).clock
    )
    damage(center.store, forgotten_key(str(unclear_user)))
    messages = list[str]()
    assert expire_users(center.store, 1e12, on_warning=messages.append) == 58
    assert len(messages) == 1
    assert f"'{damaged_user}'" in messages[0]
    assert f"'{unclear_user}'" in messages[0]
    assert center.stats().users == 2
    with pytest.raises(CorruptStateError, match=r"the tombstone of .* damaged .*--through"):
        center.forget(unclear_user)
    assert center.forget(unclear_user, through=5)
    assert not center.look_up(unclear_user).known
    with pytest.warns(UserWarning, match=f"damaged records of '{damaged_user}': they are kept"):
        assert expire_users(center.store, 1e12) == 0


def test_damaged_records_do_not_block_a_new_model(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path]
) -> None:
    events = events[:100]
    center.ingest(events)
    old, new = (event["user_id"] for event in events[:2])
    served, messages = ServedModel.load(trained("hpmn")), list[str]()
    with pytest.raises(ModelVersionError, match="behind"):
        refresh_model(center.store, served, [once(events[:-1])])
    damage(center.store, user_key(1, str(old)))
    damage(center.store, user_key(2, str(new)))
    total = IngestReport()
    refresh_model(
        center.store, served, [once(events)], on_report=total.join, on_warning=messages.append
    )
    assert total.num_refused == sum(event["user_id"] == new for event in events)
    assert (
        f"damaged records of '{old}', '{new}'" in messages[0] or f"'{new}', '{old}'" in messages[0]
    )
    assert center.look_up(old).events == sum(event["user_id"] == old for event in events)


def test_a_damaged_snapshot_changes_nothing(
    center: Center, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    center.ingest(events[:100])
    path = take_snapshot(center.store, tmp_path)
    before, data = contents(center.store), path.read_bytes()
    for damaged in (data[:-1], data[:200] + b"\0" + data[201:], b"", data[: len(data) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError):
            restore_snapshot(center.store, path)
    assert contents(center.store) == before


def test_a_snapshot_of_a_missing_model_is_refused(
    small: Dataset, tmp_path: Path, store_url: str
) -> None:
    folder = untrained("mimn", small, tmp_path / "data", tmp_path / "model")
    with Center.open(folder, store_url) as center:
        path = take_snapshot(center.store, tmp_path)
        untrained("mimn", small, tmp_path / "data", folder, seed=5)
        with pytest.raises(ModelVersionError, match="does not hold"):
            restore_snapshot(center.store, path)


def test_forgetting_outlives_replay_and_restore(
    center: Center, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    user = events[0]["user_id"]
    user_events = [event for event in events if event["user_id"] == user]
    center.ingest(events)
    path = take_snapshot(center.store, tmp_path)
    assert center.forget(user)
    assert not center.forget(user)
    assert not center.score(user, [1]).known
    assert center.stats().users == 59
    assert center.ingest(events).duplicates == len(events)
    assert not center.score(user, [1]).known
    assert restore_snapshot(center.store, path) == 59
    assert not center.score(user, [1]).known
    later = {**user_events[-1], "seq": len(user_events) + 1}
    assert (
        center.ingest([later]).counts()["gaps"] == 0
    )  # A returning user starts with an empty state.
    assert center.score(user, [1]).events == 1
    second_path = take_snapshot(center.store, tmp_path)
    restore_snapshot(center.store, path)
    assert not center.score(user, [1]).known
    restore_snapshot(center.store, second_path)
    assert center.score(user, [1]).events == 1


def test_a_snapshot_contains_tombstones(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path], tmp_path: Path
) -> None:
    center.ingest(events)
    center.forget(events[0]["user_id"])
    path = take_snapshot(center.store, tmp_path)
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'other'}") as other:
        restore_snapshot(other.store, path)
        assert other.ingest(events).duplicates == len(events)
        assert other.stats().users == 59


def test_forgetting_ahead_of_the_events(center: Center, events: list[dict[str, Any]]) -> None:
    user = events[0]["user_id"]
    user_events = [event for event in events if event["user_id"] == user]
    assert not center.forget(user, through=len(user_events) - 1)
    assert center.ingest(user_events).counts() == {
        **{"accepted": 1, "duplicates": len(user_events) - 1, "late": 0, "refused": 0, "gaps": 0}
    }


def test_inactive_users_expire(center: Center, events: list[dict[str, Any]]) -> None:
    center.ingest(events)
    last = {event["user_id"]: event["timestamp"] for event in events}
    limit = sorted(last.values())[20]
    assert expire_users(center.store, limit) == 20
    assert {user for user in last if center.score(user, [1]).known} == {
        user for user, seen in last.items() if seen >= limit
    }
    assert center.ingest(events).accepted == 0
    assert expire_users(center.store, limit) == 0


@pytest.mark.parametrize("other", ["hpmn", "mimn"])
def test_a_new_model_is_served_once_it_has_caught_up(
    center: Center,
    events: list[dict[str, Any]],
    other: str,
    trained: Callable[..., Path],
    tmp_path: Path,
) -> None:
    center.ingest(events[:700])
    center.forget(events[0]["user_id"])
    served = ServedModel.load(trained(other, seed=3))
    old = center.model_version
    with pytest.raises(ModelVersionError, match=r"users are behind .* who is at \d+ of \d+"):
        refresh_model(center.store, served, [once(events[:600])])
    assert center.stats().warming == served.version_text
    assert center.score(events[1]["user_id"], [1]).model_version == old
    assert center.ingest(events[700:800]).accepted  # The old model is still served.
    reports = []
    refresh_model(
        center.store, served, [once(events[:600]), once(events[600:800])], on_report=reports.append
    )
    # The second replay continued the first.
    assert sum(report.duplicates for report in reports) >= 600
    assert center.score(events[1]["user_id"], [1]).model_version == served.version_text
    assert center.ingest(events[800:]).accepted == len(events[800:])
    assert center.model_version == served.version_text
    assert center.stats().warming is None
    assert len(generations(center.store)) == 1
    with Center.open(trained(other, seed=3), f"lmdb:{tmp_path / 'clean'}") as clean:
        clean.ingest(events)
        states, expected = users(center.store), users(clean.store)
        forgotten = b"u/%d" % events[0]["user_id"]
        assert states.pop(forgotten) != expected.pop(forgotten)
        assert states == expected


@pytest.mark.parametrize("wrong", ["no beginning", "wrong order"])
def test_a_new_model_that_skipped_events_is_not_activated(
    center: Center, events: list[dict[str, Any]], wrong: str, trained: Callable[..., Path]
) -> None:
    center.ingest(events)
    early, late = events[:600], events[600:]
    served, old = ServedModel.load(trained("hpmn")), center.model_version
    sources = [once(late)] if wrong == "no beginning" else [once(late), once(early)]
    with pytest.raises(ModelVersionError, match=r"more skipped events .* states were deleted"):
        refresh_model(center.store, served, sources)
    assert center.model_version == old
    refresh_model(center.store, served, [once(early), once(late)])
    current = center.look_up(events[0]["user_id"])
    assert (current.model_version, current.skipped) == (served.version_text, 0)
    assert current.events == sum(event["user_id"] == events[0]["user_id"] for event in events)


def test_skipped_events_can_be_allowed(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path]
) -> None:
    center.ingest(events)
    served = ServedModel.load(trained("hpmn"))
    refresh_model(center.store, served, [once(events[600:])], allow_behind=True)
    assert center.look_up(events[-1]["user_id"]).model_version == served.version_text


def test_a_new_model_uses_the_current_data_set(
    small: Dataset, events: list[dict[str, Any]], trained: Callable[..., Path], tmp_path: Path
) -> None:
    loads = []

    def catalogue() -> Dataset:
        loads.append(small)
        return small

    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}", data=catalogue) as center:
        center.ingest(events[:100])
        assert len(loads) == 1
        refresh_model(center.store, ServedModel.load(trained("hpmn")), [once(events[:100])])
        center.score(1, [1])
        center.score(1, [2])
        assert len(loads) == 2


def test_the_served_model_is_not_refreshed(center: Center, trained: Callable[..., Path]) -> None:
    with pytest.raises(ModelVersionError, match="is already served"):
        refresh_model(center.store, ServedModel.load(trained("mimn")), [])


@pytest.mark.parametrize("known", [True, False])
def test_forgetting_deletes_retired_states(
    center: Center,
    events: list[dict[str, Any]],
    known: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process was killed between activating the new states and deleting the old ones."""
    user = events[0]["user_id"]
    earlier = events if known else [event for event in events if event["user_id"] != user]
    center.ingest(earlier)
    path = take_snapshot(center.store, tmp_path)
    center.ingest(events)
    with monkeypatch.context() as killed:
        killed.setattr("recops_models.serving.snapshots.remove_retired", lambda *_: None)
        restore_snapshot(center.store, path)
    assert len(generations(center.store)) == 2
    assert center.forget(user) is known
    key = user_key(1, str(user))[8:]
    assert not [stored for stored, _ in center.store.scan([b"0"]) if stored.endswith(key)]
    assert center.stats().users == 59
    restore_snapshot(center.store, path)
    assert len(generations(center.store)) == 1


def test_forgetting_applies_to_a_warming_model(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path]
) -> None:
    center.ingest(events)
    served = ServedModel.load(trained("hpmn"))
    with pytest.raises(ModelVersionError):
        refresh_model(center.store, served, [once(events[:500])])
    center.forget(events[0]["user_id"])
    refresh_model(center.store, served, [once(events)])
    assert not center.score(events[0]["user_id"], [1]).known
    assert center.stats().users == 59


def test_writing_pauses_and_continues(center: Center, events: list[dict[str, Any]]) -> None:
    with Lock(center.store, WRITE_PAUSE):
        with pytest.raises(HeldLockError, match="pauses"):
            center.ingest(events[:1], patience=0.1)
        assert center.score(1, [1]).events == 0
    assert center.ingest(events[:1]).accepted == 1


class Forwarding(Store):
    """Store that forwards all calls to another store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.url, self.consistent_scan = store.url, store.consistent_scan

    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._store._read(keys)

    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        self._store.commit(changes, clock=clock)

    def scan(self, prefixes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        return self._store.scan(prefixes)

    def num_bytes(self) -> int:
        return self._store.num_bytes()

    def close(self) -> None:
        """Leave the other store open."""


class Failing(Forwarding):
    """Store that does not answer after a number of commits."""

    def __init__(self, store: Store, commits: int) -> None:
        super().__init__(store)
        self._remaining = commits

    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        self._remaining -= 1
        if self._remaining < 0:
            raise StoreAwayError("away")
        super().commit(changes, clock=clock)


class Busy(Forwarding):
    """Store in which another writer commits first, unless a pause stops it."""

    def __init__(self, store: Store, work: Callable[[], object]) -> None:
        super().__init__(store)
        self._work, self.times = work, 0

    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        if lock_key(WRITE_PAUSE) not in changes:
            self.times += 1
            assert self.times < 50
            self._work()
        super().commit(changes, clock=clock)


def increment(values: list[bytes | None]) -> dict[bytes, bytes | None]:
    return {b"counter": b"%d" % (1 + int(values[0] or 0))}


def test_a_slow_change_succeeds_despite_a_fast_writer(center: Center) -> None:
    store = Busy(
        center.store, lambda: change(center.store, [b"counter"], increment, [NoWritePause()])
    )
    with Lock(center.store, MAINTENANCE) as maintenance:
        change(store, [b"counter"], increment, [maintenance])
    assert center.store.view([b"counter"]).values == [b"%d" % (store.times + 1)]
    change(center.store, [b"counter"], increment, [NoWritePause()])  # The pause has ended.


def test_a_change_is_not_recomputed_after_unrelated_commits(center: Center) -> None:
    computed = []

    def work() -> None:
        if store.times < 3:
            change(center.store, [b"counter"], increment)

    def changes(values: list[bytes | None]) -> dict[bytes, bytes | None]:
        computed.append(values)
        return {b"mine": b"done"}

    store = Busy(center.store, work)
    change(store, [b"mine"], changes)
    assert center.store.view([b"mine", b"counter"]).values == [b"done", b"2"]
    assert computed == [[None]]


def test_a_slow_batch_succeeds_despite_a_fast_writer(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path]
) -> None:
    quick = [{**events[0], "user_id": "quick", "seq": seq} for seq in range(1, 50)]
    store = center.store
    with Center.open(trained("mimn"), store.url) as other:
        center.store = Busy(store, lambda: other.ingest([quick.pop()], patience=0))
        assert center.ingest(events[:200]).accepted == 200
        center.store.times = 0
        assert center.forget(events[0]["user_id"])
        center.store = store
        assert other.ingest(quick[:1]).num_events == 1


def test_a_slow_writer_waits_during_a_pause(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path]
) -> None:
    pause, store = Lock(center.store, WRITE_PAUSE), center.store

    def work() -> None:
        if busy.times == MAX_CONFLICTS:
            pause.acquire()
        change(store, [totals_key(1)], lambda _: {totals_key(1): Totals(busy.times).pack()})

    center.store = busy = Busy(store, work)
    with pytest.raises(HeldLockError):
        center.ingest(events[:1], patience=0)
    pause.require()
    pause.release()
    center.store = store
    assert center.ingest(events[:1]).accepted == 1


def test_forgetting_uses_the_generation_that_is_active_at_commit(
    center: Center, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    center.ingest(events)
    path, store, user = take_snapshot(center.store, tmp_path), center.store, events[0]["user_id"]

    def work() -> None:
        if busy.times == 1:
            restore_snapshot(store, path)

    center.store = busy = Busy(store, work)
    assert center.forget(user)
    center.store = store
    assert not center.score(user, [1]).known
    assert center.stats().users == 59


def test_a_restore_waits_for_a_slow_writers_pause(
    center: Center, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    center.ingest(events)
    path, pause = take_snapshot(center.store, tmp_path), Lock(center.store, WRITE_PAUSE)
    pause.acquire()
    threading.Timer(0.1, pause.release).start()
    assert restore_snapshot(center.store, path) == 60


class Stalling(Forwarding):
    """Store whose scan stalls after the last user of a generation."""

    def __init__(self, store: Store, stall: Callable[[], object]) -> None:
        super().__init__(store)
        self._stall, self.consistent_scan = stall, False

    def scan(self, prefixes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        yield from self._store.scan(prefixes)
        if users_prefix(1) in prefixes:
            self._stall()


def test_events_during_a_stalled_refresh_are_kept(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path], clock: Clock
) -> None:
    center.ingest(events[:-1])
    served, old = ServedModel.load(trained("hpmn")), center.model_version

    def stall() -> None:
        clock.now += LOCK_SECONDS + 1
        assert center.ingest(events[-1:]).accepted == 1

    with pytest.raises(LostLockError, match="pause was not renewed for more"):
        refresh_model(Stalling(center.store, stall), served, [once(events[:-1])])
    assert center.ingest(events[-1:]).duplicates == 1
    assert center.model_version == old
    refresh_model(center.store, served, [once(events)])
    assert center.stats().events == len(events)


def test_a_snapshot_that_stalls_during_writes_is_discarded(
    center: Center, events: list[dict[str, Any]], clock: Clock, tmp_path: Path
) -> None:
    center.ingest(events[:-1])

    def stall() -> None:
        clock.now += LOCK_SECONDS + 1
        assert center.ingest(events[-1:]).accepted == 1
        clock.now -= LOCK_SECONDS + 1  # The writer has another clock.

    with pytest.raises(LostLockError):
        take_snapshot(Stalling(center.store, stall), tmp_path)
    assert not list(tmp_path.glob("*.parquet*"))


def test_forgetting_revokes_an_expired_pause(center: Center, clock: Clock) -> None:
    with Lock(center.store, WRITE_PAUSE) as pause:
        clock.now += LOCK_SECONDS + 1
        assert not center.forget("nobody", through=5)
        with pytest.raises(LostLockError):
            pause.renew()
    with Lock(center.store, WRITE_PAUSE), pytest.raises(HeldLockError):
        center.forget("nobody", through=6, patience=0.0)


class Crowded(Forwarding):
    """Store that calls a function as soon as a generation is started."""

    def __init__(self, store: Store, meanwhile: Callable[[], object]) -> None:
        super().__init__(store)
        self._meanwhile = meanwhile

    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        super().commit(changes, clock=clock)
        if any(changes.get(meta_key(generation)) for generation in (1, 2)):
            self._meanwhile()


def test_a_concurrent_center_does_not_disturb_a_restore_or_refresh(
    center: Center, events: list[dict[str, Any]], trained: Callable[..., Path], tmp_path: Path
) -> None:
    center.ingest(events)
    path = take_snapshot(center.store, tmp_path)
    url = f"lmdb:{tmp_path / 'restored'}"
    with open_store(url) as empty, ExitStack() as opened:

        def begin() -> None:
            opened.enter_context(Center.open(trained("mimn"), url))

        assert restore_snapshot(Crowded(empty, begin), path) == 60
        assert contents(empty) == contents(center.store)

    url = f"lmdb:{tmp_path / 'refreshed'}"
    served = ServedModel.load(trained("hpmn"))
    with open_store(url) as empty:

        def write() -> None:
            with Center.open(trained("mimn"), url) as other:
                other.ingest(events)

        with pytest.raises(ModelVersionError, match="users are behind"):
            refresh_model(Crowded(empty, write), served, [once(events[:100])])
        refresh_model(empty, served, [once(events)])
        assert center_stats(empty).events == len(events)


def interrupted_at_each_commit(store: Store, work: Callable[[Store], object]) -> Iterator[None]:
    """Interrupt ``work`` at its first commit, then at its second, and so on."""
    for commits in range(1000):
        with suppress(StoreAwayError):
            work(Failing(store, commits))
            return
        yield
        locks = [lock_key(name) for name in (WRITE_PAUSE, MAINTENANCE)]  # Their holder has died.
        store.commit(dict.fromkeys(locks), clock=store.view([]).clock)


def test_an_interrupted_restore_is_atomic(
    trained: Callable[..., Path], events: list[dict[str, Any]], tmp_path: Path
) -> None:
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        center.ingest(events[:400])
        path, snapshot = take_snapshot(center.store, tmp_path), contents(center.store)
        center.ingest(events)
        latest, num_unchanged = contents(center.store), 0
        for _ in interrupted_at_each_commit(center.store, partial(restore_snapshot, path=path)):
            current = contents(center.store)
            assert current in (latest, snapshot)
            assert center.score(1, [1]).known
            num_unchanged += current == latest
        assert num_unchanged > 5
        assert contents(center.store) == snapshot
        assert len(generations(center.store)) == 1


def test_an_interrupted_refresh_serves_either_model(
    trained: Callable[..., Path], events: list[dict[str, Any]], tmp_path: Path
) -> None:
    served = ServedModel.load(trained("mimn", seed=3))
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        center.ingest(events)
        latest, old = contents(center.store), center.model_version
        for _ in interrupted_at_each_commit(
            center.store,
            lambda store: (
                center.model_version == old and refresh_model(store, served, [once(events)])
            ),
        ):
            if center.score(1, [1]).model_version == old:
                assert contents(center.store) == latest
        assert center.score(1, [1]).model_version == served.version_text
        new = contents(center.store)
    with Center.open(trained("mimn", seed=3), f"lmdb:{tmp_path / 'clean'}") as clean:
        clean.ingest(events)
        assert new == contents(clean.store)


def test_statistics_cover_users_events_likes_and_bytes(
    center: Center, events: list[dict[str, Any]]
) -> None:
    center.ingest(events)
    stats = center.stats()
    assert (stats.users, stats.events) == (60, len(events))
    assert stats.liked == sum(event["rating"] >= 4 for event in events)
    assert stats.store_bytes > 60 * 2000
    assert len(list(center.store.scan([users_prefix(1)]))) == 60
    assert len(list(center.store.scan([items_prefix(1)]))) == len({e["item_id"] for e in events})
