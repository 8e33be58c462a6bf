"""Click examples as flat arrays, from which batches are gathered without a loop over rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recops_models.data.histories import AnyArray, Int64Array
from recops_models.examples.batch import Batch


@dataclass(frozen=True, eq=False)
class Column:
    """One value per example.

    Attributes:
        values: ``[N]`` or ``[N, size]``; with ``index``, one entry per item or user instead.
        index: ``[N]`` i64, the entry of each example; None if entry n belongs to example n.
    """

    values: AnyArray
    index: Int64Array | None = None

    def take(self, rows: Int64Array) -> AnyArray:
        """Return the values of the examples ``rows``."""
        result: AnyArray = self.values[rows if self.index is None else self.index[rows]]
        return result


@dataclass(frozen=True, eq=False)
class Ragged:
    """Sequences of one history for N examples, as ranges of shared arrays.

    Example n reads entries ``[ends[n] - lengths[n], ends[n])``. The ranges of one user's examples
    overlap, so that a history is stored once::

        values   a0 a1 a2 a3 a4 b0 b1
        example 0   |-----|                user a, 2 events
        example 1   |--------|             user a, 3 events
        example 2               |--|       user b, 1 event

    Attributes:
        ends: ``[N]`` i64.
        lengths: ``[N]`` i64.
        values: feature name → ``[E]``, rows of the feature's embedding table; ``[E, L]`` for lists.
    """

    ends: Int64Array
    lengths: Int64Array
    values: dict[str, NDArray[np.integer[Any]]]

    def prefix_of(self, rows: Int64Array) -> Int64Array:
        """Return, for each of ``rows``, the position ``[B]`` in ``rows`` of the longest sequence
        with the same start.
        """
        lengths = self.lengths[rows]
        _, begin = np.unique(self.ends[rows] - lengths, return_inverse=True)
        longest = np.empty(begin.max(initial=-1) + 1, dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        longest[begin[order]] = order  # The last write, of the longest sequence, wins.
        return longest[begin]

    def pad(self, rows: Int64Array) -> tuple[dict[str, Int64Array], Int64Array]:
        """Return padded values per feature, ``[B, T]`` or ``[B, T, L]`` i64, and lengths ``[B]``.

        Rows are padded on the right with 0; T is at least 1.
        """
        lengths = self.lengths[rows]
        column = np.arange(max(1, int(lengths.max(initial=0))))
        inside = column < lengths[:, None]
        index = (self.ends[rows] - lengths)[:, None] + column
        # Clipping and masking is faster than filtering or padding the indices.
        return {
            name: np.multiply(
                values.take(index, axis=0, mode="clip"),
                inside.reshape(*index.shape, *(1,) * (values.ndim - 1)),
                dtype=np.int64,
            )
            if len(values)
            else np.zeros((*index.shape, *values.shape[1:]), dtype=np.int64)
            for name, values in self.values.items()
        }, lengths

    @classmethod
    def concatenate(cls, parts: list[Ragged]) -> Ragged:
        """Concatenate the examples of several parts with the same features."""
        shifts = np.cumsum([0, *(len(next(iter(part.values.values()))) for part in parts)])
        return cls(
            np.concatenate([part.ends + shift for part, shift in zip(parts, shifts, strict=False)]),
            np.concatenate([part.lengths for part in parts]),
            {
                name: np.concatenate([part.values[name] for part in parts])
                for name in parts[0].values
            },
        )

    def take(self, rows: Int64Array) -> Ragged:
        """Return the sequences of the examples ``rows``, with a copy of only their values."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        source = np.arange(lengths.sum()) + np.repeat(self.ends[rows] - ends, lengths)
        return Ragged(ends, lengths, {name: values[source] for name, values in self.values.items()})


@dataclass(frozen=True, eq=False)
class Block:
    """N click examples in memory.

    Attributes:
        columns: feature name → values, for all features except sequences.
        sequences: the sequences, one entry per history.
        label: ``[N]`` f32.
        group: ``[N]`` i64, the user.
        run: ``[N]`` i64 or None. Examples of one run have histories with the same start. They are
            batched together, and their batches have ``prefix_of``.
        weight: ``[N]`` f32, weight of each example in the training loss; None: 1.
    """

    columns: dict[str, Column]
    sequences: tuple[Ragged, ...]
    label: NDArray[np.float32]
    group: Column
    run: Int64Array | None = None
    weight: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def lengths(self) -> Int64Array:
        """Length ``[N]`` of each example's longest sequence."""
        longest = np.zeros(len(self), dtype=np.int64)
        for ragged in self.sequences:
            np.maximum(longest, ragged.lengths, out=longest)
        return longest

    @property
    def nbytes(self) -> int:
        """Size in bytes of all arrays, including entries shared with other blocks."""
        values = [self.label, *(column.values for column in (*self.columns.values(), self.group))]
        values += [array for array in (self.run, self.weight) if array is not None]
        for ragged in self.sequences:
            values += [ragged.ends, ragged.lengths, *ragged.values.values()]
        return sum(array.nbytes for array in values)

    @classmethod
    def concatenate(cls, blocks: list[Block]) -> Block:
        """Concatenate at least one block of one schema.

        Several blocks must have columns without ``index``, no ``run`` and no ``weight``.
        """
        if len(blocks) == 1:
            return blocks[0]
        first = blocks[0]
        return cls(
            {
                name: Column(np.concatenate([block.columns[name].values for block in blocks]))
                for name in first.columns
            },
            tuple(
                Ragged.concatenate([block.sequences[index] for block in blocks])
                for index in range(len(first.sequences))
            ),
            np.concatenate([block.label for block in blocks]),
            Column(np.concatenate([block.group.values for block in blocks])),
        )

    def take(self, rows: Int64Array) -> Block:
        """Return a block with a copy of the examples ``rows``, without runs."""
        return Block(
            {name: Column(column.take(rows)) for name, column in self.columns.items()},
            tuple(ragged.take(rows) for ragged in self.sequences),
            self.label[rows],
            Column(self.group.take(rows)),
            weight=None if self.weight is None else self.weight[rows],
        )

    def batch(self, rows: Int64Array) -> Batch:
        """Return the examples ``rows [B]``, in that order. O(B · T) per sequence."""
        features = {name: _tensor(column.take(rows)) for name, column in self.columns.items()}
        lengths = {}
        prefix_of: dict[str, torch.Tensor] | None = None if self.run is None else {}
        for ragged in self.sequences:
            padded, length = ragged.pad(rows)
            for name, values in padded.items():
                features[name] = torch.from_numpy(values)
                lengths[name] = torch.from_numpy(length)
            if prefix_of is not None:
                longest = torch.from_numpy(ragged.prefix_of(rows))
                prefix_of |= dict.fromkeys(ragged.values, longest)
        label, group = _tensor(self.label[rows]), _tensor(self.group.take(rows))
        weight = None if self.weight is None else _tensor(self.weight[rows])
        return Batch(features, lengths, label, group, prefix_of, weight=weight)


def _tensor(values: AnyArray) -> torch.Tensor:
    if np.issubdtype(values.dtype, np.integer):
        values = values.astype(np.int64, copy=False)
    return torch.from_numpy(values)
