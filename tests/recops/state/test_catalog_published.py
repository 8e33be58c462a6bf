"""Versions of SidCatalog that are published to a device."""

from __future__ import annotations

import re
import threading
from typing import Any, Self

import pytest
import torch
from torch import Tensor

import recops
from recops.state import _published
from recops.state._published import PublishedTries


def catalog_of(*ids: int) -> recops.SidCatalog:
    catalog = recops.SidCatalog([50, 2])
    catalog.insert(list(ids), [[i % 50, i % 2] for i in ids])
    return catalog


def test_readers_get_the_version_that_was_published_last() -> None:
    catalog = catalog_of(1, 2)
    assert catalog.publish("cpu") == 1
    first = catalog.published("cpu")
    catalog.remove([1])
    assert catalog.published("cpu") is first
    assert catalog.publish("cpu") == 2
    assert catalog.published("cpu").item_ids.tolist() == [2]
    assert first.item_ids.tolist() == [1, 2]
    catalog.rollback(1)
    assert catalog.publish("cpu") == 1
    assert torch.equal(catalog.published("cpu").first_child, first.first_child)


def test_a_version_is_published_once() -> None:
    catalog = catalog_of(1)
    catalog.publish("cpu")
    first = catalog.published("cpu")
    catalog.publish(torch.device("cpu"))
    assert catalog.published("cpu") is first


def test_a_reader_of_an_unpublished_device_gets_an_error() -> None:
    with pytest.raises(ValueError, match=re.escape("device must be one of SidCatalog.publish")):
        catalog_of(1).published("cpu")
    with pytest.raises(TypeError, match="device must be a device or its name"):
        catalog_of(1).publish(0)  # type: ignore[arg-type]


def test_publishers_in_many_threads_leave_the_newest_version() -> None:
    catalog = catalog_of(0)
    catalog.publish("cpu")
    versions: list[int] = []

    def change(first: int) -> None:
        for i in range(first, first + 40):
            catalog.insert([i], [[i % 50, i % 2]])
            catalog.publish("cpu")

    def read() -> None:
        while len(versions) < 500:
            versions.append(catalog.published("cpu").version)

    threads = [threading.Thread(target=change, args=(first,)) for first in (100, 200)]
    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == sorted(versions)
    assert catalog.published("cpu").version == catalog.version == 81


class _Stream:
    """A stream that records what happens on it."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log, self._name = log, name

    def __enter__(self) -> Self:
        self._log.append(f"enter {self._name}")
        return self

    def __exit__(self, *_: object) -> None:
        self._log.append(f"leave {self._name}")

    def record_event(self) -> str:
        self._log.append(f"record on {self._name}")
        return f"event of {self._name}"

    def wait_event(self, event: str) -> None:
        self._log.append(f"{self._name} waits for {event}")


def test_a_gpu_copy_is_ordered_before_its_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams are doubles, and the copies stay on the CPU."""
    log: list[str] = []
    side, reader = _Stream(log, "side"), _Stream(log, "reader")
    lasting: list[tuple[Tensor, Any]] = []

    def pinned(tensor: Tensor) -> Tensor:
        log.append("pin")
        return tensor.clone()

    monkeypatch.setattr(_published, "_WITH_STREAMS", ("cpu",))
    monkeypatch.setattr(torch, "Stream", lambda device: side)
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda device: reader)
    monkeypatch.setattr(Tensor, "pin_memory", pinned)
    monkeypatch.setattr(Tensor, "record_stream", lambda *pair: lasting.append(pair))
    tries = PublishedTries(torch.device("cpu"))
    assert tries.latest() is None
    trie = catalog_of(1, 2, 3).snapshot()
    tries.publish(1, trie)
    assert log == ["enter side", *["pin"] * 6, "record on side", "leave side"]
    latest = tries.latest()
    assert log[-1] == "reader waits for event of side"
    assert latest is not None
    assert latest is not trie
    assert [stream for _, stream in lasting] == [reader] * 6
    assert latest._known_starts == trie._known_starts is not None
    assert torch.equal(latest.item_ids, trie.item_ids)


@pytest.mark.cuda
def test_publishing_waits_for_no_search() -> None:
    catalog = catalog_of(*range(40))
    catalog.publish("cuda")  # the first copy allocates
    catalog.remove([3])
    torch.cuda.synchronize()
    torch.cuda._sleep(2_000_000_000)
    search = torch.cuda.current_stream().record_event()
    catalog.publish("cuda")
    trie = catalog.published("cuda")
    assert not search.query()
    assert torch.equal(trie.item_ids.cpu(), catalog.snapshot().item_ids)
