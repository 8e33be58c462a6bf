"""Tiny click data, to build a click model and run it without a data set."""

from __future__ import annotations

import numpy as np
import torch

from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.batch import Batch
from recops_models.examples.features import (
    Categorical,
    FeatureSchema,
    FittedSchema,
    Numeric,
    Sequence,
)
from recops_models.examples.lookup import Lookup

_NUM_VALUES = {"user": 3, "item": 5, "category": 2}


def tiny_click_data() -> tuple[FittedSchema, Batch]:
    """Return a fitted schema and a batch of three examples, the inputs of every click model.

    There are 3 users, 5 items and 2 categories, whose ids count from 0. An item has a category and
    a price. A history holds the items and categories of a user's earlier clicks: two, one and none.
    The labels are 1, 0 and 1.

    Example:
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> list(batch.features)
        ['user', 'item', 'category', 'price', 'history_item', 'history_category']
        >>> Din(schema, DinConfig(width=4))(batch).shape
        torch.Size([3])
    """
    schema = FeatureSchema(
        (
            Categorical("user"),
            Categorical("item"),
            Categorical("category"),
            Numeric("price"),
            Sequence("history_item", share_embedding="item"),
            Sequence("history_category", share_embedding="category"),
        )
    )
    lookups = {name: Lookup(Vocabulary(np.arange(count))) for name, count in _NUM_VALUES.items()}
    lengths = torch.tensor([2, 1, 0])
    # Rows of tables: 0 is padding, 1 is the unknown value, and id n has row n + 2.
    features = {
        "user": torch.tensor([2, 3, 4]),
        "item": torch.tensor([2, 3, 6]),
        "category": torch.tensor([2, 3, 2]),
        "price": torch.tensor([-1.0, 0.0, 1.0]),
        "history_item": torch.tensor([[3, 4], [2, 0], [0, 0]]),
        "history_category": torch.tensor([[3, 2], [2, 0], [0, 0]]),
    }
    batch = Batch(
        features,
        {"history_item": lengths, "history_category": lengths},
        label=torch.tensor([1.0, 0.0, 1.0]),
        group=torch.tensor([0, 1, 2]),
    )
    return FittedSchema(schema, lookups, {"price": (20.0, 10.0)}), batch
