"""Batch of click examples, the input of every click model."""

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
        begun_by: by sequence, ``[B]`` i64: a row whose events start with all events of this row;
            it may be the row itself. None: unknown.
        is_one_request: whether all rows are candidates for one user at one moment: the user's id,
            the user's features and all histories are the same in every row. Models then read them
            once. False is always correct.
    """

    features: dict[str, Tensor]
    lengths: dict[str, Tensor]
    label: Tensor
    group: Tensor
    begun_by: dict[str, Tensor] | None = None
    is_one_request: bool = False

    def split(self, size: int) -> Iterator[Batch]:
        """Yield batches of ``size`` rows, in order, as views; an empty batch yields itself once.

        Raises:
            ValueError: ``begun_by`` is set; its rows may lie in another part.
        """
        if self.begun_by is not None:
            raise ValueError("Batch.split: begun_by must be None")
        for start in range(0, max(len(self.label), 1), size):
            part = slice(start, start + size)
            yield self._replace(
                features={name: tensor[part] for name, tensor in self.features.items()},
                lengths={name: tensor[part] for name, tensor in self.lengths.items()},
                label=self.label[part],
                group=self.group[part],
            )

    def to(self, device: str) -> Batch:
        """Return the batch on another device."""
        return self._replace(
            features={name: tensor.to(device) for name, tensor in self.features.items()},
            lengths={name: tensor.to(device) for name, tensor in self.lengths.items()},
            label=self.label.to(device),
            group=self.group.to(device),
            begun_by=self.begun_by
            and {name: tensor.to(device) for name, tensor in self.begun_by.items()},
        )
