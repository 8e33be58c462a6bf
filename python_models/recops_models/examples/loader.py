"""From blocks of examples to batches: order, length buckets, workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeAlias

import numpy as np

from recops_models.data.histories import Int64Array
from recops_models.examples.batch import Batch
from recops_models.examples.block import Block
from recops_models.examples.prefetch import ordered_map

BlockRows: TypeAlias = tuple[Block, Int64Array]
"""A batch to be: which rows of which block."""

_WINDOW = 64


class Source(Protocol):
    """Examples that can be read again and again.

    Attributes:
        num_examples: how many, None where that is not known before they are read.
    """

    @property
    def num_examples(self) -> int | None: ...

    def batches(
        self, batch: int, *, seed: int | None, epoch: int = 0, skip: int = 0, workers: int = 0
    ) -> Iterator[Batch]:
        """All examples once, ``batch`` at a time; the last batch holds what is left.

        Args:
            batch: B.
            seed: shuffles, together with ``epoch``, and puts examples of like length together;
                None keeps the examples' own order.
            epoch: which pass this is.
            skip: leave out so many batches: the rest are those that would have followed.
            workers: threads that gather ahead. The batches do not depend on their number.

        Raises:
            ValueError: ``batch`` is not positive, or another number is negative.
        """
        ...


class MemorySource:
    """Examples that fit into memory.

    Args:
        num_examples: N.
        block: the examples of a pass, by ``(seed, epoch)``. Sampled negatives are drawn anew there.
    """

    def __init__(self, num_examples: int, block: Callable[[int | None, int], Block]) -> None:
        self._num_examples = num_examples
        self._block = block

    @property
    def num_examples(self) -> int:
        """N."""
        return self._num_examples

    def batches(
        self, batch: int, *, seed: int | None, epoch: int = 0, skip: int = 0, workers: int = 0
    ) -> Iterator[Batch]:
        """See :class:`Source`."""
        check_batches(batch, epoch, skip)
        block = self._block(seed, epoch)
        rng = None if seed is None else np.random.default_rng((seed, epoch))
        cuts = cut(block.lengths, batch, rng, block.run)
        return gather(((block, rows) for rows in cuts), skip, workers)


def check_batches(batch: int, epoch: int, skip: int) -> None:
    """Refuse arguments of :meth:`Source.batches` that mean nothing."""
    if batch < 1:
        raise ValueError(f"batches: batch must be 1 or more, got {batch}")
    for name, value in (("epoch", epoch), ("skip", skip)):
        if value < 0:
            raise ValueError(f"batches: {name} must be 0 or more, got {value}")


def cut(
    lengths: Int64Array,
    batch: int,
    rng: np.random.Generator | None,
    run: Int64Array | None = None,
) -> Iterator[Int64Array]:
    """The rows of each batch: all rows once, the last of all batches the only short one.

    Rows are shuffled; windows of 64 batches are sorted by length, cut, and their batches shuffled.
    A batch so holds like lengths, and little padding, but rows from all over. Without ``rng``
    the rows stay in order. Runs are shuffled, and sorted by their longest, as single rows are, and
    without ``rng`` stand in the order of their numbers; a batch that is full ends a run.

    Args:
        lengths: ``[N]``.
        batch: B.
        rng: draws the order.
        run: ``[N]`` from 0, or None: whose rows stay together.
    """
    order = _order(len(lengths), rng, run)
    if rng is None:
        for start in range(0, len(order), batch):
            yield order[start : start + batch]
        return
    if run is not None:
        longest = np.zeros(run.max(initial=-1) + 1, dtype=np.int64)
        np.maximum.at(longest, run, lengths)
        lengths = longest[run]
    for start in range(0, len(order), _WINDOW * batch):
        window = order[start : start + _WINDOW * batch]
        full = len(window) // batch * batch
        short = window[full:]
        window = window[:full]
        window = window[np.argsort(lengths[window], kind="stable")].reshape(-1, batch)
        yield from rng.permutation(window)
        if len(short):
            yield short


def _order(rows: int, rng: np.random.Generator | None, run: Int64Array | None) -> Int64Array:
    if run is None:
        return np.arange(rows) if rng is None else rng.permutation(rows)
    runs = int(run.max(initial=-1)) + 1
    place = np.arange(runs) if rng is None else rng.permutation(runs)
    return np.argsort(place[run], kind="stable")


def gather(cuts: Iterable[BlockRows], skip: int, workers: int) -> Iterator[Batch]:
    """The batches of ``cuts``, from the ``skip``-th on."""
    return ordered_map(
        lambda each: each[0].batch(each[1]), islice(cuts, skip, None), workers=workers
    )
