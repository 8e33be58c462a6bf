"""From a request to a batch of candidates with their context."""

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
from recops_models.examples.features import Categorical, Feature, FittedSchema, Numeric, Vector
from recops_models.examples.features import Sequence as SequenceFeature
from recops_models.examples.running_rates import RATES, rate_features
from recops_models.layers.feature_embedding import History
from recops_models.serving.checked import ItemCount, Totals
from recops_models.serving.described import Described
from recops_models.serving.errors import FieldError
from recops_models.serving.values import each_of, looked_up, number_of, rows_of_ids


@dataclass(frozen=True)
class RequestCounts:
    """What is counted of a request's user, of each candidate, and of all events."""

    user: ItemCount
    items: list[ItemCount]
    all: ItemCount | Totals


class RequestEncoder:
    """What the features of a model are, for the candidates of a request.

    Each value comes from the first that knows it: the request itself, the center's own counts
    (:data:`RATES`), the data set's table of items or of users. An id that the data set does not
    know counts as unknown; a feature that nobody tells is an error by its name.

    Args:
        fitted: the model's schema.
        history: the one that the model reads from a state.
        items: the catalogue; None: it is not known.
        users: the users; None: they are not known.

    Attributes:
        reads_rates: whether counts are to be kept, and given to :meth:`batch`.
    """

    def __init__(
        self,
        fitted: FittedSchema,
        history: History,
        items: Described | None,
        users: Described | None,
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
        given: Mapping[str, object],
        counts: RequestCounts | None,
    ) -> Batch:
        """B candidates shown to a user; the history's own sequences are left out.

        Args:
            user: the id.
            items: B ids.
            given: values of features: one for all candidates, or a list of B.
            counts: of user, items and all, where the model reads rates.

        Raises:
            FieldError: a feature is given that there is not, or is not what it must be, or must be
                given and is not.
        """
        for name in given:
            if name not in self._context:
                raise FieldError(name, "is no feature that a request can tell of")
        rows, features, lengths = len(items), dict[str, Tensor](), dict[str, Tensor]()
        known = self._known(user, items, counts)
        for name, feature in self._context.items():
            if name in given:
                features[name], length = self._given(feature, given[name], rows)
                if length is not None:
                    lengths[name] = length
            elif name in known:
                features[name] = torch.from_numpy(known[name])
            else:
                raise FieldError(name, "must be given, for the model reads it")
        no_label, no_group = torch.zeros(rows), torch.zeros(rows, dtype=torch.int64)
        return Batch(features, lengths, no_label, no_group)

    def _known(
        self, user: str, items: Sequence[str], counts: RequestCounts | None
    ) -> dict[str, NDArray[np.number]]:
        """``[B]`` by feature: what tables and counts tell."""
        known: dict[str, NDArray[np.number]] = {}
        candidate = self._fitted.schema.candidate
        if candidate is not None and self._items is None:
            known[candidate] = rows_of_ids(self._fitted.lookup(candidate), items)
        for described, ids in ((self._users, [user]), (self._items, items)):
            if described is not None:
                places = described.places(ids)
                for name in self._context:
                    if name in described:
                        known[name] = described.values(name, places)
        if counts is not None:
            rates = rate_features(
                user=_counts([counts.user]),
                item=_counts(counts.items),
                all_events=_counts([counts.all]),
            )
            known |= {name: self._fitted.standardised(name, rates[name]) for name in RATES}
        return {name: np.broadcast_to(values, len(items)).copy() for name, values in known.items()}

    def _given(self, feature: Feature, value: object, rows: int) -> tuple[Tensor, Tensor | None]:
        """A feature that a request tells of, and the lengths of a sequence."""
        name = feature.name
        if isinstance(feature, Categorical):
            return torch.from_numpy(self._rows(name, each_of(name, value, rows))), None
        if isinstance(feature, Numeric):
            numbers = np.array([number_of(name, one) for one in each_of(name, value, rows)])
            return torch.from_numpy(self._fitted.standardised(name, numbers)), None
        lists = []
        for one in each_of(name, value, rows, depth=1):
            if not isinstance(one, list):
                raise FieldError(name, "must be a list")
            lists.append(one)
        if isinstance(feature, Vector):
            if any(len(one) != feature.size for one in lists):
                raise FieldError(name, f"must be {feature.size} numbers")
            return torch.tensor([[number_of(name, x) for x in one] for one in lists]), None
        assert isinstance(feature, SequenceFeature)
        found = [torch.from_numpy(self._rows(name, one[-feature.max_len :])) for one in lists]
        return pad_sequence(found, batch_first=True), torch.tensor([len(one) for one in found])

    def _rows(self, name: str, values: list[object]) -> Int64Array:
        rows, wrong = looked_up(self._fitted.lookup(name), name, values)
        for error in wrong.values():
            raise error
        return rows


def _counts(counts: Sequence[ItemCount | Totals]) -> tuple[Int64Array, Int64Array]:
    return (
        np.array([count.seen for count in counts], dtype=np.int64),
        np.array([count.liked for count in counts], dtype=np.int64),
    )
