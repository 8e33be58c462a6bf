"""Users' states as bytes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic

import numpy as np
import torch

from recops_models.click.memory import MemoryModel, MemoryStateT


class StateLayout(Generic[MemoryStateT]):
    """How the states of a model lie in bytes.

    The floating tensors of a row follow each other in the order of ``state_dict()``, float32,
    little-endian, row-major; the counter, which every state has, is kept beside them.

    Args:
        model: whose states they are.
    """

    def __init__(self, model: MemoryModel[MemoryStateT]) -> None:
        with torch.no_grad():
            self._one: MemoryStateT = model.begin(1)
        self._shapes: dict[str, torch.Size] = {
            name: tensor.shape[1:]
            for name, tensor in self._one.state_dict().items()
            if name != "count"
        }
        self._sizes = [int(np.prod(shape)) for shape in self._shapes.values()]
        self.empty, _ = self.pack(self._one)[0]

    @property
    def num_bytes(self) -> int:
        """Of a state, without its counter."""
        return 4 * sum(self._sizes)

    def pack(self, pool: MemoryStateT) -> list[tuple[bytes, int]]:
        """Of each row its bytes and its counter."""
        tensors = pool.state_dict()
        flat = torch.cat([tensors[name].flatten(1) for name in self._shapes], 1)
        rows: np.ndarray[tuple[int, int], np.dtype[np.float32]] = flat.numpy().astype("<f4")
        counts: list[int] = tensors["count"].tolist()
        return [(row.tobytes(), count) for row, count in zip(rows, counts, strict=True)]

    def unpack(self, rows: Sequence[tuple[bytes, int]]) -> MemoryStateT:
        """The pool whose :meth:`pack` gave ``rows``, each of :attr:`num_bytes`."""
        joined = np.frombuffer(bytearray(b"".join(row for row, _ in rows)), dtype="<f4")
        flat = torch.from_numpy(joined.astype(np.float32, copy=False)).view(len(rows), -1)
        parts = flat.split(self._sizes, 1)
        tensors = {
            name: part.reshape(len(rows), *shape).contiguous()
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }
        counts = torch.tensor([count for _, count in rows], dtype=torch.int64)
        made: MemoryStateT = replace(self._one, **tensors, count=counts)
        return made
