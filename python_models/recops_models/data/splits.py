"""Train, validation and test: by the user's last events, or by the clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array


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


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint parts of ``dataset.interactions``, each in time order.

    No user's event in ``train`` is later than that user's events in ``validation``, nor those later
    than ``test``'s.
    """

    dataset: Dataset
    train: pa.Table
    validation: pa.Table
    test: pa.Table

    @classmethod
    def of(cls, dataset: Dataset, part: Int64Array) -> Split:
        """The split by ``part[i]`` of each interaction: 0 train, 1 validation, 2 test."""
        tables = [dataset.interactions.filter(pa.array(part == index)) for index in range(3)]
        return cls(dataset, *tables)

    def histories(self, part: str = "train") -> Histories:
        """All users' histories in one part, indexed by the data set's own vocabularies."""
        return self._histories(getattr(self, part))

    def examples(self, part: str) -> Examples:
        """The questions of ``"validation"``, given train, or of ``"test"``, given all before it.

        Users without a known event are left out: there is nothing to go by.
        """
        known = (
            self.train if part == "validation" else pa.concat_tables([self.train, self.validation])
        )
        # Parts follow one another in each user's time, so that concatenation keeps every history in
        # order.
        histories = self._histories(known)
        targets = self._histories(getattr(self, part))
        users = np.flatnonzero((histories.lengths > 0) & (targets.lengths > 0))
        return Examples(users, histories.take(users), targets.take(users))

    def _histories(self, table: pa.Table) -> Histories:
        return Histories.of(table, self.dataset.user_vocabulary, self.dataset.item_vocabulary)


def leave_one_out(dataset: Dataset) -> Split:
    """Each user's last event is test, the one before it validation, the rest train.

    Users with fewer than three events are all train.

    This is the protocol of the sequential-recommendation literature. It compares models fairly, but
    lets train events of one user be later than test events of another; :func:`global_time` does
    not.
    """
    user = dataset.user_vocabulary.index(dataset.interactions["user_id"].to_numpy())
    order = np.argsort(user, kind="stable")
    counts = np.bincount(user, minlength=dataset.users.num_rows)
    ends = np.repeat(np.cumsum(counts), counts)
    from_end = np.empty(len(user), dtype=np.int64)
    from_end[order] = ends - np.arange(len(user)) - 1
    held_out = np.clip(2 - from_end, 0, 2)
    return Split.of(dataset, np.where(counts[user] >= 3, held_out, 0))


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
            f"{dataset.name}: a time split needs times, and the source has only each user's order"
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
