"""Encoding of a scoring request as a batch of candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from recops_models.data.histories import Int64Array
from recops_models.examples.batch import Batch
from recops_models.examples.event_features import event_column_of, request_feature
from recops_models.examples.features import Categorical, Feature, FittedSchema, Numeric, Vector
from recops_models.examples.features import Sequence as SequenceFeature
from recops_models.examples.running_rates import RATES, rate_features
from recops_models.layers.feature_embedding import History
from recops_models.serving.errors import FieldError
from recops_models.serving.feature_table import FeatureTable
from recops_models.serving.sealed_values import ItemCount, Totals
from recops_models.serving.values import (
    number_of,
    per_candidate,
    rows_of_ids,
    rows_of_lists,
    rows_of_values,
)


@dataclass(frozen=True)
class RequestCounts:
    """Event counts of a request's user, of each candidate, and of all events."""

    user: ItemCount
    items: list[ItemCount]
    all: ItemCount | Totals


class RequestEncoder:
    """Encoder of the features of a request's candidates.

    Each value comes from the first source that has it: the request, the center's event counts
    (:data:`RATES`), the item or user table. An id that a table lacks is encoded as unknown. A
    feature without any source is an error.

    Args:
        fitted: schema of the model.
        history: history that the model reads from a state instead.
        items: item table; None if it is not available.
        users: user table; None if it is not available.

    Attributes:
        reads_rates: whether :meth:`batch` needs event counts.
    """

    def __init__(
        self,
        fitted: FittedSchema,
        history: History,
        items: FeatureTable | None,
        users: FeatureTable | None,
    ) -> None:
        self._fitted, self._items, self._users = fitted, items, users
        self._context = {
            feature.name: feature
            for feature in fitted.schema.features
            if feature.name not in history.sequences
        }
        self.reads_rates = items is not None and RATES[0] in self._context

    def batch(
        self,
        user: str,
        items: Sequence[str],
        request_features: Mapping[str, object],
        counts: RequestCounts | None,
    ) -> Batch:
        """Return the batch of B candidates of a user, without the history's sequences.

        Args:
            user: user id.
            items: B item ids.
            request_features: values of features: one value for all candidates, or a list of B.
            counts: event counts, if the model reads rates.

        Raises:
            FieldError: a feature is unknown or invalid, or a required feature is missing.
        """
        request_features = self._by_feature(request_features)
        rows, features, lengths = len(items), dict[str, Tensor](), dict[str, Tensor]()
        known = self._known(user, items, counts)
        for name, feature in self._context.items():
            if name in request_features:
                features[name], length = self._encode(feature, request_features[name], rows)
                if length is not None:
                    lengths[name] = length
            elif name in known:
                features[name] = torch.from_numpy(known[name])
            else:
                field = event_column_of(name) or name
                raise FieldError(field, "must be given, because the model reads it")
        no_label, no_group = torch.zeros(rows), torch.zeros(rows, dtype=torch.int64)
        return Batch(features, lengths, no_label, no_group)

    def _by_feature(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Return the fields of a request by feature; ``price`` may be ``event_price``."""
        features: dict[str, object] = {}
        for name, value in fields.items():
            feature = name if name in self._context else request_feature(name)
            if feature not in self._context or feature in features:
                raise FieldError(name, "must be a feature that a request can set")
            features[feature] = value
        return features

    def _known(
        self, user: str, items: Sequence[str], counts: RequestCounts | None
    ) -> dict[str, NDArray[np.number]]:
        """Return values ``[B]`` by feature, from the tables and the event counts."""
        known: dict[str, NDArray[np.number]] = {}
        candidate = self._fitted.schema.candidate
        if candidate is not None and self._items is None:
            known[candidate] = rows_of_ids(self._fitted.lookup(candidate), items)
        for table, ids in ((self._users, [user]), (self._items, items)):
            if table is not None:
                rows = table.rows(ids)
                for name in self._context:
                    if name in table:
                        known[name] = table.values(name, rows)
        if counts is not None:
            rates = rate_features(
                user=_counts([counts.user]),
                item=_counts(counts.items),
                all_events=_counts([counts.all]),
            )
            known |= {name: self._fitted.standardised(name, rates[name]) for name in RATES}
        return {
            name: np.broadcast_to(values, (len(items), *values.shape[1:])).copy()
            for name, values in known.items()
        }

    def _encode(self, feature: Feature, value: object, rows: int) -> tuple[Tensor, Tensor | None]:
        """Return the tensor of a feature in the request, and the lengths of a sequence."""
        name = feature.name
        most = self._fitted.schema.max_values(name)
        if isinstance(feature, Categorical) and most is not None:
            one_each = per_candidate(name, value, rows, depth=1)
            encoded, errors = rows_of_lists(self._fitted.lookup(name), name, one_each, most)
            for error in errors.values():
                raise error
            return torch.from_numpy(encoded), None
        if isinstance(feature, Categorical):
            return torch.from_numpy(self._rows(name, per_candidate(name, value, rows))), None
        if isinstance(feature, Numeric):
            numbers = np.array(
                [number_of(name, number) for number in per_candidate(name, value, rows)]
            )
            return torch.from_numpy(self._fitted.standardised(name, numbers)), None
        lists = []
        for one in per_candidate(name, value, rows, depth=1):
            if not isinstance(one, list):
                raise FieldError(name, "must be a list")
            lists.append(one)
        if isinstance(feature, Vector):
            if any(len(one) != feature.size for one in lists):
                raise FieldError(name, f"must be {feature.size} numbers")
            return torch.tensor([[number_of(name, x) for x in one] for one in lists]), None
        assert isinstance(feature, SequenceFeature)
        sequences = [torch.from_numpy(self._rows(name, one[-feature.max_len :])) for one in lists]
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        return pad_sequence(sequences, batch_first=True), lengths

    def _rows(self, name: str, values: list[object]) -> Int64Array:
        rows, errors = rows_of_values(self._fitted.lookup(name), name, values)
        for error in errors.values():
            raise error
        return rows


def _counts(counts: Sequence[ItemCount | Totals]) -> tuple[Int64Array, Int64Array]:
    return (
        np.array([count.seen for count in counts], dtype=np.int64),
        np.array([count.liked for count in counts], dtype=np.int64),
    )
