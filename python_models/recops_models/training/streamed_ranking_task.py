"""Training of rankers on histories that are streamed from Parquet files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import chain
from typing import TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from recops_models import workers
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.splits import SplitName
from recops_models.evaluation.beyond_accuracy import BeyondAccuracy
from recops_models.evaluation.metrics import RANKING_METRICS
from recops_models.evaluation.streamed_ranking import StreamedEvaluation, evaluate_pieces
from recops_models.examples.sequence_dataset import SequenceDataset
from recops_models.examples.sequence_reader import HeldOutPiece
from recops_models.examples.sequence_source import BUFFER_BYTES, HistoryBuffer, SequenceSource
from recops_models.generative.ranker import Ranker, Recommender
from recops_models.generative.windows import Windows, items_at, window_batches
from recops_models.training.device import array
from recops_models.training.next_item_task import next_item_loss
from recops_models.training.task import BatchT, RecommenderTask

RankerT = TypeVar("RankerT", bound=Ranker)

_GROUPS = 1
"""Third part of the seed that orders row groups."""


class StreamedRankingTask(RecommenderTask[RankerT, BatchT]):
    """Prediction of the next item among the whole catalogue, on windows of streamed histories.

    Each epoch draws the order of row groups, the cuts and the order of the windows within a buffer,
    and the seed of dropout, from ``(seed, epoch)``. If one buffer holds all rows, and the file has
    one row group, the batches are those of the same histories in memory.

    Args:
        dataset: the catalogue and the files.
        split: must be None: the files are split already.
        validation_users: at most this many rows choose the best epoch; None: all.
        events: event columns to read.
        buffer_bytes: see :class:`~recops_models.examples.sequence_source.SequenceSource`.

    Attributes:
        num_items: size of the catalogue, N.
        num_sequences: number of valid training rows.
        num_events: number of their events.

    Raises:
        DataError: a file has no valid row, or lacks an event column.
        ValueError: ``split`` is given.
    """

    dataset: SequenceDataset

    def __init__(
        self,
        dataset: SequenceDataset,
        split: SplitName | None = None,
        validation_users: int | None = None,
        *,
        events: tuple[str, ...] = (),
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        if split is not None:
            raise ValueError(f"{dataset.name} is already split: leave out the split {split}")
        self.name, self.dataset, self.split = dataset.name, dataset, "given"
        self.num_items = dataset.items.num_rows
        self._readers = {part: dataset.reader(part, events) for part in dataset.files}
        counts = {part: reader.counts() for part, reader in self._readers.items()}
        self.num_sequences, self.num_events = counts["train"].sequences, counts["train"].events
        self.notes = tuple(note for each in counts.values() for note in each.notes)
        self._source = SequenceSource(self._readers["train"], buffer_bytes)
        self._epoch_rows = _sample(counts["validation"].sequences, validation_users)

    @property
    def metrics(self) -> tuple[str, ...]:
        return RANKING_METRICS

    def start_epoch(
        self, model: RankerT, size: int, *, seed: int, epoch: int, skip: int
    ) -> tuple[int, Iterator[tuple[float, BatchT]]]:
        """See :meth:`Task.start_epoch`; skipped batches are also read."""
        rng = np.random.default_rng((seed, epoch))
        order = np.random.default_rng((seed, epoch, _GROUPS))
        buffers = filter(_has_targets, self._source.buffers(model.window, order))
        first = next(buffers, None)
        if first is None:
            raise ValueError(
                f"{self.name}: at least one training row must have two items, got none: there is "
                "nothing to learn from"
            )
        cut = (first, window_batches(first.histories, model.window, size, rng))
        # As for histories in memory, the seed is drawn after the windows.
        torch_seed = int(rng.integers(2**63))
        others = (
            (buffer, window_batches(buffer.histories, model.window, size, rng))
            for buffer in buffers
        )
        return torch_seed, self._batches(chain([cut], others), size, skip)

    @abstractmethod
    def maker(self, buffer: HistoryBuffer) -> Callable[[Tensor], BatchT]:
        """Return the function from the events ``[W, T + 1]`` of windows to the batch; −1: none."""

    def evaluate(self, model: RankerT) -> dict[str, float]:
        pieces = self._readers["validation"].examples(self._epoch_rows)
        return self._evaluated(model, map(_own, pieces)).metrics

    def evaluation(
        self, model: nn.Module, part: str, beyond: BeyondAccuracy | None = None
    ) -> StreamedEvaluation:
        """Return the ranks of ``model`` on ``"validation"`` or ``"test"``.

        Args:
            model: a recommender.
            part: the part.
            beyond: also receives the lists.
        """
        assert isinstance(model, Recommender)
        return self._evaluated(model, self._readers[part].examples(), beyond)

    def measure(self, model: nn.Module, part: str) -> tuple[dict[str, float], pa.Table]:
        """See :meth:`RecommenderTask.measure`; predictions have the user ids of the file."""
        users: list[pa.Array] = []

        def pieces() -> Iterator[HeldOutPiece]:
            for piece in self._readers[part].examples():
                users.append(piece.users)
                yield piece

        assert isinstance(model, Recommender)
        evaluation = self._evaluated(model, pieces())
        columns = {"user": pa.chunked_array(users), "rank": array(evaluation.ranks)}
        return evaluation.metrics, pa.table(columns)

    def histories(self) -> Iterator[Histories]:
        """Yield the training histories, buffer by buffer."""
        return (buffer.histories for buffer in self._source.buffers())

    @cached_property
    def item_counts(self) -> Tensor:
        """Training events of each item, ``[N]`` i64."""
        counts = np.zeros(self.num_items, dtype=np.int64)
        for histories in self.histories():
            counts += np.bincount(histories.items, minlength=self.num_items)
        return torch.from_numpy(counts)

    def _batches(
        self, cuts: Iterator[tuple[HistoryBuffer, list[Tensor]]], size: int, skip: int
    ) -> Iterator[tuple[float, BatchT]]:
        """Yield this worker's share of each batch from number ``skip`` on."""
        number = 0
        for buffer, batches in cuts:
            windows, make = sum(map(len, batches)), self.maker(buffer)
            for index, rows in enumerate(batches):
                if number >= skip:
                    progress = buffer.start + buffer.share * min(1.0, index * size / windows)
                    yield progress, make(workers.share().of(rows))
                number += 1

    def _evaluated(
        self,
        model: Recommender,
        pieces: Iterator[HeldOutPiece],
        beyond: BeyondAccuracy | None = None,
    ) -> StreamedEvaluation:
        """Return the ranks of ``model`` on some examples."""
        examples = (piece.examples for piece in pieces)
        exclude_seen = self.dataset.repeats == "drop"
        return evaluate_pieces(
            model, examples, self.num_items, exclude_seen=exclude_seen, beyond=beyond
        )


class StreamedNextItemTask(StreamedRankingTask[Ranker, Windows]):
    """Next-item prediction; see :class:`~recops_models.training.next_item_task.NextItemTask`."""

    def maker(self, buffer: HistoryBuffer) -> Callable[[Tensor], Windows]:
        return lambda rows: Windows.of(items_at(buffer.histories, rows))

    def loss(self, model: Ranker, batch: Windows) -> tuple[Tensor, int]:
        return next_item_loss(model, batch)


def _sample(number: int, most: int | None) -> Int64Array | None:
    """Return the rows of :meth:`Examples.some`; None: all."""
    if most is None or most >= number:
        return None
    return np.sort(np.random.default_rng(0).permutation(number)[:most])


def _own(piece: HeldOutPiece) -> HeldOutPiece:
    """Return this worker's share of held-out rows."""
    if not workers.several():
        return piece
    rows = workers.share().of(np.arange(len(piece.users)))
    users = piece.users.take(pa.array(rows))
    return HeldOutPiece(users, piece.examples.take(rows), piece.events)


def _has_targets(buffer: HistoryBuffer) -> bool:
    return bool((buffer.histories.lengths > 1).any())
