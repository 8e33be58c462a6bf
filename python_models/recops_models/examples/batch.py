"""Batch of click examples, the input of every click model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

CLICK = "click"
"""Name of the label of every example."""


def task_feature(task: str) -> str:
    """Return the batch feature with the labels ``[B]`` f32 of a task other than :data:`CLICK`."""
    return f"task:{task}"


class Batch(NamedTuple):
    """B examples.

    Attributes:
        features: feature name → values. Categorical: ``[B]`` i64, rows of the feature's table.
            Numeric: ``[B]`` f32. Vector: ``[B, size]`` f32. Sequence: ``[B, T]`` i64, oldest first,
            right-padded with 0; T is the longest length in the batch, at least 1. A list of up to
            L values is one more dimension, right-padded with 0.
        lengths: sequence name → lengths ``[B]`` i64; 0 is an empty history.
        label: ``[B]`` f32, 0 or 1.
        group: ``[B]`` i64, the user.
        prefix_of: sequence name → ``[B]`` i64: the row whose sequence starts with this row's
            sequence; it may be the row itself. None if batches are not grouped by history.
        is_one_request: whether all rows are candidates for one user at one moment: the user's id,
            the user's features and all histories are the same in every row. Models then read them
            once. False is always correct.
        weight: ``[B]`` f32, weight of each row in the training loss, with mean 1 over all training
            examples; None: 1.
    """

    features: dict[str, Tensor]
    lengths: dict[str, Tensor]
    label: Tensor
    group: Tensor
    prefix_of: dict[str, Tensor] | None = None
    is_one_request: bool = False
    weight: Tensor | None = None

    def split(self, size: int) -> Iterator[Batch]:
        """Yield batches of ``size`` examples, in order, as views; an empty batch yields itself.

        Raises:
            ValueError: ``prefix_of`` is set; its rows may be in another part.
        """
        if self.prefix_of is not None:
            raise ValueError("Batch.split: prefix_of must be None")
        for start in range(0, max(len(self.label), 1), size):
            part = slice(start, start + size)
            yield self._replace(
                features={name: tensor[part] for name, tensor in self.features.items()},
                lengths={name: tensor[part] for name, tensor in self.lengths.items()},
                label=self.label[part],
                group=self.group[part],
                weight=None if self.weight is None else self.weight[part],
            )

    def to(self, device: str) -> Batch:
        """Return the batch on another device."""
        return self._replace(
            features={name: tensor.to(device) for name, tensor in self.features.items()},
            lengths={name: tensor.to(device) for name, tensor in self.lengths.items()},
            label=self.label.to(device),
            group=self.group.to(device),
            prefix_of=self.prefix_of
            and {name: tensor.to(device) for name, tensor in self.prefix_of.items()},
            weight=None if self.weight is None else self.weight.to(device),
        )
