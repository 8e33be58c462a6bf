"""Train, validation and test: by the user's last events, by the clock, or by users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.columns import parse_numbers
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array

SplitName = Literal["leave-one-out", "global-time", "by-user"]


@dataclass(frozen=True, eq=False)
class Examples:
    """What a recommender is asked in an evaluation: given a user's history, which items come next?

    Attributes:
        users: ``[E]`` i64, indices into ``dataset.user_vocabulary``.
        histories: of these users, everything before the part that is asked for.
        targets: of these users, the events asked for: one each after leave-one-out, one or more
            after a time split.
    """

    users: Int64Array
    histories: Histories
    targets: Histories

    def some(self, count: int | None) -> Examples:
        """At most ``count`` of the questions, drawn the same each time; None: all."""
        if count is None or count >= len(self.users):
            return self
        rows = np.sort(np.random.default_rng(0).permutation(len(self.users))[:count])
        return Examples(self.users[rows], self.histories.take(rows), self.targets.take(rows))

    def next_events(self) -> Examples:
        """The same questions, each for the first of its targets alone."""
        return Examples(self.users, self.histories, self.targets.first())


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint parts of ``dataset.interactions``, each in time order, and what is only known.

    No user's event in ``train`` is later than that user's events in ``validation``, nor those later
    than ``test``'s. ``context`` holds what came before the events of the other parts and stands
    in histories alone: of users who are held out, or of a time before that of training.
    """

    dataset: Dataset
    train: pa.Table
    validation: pa.Table
    test: pa.Table
    context: pa.Table

    @classmethod
    def of(cls, dataset: Dataset, part: Int64Array) -> Split:
        """The split by each interaction's part: 0 train, 1 validation, 2 test, 3 context."""
        tables = [dataset.interactions.filter(pa.array(part == index)) for index in range(4)]
        return cls(dataset, *tables)

    def histories(self, part: str = "train") -> Histories:
        """All users' histories in one part, indexed by the data set's own vocabularies."""
        return self._histories(getattr(self, part))

    def examples(self, part: str) -> Examples:
        """The questions of ``"validation"``, given train, or of ``"test"``, given all before it.

        Users without a known event are left out: there is nothing to go by.
        """
        earlier = (self.validation,) if part == "test" else ()
        known = pa.concat_tables([self.train, self.context, *earlier])
        # Parts follow one another in each user's time, so that concatenation keeps every history in
        # order.
        histories = self._histories(known)
        targets = self._histories(getattr(self, part))
        users = np.flatnonzero((histories.lengths > 0) & (targets.lengths > 0))
        return Examples(users, histories.take(users), targets.take(users))

    def _histories(self, table: pa.Table) -> Histories:
        return Histories.of(table, self.dataset.user_vocabulary, self.dataset.item_vocabulary)


def named_split(
    dataset: Dataset, name: SplitName | None = None, *, clock: bool = False
) -> tuple[SplitName, Split]:
    """The split of this name, and its name.

    None stands for ``"by-user"`` where the source itself holds users out; else for
    ``"global-time"`` if ``clock`` is wanted and times are real; else for ``"leave-one-out"``.

    Raises:
        DataError: the data cannot be split so.
        ValueError: no such split.
    """
    if name is None:
        if "held_out" in dataset.users.column_names:
            name = "by-user"
        else:
            name = "global-time" if clock and dataset.time == "seconds" else "leave-one-out"
    splits = {"leave-one-out": leave_one_out, "global-time": global_time, "by-user": by_user}
    if name not in splits:
        raise ValueError(f"named_split: no split {name!r}; there are {', '.join(splits)}")
    return name, splits[name](dataset)


def leave_one_out(dataset: Dataset) -> Split:
    """Each user's last event is test, the one before it validation, the rest train.

    Users with fewer than three events are all train.

    This is the protocol of the sequential-recommendation literature. It compares models fairly, but
    lets train events of one user be later than test events of another; :func:`global_time` does
    not.
    """
    return leave_last(dataset, 1)


