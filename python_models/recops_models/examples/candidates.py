"""The catalogue as a click model sees it for one user."""

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


def candidates(
    dataset: Dataset,
    fitted: FittedSchema,
    user: int,
    *,
    feedback: Feedback | None = None,
    positive: float = 4.0,
) -> Batch:
    """Every item of the catalogue, in its order, shown to one user after all events.

    Args:
        dataset: the data.
        fitted: of :func:`~recops_models.examples.click_schema.click_schema`.
        user: an index of ``dataset.user_vocabulary``.
        feedback: as in :func:`~recops_models.examples.click.click_data`.
        positive: the least rating that counts as liking.

    Returns:
        N examples with label 0, whose histories are one in memory, expanded. O(N + E); with running
        rates O(E log E).
    """
    events = dataset.interactions
    user_id, num_items = dataset.user_vocabulary.ids[user], dataset.items.num_rows
    said = classes_of(events, feedback or feedback_of(dataset), positive, name=dataset.name)
    schema = fitted.schema
    names = [feature.name for feature in schema.features]
    mine = events["user_id"].to_numpy() == user_id
    if SIGN not in names:
        mine &= said == LIKED
    items = dataset.item_vocabulary.index(events["item_id"].to_numpy()[mine])

    of_items = encoded(item_columns(dataset), fitted)
    features = {name: torch.from_numpy(values) for name, values in of_items.items()}
    for name, values in encoded(user_columns(dataset), fitted).items():
        features[name] = torch.from_numpy(values[user : user + 1]).expand(num_items)
    if RATES[0] in names:
        rates = _rates_after_all(dataset, said == LIKED, user)
        for name, values in rates.items():
            features[name] = torch.from_numpy(fitted.standardised(name, values))
    lengths = {}
    for sequence in schema.of_type(Sequence):
        last = _events(sequence, fitted, of_items, items, said[mine])
        features[sequence.name] = last.expand(num_items, -1)
        lengths[sequence.name] = torch.tensor(min(len(items), sequence.max_len)).expand(num_items)
    group = torch.full((num_items,), int(user_id))
    return Batch(features, lengths, torch.zeros(num_items), group)


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


def _rates_after_all(
    dataset: Dataset, liked: NDArray[np.bool_], user: int
) -> dict[str, NDArray[np.float64]]:
    """By feature ``[N]``: of one user and every item, after all events, which are in time order."""
    events, num_items = dataset.interactions, dataset.items.num_rows
    running = RunningRates(
        dataset.user_vocabulary.index(events["user_id"].to_numpy()),
        dataset.item_vocabulary.index(events["item_id"].to_numpy()),
        liked,
    )
    place = np.full(num_items, events.num_rows)
    return running.features(np.full(num_items, user), np.arange(num_items), place)
