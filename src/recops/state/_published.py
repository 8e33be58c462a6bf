"""Tries on a device, which a side stream fills while kernels run on other streams."""

from __future__ import annotations

from dataclasses import fields
from threading import Lock

import torch
from torch import Tensor

from recops.state._holder import map_tensors
from recops.state.trie import SidTrie

_WITH_STREAMS = ("cuda", "xpu")


class PublishedTries:
    """Latest trie of a catalogue on one device, for one or more publishers and many readers.

    On a GPU the copy is asynchronous: from pinned memory, on a stream of its own. A reader's stream
    waits for the copy on the GPU, and the host does not. Earlier tries stay valid until their last
    reader has released them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.Stream(device) if device.type in _WITH_STREAMS else None
        self._latest: tuple[int, SidTrie, torch.Event | None] | None = None
        self.lock = Lock()
        """Held by a publisher, never by a reader."""

    @property
    def version(self) -> int | None:
        """Version of the latest trie, None before the first; known without reading the device."""
        return None if self._latest is None else self._latest[0]

    def publish(self, version: int, trie: SidTrie) -> None:
        """Start to copy a trie in host memory, and make it the latest."""
        trie.level_starts()  # Read on the host, so that no reader waits for the device.
        if self._stream is None:
            self._latest = version, trie.to(self._device), None
            return
        with self._stream:
            copies = map_tensors(trie, self._copied)
            ready = self._stream.record_event()
        object.__setattr__(copies, "_known_starts", trie._known_starts)
        self._latest = version, copies, ready

    def latest(self) -> SidTrie | None:
        """Return the latest trie, for work on the current stream; None before the first."""
        latest = self._latest
        if latest is None:
            return None
        _, trie, ready = latest
        if ready is not None:
            stream = torch.accelerator.current_stream(self._device)
            stream.wait_event(ready)
            # The allocator must not reuse the memory before this stream has passed.
            for field in fields(trie):
                value = getattr(trie, field.name)
                if isinstance(value, Tensor):
                    value.record_stream(stream)
        return trie

    def _copied(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(self._device, non_blocking=True)