def leave_last(dataset: Dataset, number: int) -> Split:
    """Each user's last ``number`` events are test, as many before them validation, the rest train.

    Users with fewer than three times as many are all train.

    Raises:
        ValueError: ``number`` < 1.
    """
    if number < 1:
        raise ValueError(f"leave_last: number must be 1 or more, got {number}")
    user, counts, from_end = _places(dataset)
    held_out = np.clip(2 - from_end // number, 0, 2)
    return Split.of(dataset, np.where(counts[user] >= 3 * number, held_out, 0))


def global_time(dataset: Dataset, *, validation: float = 0.1, test: float = 0.1) -> Split:
    """Events before one moment are train, those from a second one on test, validation between.

    The moments are quantiles of the event times, so that the shares are about those asked for;
    events of one second stay together.

    Args:
        dataset: a data set with real times.
        validation: share of the events.
        test: share of the events.

    Raises:
        DataError: the source knows only an order of events; or a part comes out empty.
        ValueError: a share is not positive, or they leave nothing to train on.
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
    times = dataset.interactions["timestamp"].to_numpy()
    first, second = (times[int(len(times) * share)] for share in (1 - validation - test, 1 - test))
    part = (times >= first).astype(np.int64) + (times >= second)
    if len(np.unique(part)) < 3:
        raise DataError(
            f"{dataset.name}: too few distinct times to cut train, validation and test apart"
        )
    return Split.of(dataset, part)


def by_user(
    dataset: Dataset, *, validation: float = 0.1, test: float = 0.1, targets: int = 1, seed: int = 0
) -> Split:
    """Some users are train, others validation, others test: does it work for people it never met?

    Of a held-out user the last ``targets`` events are asked for, and those before are known but not
    trained on (Liang et al. 2018, §4.2, hold users out likewise). Users with no more than
    ``targets`` events are train. Where ``dataset.users`` has a column ``held_out``, the test users
    are those that it marks, however few events they have, and only those for validation are drawn.

    Args:
        dataset: the data.
        validation: share of the users who can be held out, without those in test.
        test: share of the users who can be held out; not used where ``held_out`` tells.
        targets: events asked for, of each held-out user.
        seed: of the draw of users.

    Raises:
        DataError: a part comes out empty, or ``held_out`` is neither true nor false.
        ValueError: a share is not positive, they leave nobody to train on, or ``targets`` < 1.
    """
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(
            f"by_user: shares must be positive and sum to less than 1, got {validation} and {test}"
        )
    if targets < 1:
        raise ValueError(f"by_user: targets must be 1 or more, got {targets}")
    user, counts, from_end = _places(dataset)
    marked = "held_out" in dataset.users.column_names
    role = 2 * _held_out(dataset) if marked else np.zeros(len(counts), dtype=np.int64)
    able = np.random.default_rng(seed).permutation(np.flatnonzero((counts > targets) & (role == 0)))
    num_test, num_validation = (
        round(len(able) * share) for share in (0.0 if marked else test, validation)
    )
    role[able[:num_test]] = 2
    role[able[num_test : num_test + num_validation]] = 1
    part = np.where((from_end < targets) | (role[user] == 0), role[user], 3)
    if len(np.unique(part)) < 4:
        raise DataError(f"{dataset.name}: too few users to hold some out for validation and test")
    return Split.of(dataset, part)


def _places(dataset: Dataset) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Each event's user, each user's number of events, and how many of theirs follow each event."""
    user = dataset.user_vocabulary.index(dataset.interactions["user_id"].to_numpy())
    counts = np.bincount(user, minlength=dataset.users.num_rows)
    ends = np.repeat(np.cumsum(counts), counts)
    from_end = np.empty(len(user), dtype=np.int64)
    from_end[np.argsort(user, kind="stable")] = ends - np.arange(len(user)) - 1
    return user, counts, from_end


def _held_out(dataset: Dataset) -> Int64Array:
    """1 for the users whom the source holds out, 0 for the others and where it does not tell."""
    column = dataset.users["held_out"]
    values, faults = parse_numbers(pc.fill_null(column, pa.scalar(0).cast(column.type)), "held_out")
    if any(rows.any() for _, rows in faults) or not np.isin(values, (0, 1)).all():
        raise DataError(f"{dataset.name}: users' held_out must be true or false")
    marks: Int64Array = values.astype(np.int64)
    return marks
