"""Batches from blocks of examples: shuffling, grouping by length, worker threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeAlias

import numpy as np

from recops_models.data.histories import Int64Array
from recops_models.data.prefetch import ordered_map
from recops_models.examples.batch import Batch
from recops_models.examples.compact import IndexArray, index_type
from recops_models.workers import ALL, BatchShare


class Lengths(Protocol):
    """Length of the longest sequence of each of N examples, such as an array ``[N]``."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Int64Array, /) -> Int64Array: ...


class ExampleRows(Protocol):
    """N examples from which batches are taken, such as a block.

    Attributes:
        lengths: length of each example's longest sequence.
        run: ``[N]``, run of each example, see :class:`~recops_models.examples.block.Block`; None:
            there are no runs.
    """

    @property
    def lengths(self) -> Lengths: ...

    @property
    def run(self) -> Int64Array | None: ...

    def __len__(self) -> int: ...

    def batch(self, rows: Int64Array) -> Batch:
        """Return the examples ``rows [B]``, in that order."""
        ...


BlockRows: TypeAlias = tuple[ExampleRows, Int64Array]
"""Examples, and the rows of one batch in them."""

_WINDOW = 64


class Source(Protocol):
    """Examples that can be read repeatedly.

    Attributes:
        num_examples: number of examples; None if unknown before reading.
    """

    @property
    def num_examples(self) -> int | None: ...

    def batches(
        self,
        batch: int,
        *,
        seed: int | None,
        epoch: int = 0,
        skip: int = 0,
        workers: int = 0,
        share: BatchShare = ALL,
    ) -> Iterator[Batch]:
        """Yield all examples once in batches of ``batch``; the last batch may be smaller.

        Args:
            batch: B.
            seed: seed of the shuffle, together with ``epoch``; examples of similar length are
                batched together. None keeps the order of the examples.
            epoch: number of the pass, from 0.
            skip: number of batches to skip; the following ones do not change.
            workers: threads that prepare batches in advance. Batches do not depend on it.
            share: part of the rows of each batch to yield. All shares have the same number of
                batches, some of which may be empty, and together have each example once.

        Raises:
            ValueError: ``batch`` is not positive, or another number is negative.
        """
        ...


class MappedSource:
    """Batches of another source, each changed by a function.

    Args:
        source: the other source.
        change: function of a batch; the new batch has the same examples.
    """

    def __init__(self, source: Source, change: Callable[[Batch], Batch]) -> None:
        self._source, self._change = source, change

    @property
    def num_examples(self) -> int | None:
        """See :class:`Source`."""
        return self._source.num_examples

    def batches(
        self,
        batch: int,
        *,
        seed: int | None,
        epoch: int = 0,
        skip: int = 0,
        workers: int = 0,
        share: BatchShare = ALL,
    ) -> Iterator[Batch]:
        """See :class:`Source`."""
        batches = self._source.batches(
            batch, seed=seed, epoch=epoch, skip=skip, workers=workers, share=share
        )
        return map(self._change, batches)


class MemorySource:
    """Examples in memory.

    Args:
        num_examples: N.
        block: returns the examples of a pass for ``(seed, epoch)``; it may draw new negatives.
    """

    def __init__(self, num_examples: int, block: Callable[[int | None, int], ExampleRows]) -> None:
        self._num_examples = num_examples
        self._block = block

    @classmethod
    def of(cls, block: ExampleRows) -> MemorySource:
        """Return the examples of ``block``, the same ones in every pass."""
        return cls(len(block), lambda *_: block)

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return self._num_examples

    def batches(
        self,
        batch: int,
        *,
        seed: int | None,
        epoch: int = 0,
        skip: int = 0,
        workers: int = 0,
        share: BatchShare = ALL,
    ) -> Iterator[Batch]:
        """Yield all examples in batches; see :class:`Source`."""
        check_batches(batch, epoch, skip)
        block = self._block(seed, epoch)
        rng = None if seed is None else np.random.default_rng((seed, epoch))
        cuts = cut(block.lengths, batch, rng, block.run)
        return gather(((block, rows) for rows in cuts), skip, workers, share)


def check_batches(batch: int, epoch: int, skip: int) -> None:
    """Check the arguments of :meth:`Source.batches`."""
    if batch < 1:
        raise ValueError(f"batches: batch must be 1 or more, got {batch}")
    for name, value in (("epoch", epoch), ("skip", skip)):
        if value < 0:
            raise ValueError(f"batches: {name} must be 0 or more, got {value}")


def cut(
    lengths: Lengths,
    batch: int,
    rng: np.random.Generator | None,
    run: Int64Array | None = None,
) -> Iterator[Int64Array]:
    """Yield the rows of each batch; only the last batch may have fewer than ``batch`` rows.

    Rows are shuffled. Then windows of 64 batches are sorted by length and cut into batches, which
    are shuffled. A batch therefore has similar lengths and little padding, but random rows.

    Rows of one run stay together: runs are shuffled, and sorted by their longest row. A run that
    exceeds the room left in a batch continues in the next one.

    Args:
        lengths: ``[N]``, lengths of the examples.
        batch: B.
        rng: generator of the shuffle; None keeps the order of rows, or of runs.
        run: ``[N]``, run of each row, from 0; None: no runs.
    """
    order = _order(len(lengths), rng, run)
    if rng is None:
        for start in range(0, len(order), batch):
            yield order[start : start + batch].astype(np.int64)
        return
    if run is not None:
        longest = np.zeros(run.max(initial=-1) + 1, dtype=np.int64)
        np.maximum.at(longest, run, lengths[np.arange(len(lengths))])
        lengths = longest[run]
    for start in range(0, len(order), _WINDOW * batch):
        window = order[start : start + _WINDOW * batch].astype(np.int64)
        full = len(window) // batch * batch
        short = window[full:]
        window = window[:full]
        window = window[np.argsort(lengths[window], kind="stable")].reshape(-1, batch)
        yield from rng.permutation(window)
        if len(short):
            yield short


def _order(rows: int, rng: np.random.Generator | None, run: Int64Array | None) -> IndexArray:
    if run is None:
        order = np.arange(rows, dtype=index_type(rows))
        if rng is not None:
            rng.shuffle(order)
        return order
    runs = int(run.max(initial=-1)) + 1
    rank = np.arange(runs) if rng is None else rng.permutation(runs)
    return np.argsort(rank[run], kind="stable")


def gather(
    cuts: Iterable[BlockRows], skip: int, workers: int, share: BatchShare = ALL
) -> Iterator[Batch]:
    """Yield the batches of ``cuts``, without the first ``skip``; of each, the rows of ``share``."""
    return ordered_map(
        lambda each: each[0].batch(share.of(each[1])), islice(cuts, skip, None), workers=workers
    )
