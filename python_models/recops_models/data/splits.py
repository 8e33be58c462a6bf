"""Splits into train, validation and test: by each user's last events, by time, or by user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from recops_models.data.columns import parse_numbers
from recops_models.data.dataset import BLOCK, Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array

SplitName = Literal["leave-one-out", "global-time", "by-user"]

PARTS = ("train", "validation", "test")
"""Parts of a split that have targets."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Evaluation examples of a recommender: a user's history and the items to predict.

    Attributes:
        users: ``[E]`` i64, indices into ``dataset.user_vocabulary``.
        histories: E histories, all events before the evaluated part.
        targets: E histories, the events to predict: one per user after leave-one-out, at least one
            after a time split.
    """

    users: Int64Array
    histories: Histories
    targets: Histories

    def some(self, count: int | None) -> Examples:
        """Return at most ``count`` examples, sampled with a fixed seed; None returns all."""
        if count is None or count >= len(self.users):
            return self
        return self.take(np.sort(np.random.default_rng(0).permutation(len(self.users))[:count]))

    def take(self, rows: Int64Array) -> Examples:
        """Return the examples ``rows``."""
        return Examples(self.users[rows], self.histories.take(rows), self.targets.take(rows))

    def next_events(self) -> Examples:
        """Return the examples with only the first target of each."""
        return Examples(self.users, self.histories, self.targets.first())


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint parts of ``dataset.interactions``, each in time order.

    A user's ``train`` events are not later than their ``validation`` events, and those not later
    than their ``test`` events. ``context`` events appear only in histories: events of held-out
    users before their targets, or events before the training period.
    """

    dataset: Dataset
    train: pa.Table
    validation: pa.Table
    test: pa.Table
    context: pa.Table

    @classmethod
    def of(cls, dataset: Dataset, part: Int64Array) -> Split:
        """Return the split by ``part [E]``: 0 train, 1 validation, 2 test, 3 context."""
        tables = [dataset.interactions.filter(pa.array(part == index)) for index in range(4)]
        return cls(dataset, *tables)

    @property
    def is_in_order(self) -> bool:
        """True if the blocks of :meth:`event_blocks` are in the order of the interactions."""
        return False

    def num_events(self, part: str) -> int:
        """Return the number of events of ``"context"`` or one of :data:`PARTS`."""
        return int(getattr(self, part).num_rows)

    def event_blocks(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield columns of all events, in blocks: context, train, validation, test."""
        for part in ("context", *PARTS):
            table = getattr(self, part).select(list(columns))
            for start in range(0, table.num_rows, BLOCK):
                yield table.slice(start, BLOCK)

    def histories(self, part: str = "train") -> Histories:
        """Return all users' histories in one part, indexed by the data set's vocabularies."""
        return self._histories(getattr(self, part))

    def examples(self, part: str) -> Examples:
        """Return the examples of ``"validation"`` or ``"test"``.

        Histories hold train and context, and for ``"test"`` also validation. Users with an empty
        history are left out.
        """
        earlier = (self.validation,) if part == "test" else ()
        known = pa.concat_tables([self.train, self.context, *earlier])
        # Each user's parts are consecutive in time, so that concatenation keeps histories sorted.
        histories = self._histories(known)
        targets = self._histories(getattr(self, part))
        users = np.flatnonzero((histories.lengths > 0) & (targets.lengths > 0))
        return Examples(users, histories.take(users), targets.take(users))

    def _histories(self, table: pa.Table) -> Histories:
        return Histories.of(table, self.dataset.user_vocabulary, self.dataset.item_vocabulary)


class TimeSplit(Split):
    """Split at two rows of the interactions, whose tables are read when they are used."""

    @classmethod
    def at(cls, dataset: Dataset, validation: int, test: int) -> Self:
        """Return the split into train, validation and test.

        Args:
            dataset: the data set.
            validation: row of the first validation event.
            test: row of the first test event.
        """
        empty = dataset.event_schema.empty_table()
        split = cls(dataset, empty, empty, empty, empty)
        starts = (0, validation, test, dataset.num_events)
        vars(split)["_starts"] = dict(zip((*PARTS, "end"), starts, strict=True))
        for part in PARTS:
            del vars(split)[part]
        return split

    @cached_property
    def train(self) -> pa.Table:
        """See :class:`Split`."""
        return self._table("train", "validation")

    @cached_property
    def validation(self) -> pa.Table:
        """See :class:`Split`."""
        return self._table("validation", "test")

    @cached_property
    def test(self) -> pa.Table:
        """See :class:`Split`."""
        return self._table("test", "end")

    @property
    def is_in_order(self) -> bool:
        """See :attr:`Split.is_in_order`."""
        return "_starts" in vars(self)

    def num_events(self, part: str) -> int:
        """See :meth:`Split.num_events`."""
        if not self.is_in_order or part == "context":
            return super().num_events(part)
        starts = vars(self)["_starts"]
        following = dict(zip(PARTS, (*PARTS[1:], "end"), strict=True))[part]
        return int(starts[following] - starts[part])

    def event_blocks(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """See :meth:`Split.event_blocks`."""
        if not self.is_in_order:
            return super().event_blocks(columns)
        return self.dataset.event_blocks(columns)

    def _table(self, part: str, following: str) -> pa.Table:
        starts = vars(self)["_starts"]
        return self.dataset.interactions.slice(starts[part], starts[following] - starts[part])


def named_split(
    dataset: Dataset, name: SplitName | None = None, *, clock: bool = False
) -> tuple[SplitName, Split]:
    """Return the name of a split and the split of ``dataset``.

    None stands for ``"by-user"`` if the source marks held-out users, else for ``"global-time"`` if
    ``clock`` is set and times are in seconds, else for ``"leave-one-out"``.

    Raises:
        DataError: the data cannot be split this way.
        ValueError: no such split.
    """
    if name is None:
        if "held_out" in dataset.users.column_names:
            name = "by-user"
        else:
            name = "global-time" if clock and dataset.time == "seconds" else "leave-one-out"
    splits = {"leave-one-out": leave_one_out, "global-time": global_time, "by-user": by_user}
    if name not in splits:
        raise ValueError(f"named_split: no split {name!r}; available: {', '.join(splits)}")
    return name, splits[name](dataset)


def leave_one_out(dataset: Dataset) -> Split:
    """Split off each user's last event as test and the one before as validation.

    All other events are train, including all events of users with fewer than three.

    This is the protocol of the sequential-recommendation literature. It compares models fairly, but
    train events of one user may be later than test events of another. :func:`global_time` avoids
    this.
    """
    return leave_last(dataset, 1)


def leave_last(dataset: Dataset, number: int) -> Split:
    """Split off each user's last ``number`` events as test and the ``number`` before as validation.

    All other events are train, including all events of users with fewer than ``3 · number``.

    Raises:
        ValueError: ``number`` < 1.
    """
    if number < 1:
        raise ValueError(f"leave_last: number must be 1 or more, got {number}")
    user, counts, from_end = _event_positions(dataset)
    held_out = np.clip(2 - from_end // number, 0, 2)
    return Split.of(dataset, np.where(counts[user] >= 3 * number, held_out, 0))


def leave_last_share(dataset: Dataset, share: float = 0.1, least: int = 2) -> Split:
    """Split off a share of each user's last events as test and as many before as validation.

    Each part has ``k = max(least, ⌊share · n + ½⌋)`` of a user's n events. All other events are
    train, including all events of users with fewer than 3 k.

    Raises:
        ValueError: ``share`` outside (0, 1/3], or ``least`` < 1.
    """
    if not 0 < share <= 1 / 3:
        raise ValueError(f"leave_last_share: share must be in (0, 1/3], got {share}")
    if least < 1:
        raise ValueError(f"leave_last_share: least must be 1 or more, got {least}")
    user, counts, from_end = _event_positions(dataset)
    number = np.maximum(least, np.floor(share * counts + 0.5).astype(np.int64))
    held_out = np.clip(2 - from_end // number[user], 0, 2)
    return Split.of(dataset, np.where((counts >= 3 * number)[user], held_out, 0))


def global_time(dataset: Dataset, *, validation: float = 0.1, test: float = 0.1) -> Split:
    """Split the events by time: train first, then validation, then test.

    The times are quantiles of the event times. Events of the same second stay in one part, so the
    shares are approximate.

    Args:
        dataset: a data set with times in seconds.
        validation: share of the events.
        test: share of the events.

    Raises:
        DataError: the source has no times, or a part is empty.
        ValueError: a share is not positive, or the shares leave no training events.
    """
    if dataset.time != "seconds":
        raise DataError(
            f"{dataset.name}: a time split needs times, and the source has "
            + ("only each user's order" if dataset.time == "order" else "none")
        )
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(
            "global_time: shares must be positive and sum to less than 1, "
            f"got {validation} and {test}"
        )
    times = dataset.event_values("timestamp")
    bounds = [times[int(len(times) * share)] for share in (1 - validation - test, 1 - test)]
    first, second = map(int, np.searchsorted(times, bounds))
    if not 0 < first < second:
        raise DataError(
            f"{dataset.name}: too few distinct times to separate train, validation and test; use "
            "the split leave-one-out"
        )
    return TimeSplit.at(dataset, first, second)


def by_user(
    dataset: Dataset, *, validation: float = 0.1, test: float = 0.1, targets: int = 1, seed: int = 0
) -> Split:
    """Hold out users, to evaluate on users that training has not seen.

    The last ``targets`` events of a held-out user are validation or test. Earlier ones are context:
    known, but not trained on (Liang et al. 2018, §4.2). Users with at most ``targets`` events are
    train. If ``dataset.users`` has a column ``held_out``, it marks the test users, and only the
    validation users are drawn.

    Args:
        dataset: the data.
        validation: share of the users with enough events, drawn from those not in test.
        test: share of the users with enough events; unused with a column ``held_out``.
        targets: number of events to predict per held-out user.
        seed: seed of the draw of users.

    Raises:
        DataError: a part is empty, or ``held_out`` is neither true nor false.
        ValueError: a share is not positive, the shares leave no training users, or ``targets`` < 1.
    """
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(
            f"by_user: shares must be positive and sum to less than 1, got {validation} and {test}"
        )
    if targets < 1:
        raise ValueError(f"by_user: targets must be 1 or more, got {targets}")
    user, counts, from_end = _event_positions(dataset)
    marked = "held_out" in dataset.users.column_names
    role = 2 * _held_out(dataset) if marked else np.zeros(len(counts), dtype=np.int64)
    eligible = np.flatnonzero((counts > targets) & (role == 0))
    eligible = np.random.default_rng(seed).permutation(eligible)
    num_test, num_validation = (
        round(len(eligible) * share) for share in (0.0 if marked else test, validation)
    )
    role[eligible[:num_test]] = 2
    role[eligible[num_test : num_test + num_validation]] = 1
    part = np.where((from_end < targets) | (role[user] == 0), role[user], 3)
    if len(np.unique(part)) < 4:
        raise DataError(f"{dataset.name}: too few users to hold some out for validation and test")
    return Split.of(dataset, part)


def _event_positions(dataset: Dataset) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return each event's user, each user's event count, and each event's position from the end.

    Positions count from 0 at a user's last event.
    """
    user = dataset.user_vocabulary.index(dataset.interactions["user_id"].to_numpy())
    counts = np.bincount(user, minlength=dataset.users.num_rows)
    ends = np.repeat(np.cumsum(counts), counts)
    from_end = np.empty(len(user), dtype=np.int64)
    from_end[np.argsort(user, kind="stable")] = ends - np.arange(len(user)) - 1
    return user, counts, from_end


def _held_out(dataset: Dataset) -> Int64Array:
    """Return 1 for users that the source holds out, 0 for others and for nulls."""
    column = dataset.users["held_out"]
    values, faults = parse_numbers(pc.fill_null(column, pa.scalar(0).cast(column.type)), "held_out")
    if any(rows.any() for _, rows in faults) or not np.isin(values, (0, 1)).all():
        raise DataError(f"{dataset.name}: users' held_out must be true or false")
    marks: Int64Array = values.astype(np.int64)
    return marks
