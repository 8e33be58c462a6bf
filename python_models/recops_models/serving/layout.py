"""Serialization of user states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic

import numpy as np
import torch

from recops_models.click.memory import MemoryModel, MemoryStateT
from recops_models.training.device import device_of, to_device, to_host


class StateLayout(Generic[MemoryStateT]):
    """Byte layout of the states of a model.

    The floating-point tensors of one row are concatenated in the order of ``state_dict()``, as
    little-endian float32 in row-major order. The event counter is returned separately.

    Args:
        model: model that owns the states.

    Attributes:
        empty: bytes of the state of a user without events.
    """

    def __init__(self, model: MemoryModel[MemoryStateT]) -> None:
        with torch.no_grad():
            self._template: MemoryStateT = model.initial_state(1)
        self._device = device_of(model)
        self._shapes: dict[str, torch.Size] = {
            name: tensor.shape[1:]
            for name, tensor in self._template.state_dict().items()
            if name != "count"
        }
        self._sizes = [int(np.prod(shape)) for shape in self._shapes.values()]
        self.empty, _ = self.pack(self._template)[0]

    @property
    def num_bytes(self) -> int:
        """Bytes per state, without the counter."""
        return 4 * sum(self._sizes)

    def pack(self, pool: MemoryStateT) -> list[tuple[bytes, int]]:
        """Return the bytes and the counter of each row of ``pool``."""
        tensors = to_host(pool.state_dict())
        flat = torch.cat([tensors[name].flatten(1) for name in self._shapes], 1)
        rows: np.ndarray[tuple[int, int], np.dtype[np.float32]] = flat.numpy().astype("<f4")
        counts: list[int] = tensors["count"].tolist()
        return [(row.tobytes(), count) for row, count in zip(rows, counts, strict=True)]

    def unpack(self, rows: Sequence[tuple[bytes, int]]) -> MemoryStateT:
        """Return the pool whose :meth:`pack` gives ``rows``, each of :attr:`num_bytes` bytes.

        The pool is on the device of the model.
        """
        joined = np.frombuffer(bytearray(b"".join(row for row, _ in rows)), dtype="<f4")
        flat = torch.from_numpy(joined.astype(np.float32, copy=False)).view(len(rows), -1)
        parts = flat.split(self._sizes, 1)
        tensors = {
            name: part.reshape(len(rows), *shape).contiguous()
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }
        tensors["count"] = torch.tensor([count for _, count in rows], dtype=torch.int64)
        pool: MemoryStateT = replace(self._template, **to_device(tensors, self._device))
        return pool
