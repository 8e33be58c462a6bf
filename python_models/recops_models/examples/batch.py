"""What a click model sees at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """B examples.

    Attributes:
        features: by name. Categorical ``[B]`` i64, rows of its table; numeric ``[B]`` f32;
            vector ``[B, size]`` f32; sequence ``[B, T]`` i64, oldest first, right-padded with 0,
            where T is the longest in the batch, at least 1.
        lengths: ``[B]`` i64 for every sequence, by its name; 0 where a history is empty.
        label: ``[B]`` f32, 0 or 1.
        group: ``[B]`` i64, the user.
        begun_by: ``[B]`` i64 for a sequence, by its name: the row, which may be its own, whose
            events begin with all of its events. None where nobody knows of any.
    """

    features: dict[str, Tensor]
    lengths: dict[str, Tensor]
    label: Tensor
    group: Tensor
    begun_by: dict[str, Tensor] | None = None

    def split(self, size: int) -> Iterator[Batch]:
        """``size`` examples at a time, in order, as views; of none there is one batch, of none.

        Raises:
            ValueError: histories are begun by others, which would be torn apart.
        """
        if self.begun_by is not None:
            raise ValueError("Batch.split: begun_by must be None")
        for start in range(0, max(len(self.label), 1), size):
            part = slice(start, start + size)
            yield Batch(
                {name: tensor[part] for name, tensor in self.features.items()},
                {name: tensor[part] for name, tensor in self.lengths.items()},
                self.label[part],
                self.group[part],
            )

    def to(self, device: str) -> Batch:
        """The same on another device."""
        return Batch(
            {name: tensor.to(device) for name, tensor in self.features.items()},
            {name: tensor.to(device) for name, tensor in self.lengths.items()},
            self.label.to(device),
            self.group.to(device),
            self.begun_by and {name: tensor.to(device) for name, tensor in self.begun_by.items()},
        )
