"""Batches of all items as candidates for one user."""

from __future__ import annotations

from collections.abc import Sequence as Sequences

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.dataset import Dataset
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN
from recops_models.examples.entity_columns import item_columns, user_columns
from recops_models.examples.event_values import EventValues
from recops_models.examples.features import FittedSchema, Sequence
from recops_models.examples.feedback import LIKED, Feedback, classes_of, feedback_of
from recops_models.examples.running_rates import RATES, RunningRates
from recops_models.examples.stated_values import StatedFeatures, StatedValues


class Candidates:
    """Examples that show every item to one user, after all of the user's events.

    Args:
        dataset: the data.
        fitted: fitted schema of :func:`~recops_models.examples.click_schema.click_schema`.
        feedback: as in :func:`~recops_models.examples.click.click_data`.
        positive: lowest rating that counts as liked.
        stated: values of event columns at the moment of the requests; None are those of the last
            events.

    Complexity:
        O(N + E log E) once; then O(N) per user, or O(N log E) with running rates.
    """

    def __init__(
        self,
        dataset: Dataset,
        fitted: FittedSchema,
        *,
        feedback: Feedback | None = None,
        positive: float = 4.0,
        stated: Sequences[StatedValues] = (),
    ) -> None:
        events = dataset.interactions
        self._dataset, self._fitted = dataset, fitted
        self._class = classes_of(
            events, feedback or feedback_of(dataset), positive, name=dataset.name
        )
        self._of_items = fitted.encode(item_columns(dataset))
        self._of_users = fitted.encode(user_columns(dataset))
        user = dataset.user_vocabulary.index(events["user_id"].to_numpy())
        self._item = dataset.item_vocabulary.index(events["item_id"].to_numpy())
        self._rows = np.argsort(user, kind="stable")  # Sorted by user, then by time.
        self._bounds = np.searchsorted(user[self._rows], np.arange(dataset.users.num_rows + 1))
        self._names = [feature.name for feature in fitted.schema.features]
        self._event_values = EventValues.of_dataset(dataset, fitted)
        self._stated = [StatedFeatures(each, fitted, dataset.items.num_rows) for each in stated]
        self._rates = None
        if RATES[0] in self._names:
            self._rates = RunningRates(user, self._item, self._class == LIKED)

    def items_of(self, user: int) -> Tensor:
        """Return the indices of a user's items, in time order."""
        return torch.from_numpy(self._item[self._events_of(user)])

    def item_counts(self) -> Tensor:
        """Return the number of events of each item, ``[N]`` i64."""
        return torch.from_numpy(np.bincount(self._item, minlength=self._dataset.items.num_rows))

    def shown_to(self, user: int, shown: Tensor | None = None) -> Batch:
        """Return items as one request of ``user``: n examples with label 0.

        Args:
            user: an index of the data set's ``user_vocabulary``.
            shown: ``[n]`` i64, indices of the items; None: the whole catalogue.
        """
        shown_items = np.arange(self._dataset.items.num_rows) if shown is None else shown.numpy()
        num_items = len(shown_items)
        rows = self._events_of(user)
        if SIGN not in self._names:
            rows = rows[self._class[rows] == LIKED]
        features = {
            name: torch.from_numpy(values if shown is None else values[shown_items])
            for name, values in self._of_items.items()
        }
        for name, values in self._of_users.items():
            features[name] = torch.from_numpy(values[user : user + 1])
            features[name] = features[name].expand(num_items, *values.shape[1:])
        users, end = np.full(num_items, user), np.full(num_items, len(self._item))
        for name, values in self._event_values.request(users, shown_items, end).items():
            features[name] = torch.from_numpy(values.astype(np.int64))
        for stated in self._stated:
            stated.replace(features, user, shown_items)
        if self._rates is not None:
            rates = self._rates.features(users, shown_items, end)
            for name, values in rates.items():
                features[name] = torch.from_numpy(self._fitted.standardised(name, values))
        lengths = {}
        for sequence in self._fitted.schema.of_type(Sequence):
            last = self._last_events(sequence, rows)
            features[sequence.name] = last.expand(num_items, *last.shape)
            length = torch.tensor(min(len(rows), sequence.max_len))
            lengths[sequence.name] = length.expand(num_items)
        group = torch.full((num_items,), int(self._dataset.user_vocabulary.ids[user]))
        label = torch.zeros(num_items)
        return Batch(features, lengths, label, group, is_one_request=True)

    def _last_events(self, sequence: Sequence, rows: NDArray[np.int64]) -> Tensor:
        """Return the last of the events ``rows`` as rows ``[T]`` of the sequence's table.

        Without events, there is one padding row.
        """
        if not len(rows):
            most = self._fitted.schema.max_values(sequence.name)
            return torch.zeros((1,) if most is None else (1, most), dtype=torch.int64)
        last = rows[-sequence.max_len :]
        if sequence.name == SIGN:
            return torch.from_numpy(self._fitted.lookup(SIGN).rows(self._class[last]))
        if sequence.name in self._event_values.history:
            return torch.from_numpy(self._event_values.history[sequence.name][last]).long()
        return torch.from_numpy(self._of_items[sequence.share_embedding or ""][self._item[last]])

    def _events_of(self, user: int) -> NDArray[np.int64]:
        return self._rows[self._bounds[user] : self._bounds[user + 1]]
