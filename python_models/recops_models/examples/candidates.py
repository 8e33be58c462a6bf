"""The catalogue as a click model sees it for one user."""

from __future__ import annotations

import numpy as np
import torch

from recops_models.data.dataset import Dataset
from recops_models.examples.batch import Batch
from recops_models.examples.click import Feedback, feedback_of, item_column, labels_of
from recops_models.examples.features import Categorical, FittedSchema, Sequence


def candidates(
    dataset: Dataset,
    fitted: FittedSchema,
    user: int,
    *,
    feedback: Feedback | None = None,
    positive: float = 4.0,
) -> Batch:
    """Every item of the catalogue, in its order, shown to one user after all that the user liked.

    Args:
        dataset: the data.
        fitted: of :func:`~recops_models.examples.click.click_schema`.
        user: an index of ``dataset.user_vocabulary``.
        feedback: as in :func:`~recops_models.examples.click.click_data`.
        positive: the least rating that counts as liking.

    Returns:
        N examples with label 0, whose histories are one in memory, expanded. O(N + max_len).
    """
    user_id = dataset.user_vocabulary.ids[user]
    events = dataset.interactions.filter(dataset.interactions["user_id"].to_numpy() == user_id)
    feedback = feedback or feedback_of(dataset)
    liked = labels_of(events, feedback, positive, name=dataset.name) > 0
    items = dataset.item_vocabulary.index(events["item_id"].to_numpy()[liked])
    num_items = dataset.items.num_rows
    rows = {
        feature.name: torch.from_numpy(
            fitted.lookup(feature.name).rows(item_column(dataset, feature.name))
        )
        for feature in fitted.schema.of_type(Categorical)
        if feature.name != "user"
    }
    user_row = fitted.lookup("user").rows(np.array([user_id]))
    features = {"user": torch.from_numpy(user_row).expand(num_items), **rows}
    lengths = {}
    for feature in fitted.schema.of_type(Sequence):
        last = torch.from_numpy(items[-feature.max_len :])
        history = rows[feature.share_embedding][last] if len(last) else torch.zeros(1).long()
        features[feature.name] = history.expand(num_items, -1)
        lengths[feature.name] = torch.tensor(len(last)).expand(num_items)
    group = torch.full((num_items,), int(user_id))
    return Batch(features, lengths, torch.zeros(num_items), group)
