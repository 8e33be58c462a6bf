"""The catalogue as a click model sees it for a user."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.dataset import Dataset
from recops_models.data.histories import AnyArray
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN, encoded, item_columns, user_columns
from recops_models.examples.features import FittedSchema, Sequence
from recops_models.examples.feedback import LIKED, Feedback, classes_of, feedback_of
from recops_models.examples.running_rates import RATES, RunningRates


class Candidates:
    """The catalogue as a click model sees it: every item, shown to one user after all events.

    Args:
        dataset: the data.
        fitted: of :func:`~recops_models.examples.click_schema.click_schema`.
        feedback: as in :func:`~recops_models.examples.click.click_data`.
        positive: the least rating that counts as liking.

    Complexity:
        O(N + E log E) once; then O(N) a user, with running rates O(N log E).
    """

    def __init__(
        self,
        dataset: Dataset,
        fitted: FittedSchema,
        *,
        feedback: Feedback | None = None,
        positive: float = 4.0,
    ) -> None:
        events = dataset.interactions
        self._dataset, self._fitted = dataset, fitted
        self._said = classes_of(
            events, feedback or feedback_of(dataset), positive, name=dataset.name
        )
        self._of_items = encoded(item_columns(dataset), fitted)
        self._of_users = encoded(user_columns(dataset), fitted)
        user = dataset.user_vocabulary.index(events["user_id"].to_numpy())
        self._item = dataset.item_vocabulary.index(events["item_id"].to_numpy())
        self._rows = np.argsort(user, kind="stable")  # By user, and in the order of time.
        self._bounds = np.searchsorted(user[self._rows], np.arange(dataset.users.num_rows + 1))
        self._names = [feature.name for feature in fitted.schema.features]
        self._rates = None
        if RATES[0] in self._names:
            self._rates = RunningRates(user, self._item, self._said == LIKED)

    def met(self, user: int) -> Tensor:
        """The items that a user met, as indices, in the order of time."""
        return torch.from_numpy(self._item[self._events_of(user)])

    def events_of_items(self) -> Tensor:
        """``[N]`` i64: the number of events of each item."""
        return torch.from_numpy(np.bincount(self._item, minlength=self._dataset.items.num_rows))

    def shown_to(self, user: int) -> Batch:
        """Return the whole catalogue as one request of ``user``: N examples with label 0.

        Args:
            user: an index of the data set's ``user_vocabulary``.
        """
        num_items = self._dataset.items.num_rows
        rows = self._events_of(user)
        if SIGN not in self._names:
            rows = rows[self._said[rows] == LIKED]
        items = self._item[rows]
        features = {name: torch.from_numpy(values) for name, values in self._of_items.items()}
        for name, values in self._of_users.items():
            features[name] = torch.from_numpy(values[user : user + 1]).expand(num_items)
        if self._rates is not None:
            after_all = np.full(num_items, len(self._item))
            rates = self._rates.features(np.full(num_items, user), np.arange(num_items), after_all)
            for name, values in rates.items():
                features[name] = torch.from_numpy(self._fitted.standardised(name, values))
        lengths = {}
        for sequence in self._fitted.schema.of_type(Sequence):
            last = _events(sequence, self._fitted, self._of_items, items, self._said[rows])
            features[sequence.name] = last.expand(num_items, -1)
            length = torch.tensor(min(len(items), sequence.max_len))
            lengths[sequence.name] = length.expand(num_items)
        group = torch.full((num_items,), int(self._dataset.user_vocabulary.ids[user]))
        label = torch.zeros(num_items)
        return Batch(features, lengths, label, group, is_one_request=True)

    def _events_of(self, user: int) -> NDArray[np.int64]:
        return self._rows[self._bounds[user] : self._bounds[user + 1]]


def _events(
    sequence: Sequence,
    fitted: FittedSchema,
    of_items: Mapping[str, AnyArray],
    items: NDArray[np.int64],
    said: NDArray[np.int64],
) -> Tensor:
    """``[T]``: the last events as rows of the sequence's table; one of padding where none is."""
    if not len(items):
        return torch.zeros(1, dtype=torch.int64)
    last = slice(-sequence.max_len, None)
    if sequence.name == SIGN:
        return torch.from_numpy(fitted.lookup(SIGN).rows(said[last]))
    return torch.from_numpy(of_items[sequence.share_embedding or ""][items[last]])
