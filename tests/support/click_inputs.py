"""A click schema and random batches of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.batch import Batch
from recops_models.examples.features import (
    Categorical,
    Feature,
    FeatureSchema,
    FittedSchema,
    Numeric,
    Sequence,
    Vector,
)
from recops_models.examples.lookup import Lookup

SIZES = {"user": 20, "item": 50, "category": 6, "tags": 9, "sign": 3, "sign_of_likes": 3}
"""Number of known values of each table."""

FEATURES: tuple[Feature, ...] = (
    Categorical("user"),
    Categorical("item"),
    Categorical("category"),
    Numeric("age"),
    Vector("picture", 3),
    Sequence("tags", max_len=4),
    Sequence("history_item", share_embedding="item"),
    Sequence("history_category", share_embedding="category"),
)


def schema(features: tuple[Feature, ...] = FEATURES) -> FittedSchema:
    """Return a schema whose tables know the ids 0 … SIZES − 1."""
    declared = FeatureSchema(features)
    return FittedSchema(
        declared, {name: Lookup(Vocabulary(np.arange(SIZES[name]))) for name in declared.tables}
    )


def batch(lengths: list[int], width: int | None = None, seed: int = 0) -> Batch:
    """Return random examples with histories of these lengths, padded to ``width``."""
    generator = torch.Generator().manual_seed(seed)
    rows, width = len(lengths), max([1, *lengths]) if width is None else width

    def ids(name: str, *shape: int) -> Tensor:
        return torch.randint(1, SIZES[name] + 2, shape, generator=generator)

    def padded(ids: Tensor, lengths: Tensor) -> Tensor:
        return ids.masked_fill(torch.arange(ids.shape[1]) >= lengths[:, None], 0)

    events = torch.tensor(lengths, dtype=torch.int64)
    tags = torch.randint(0, 5, (rows,), generator=generator)
    return Batch(
        {
            "user": ids("user", rows),
            "item": ids("item", rows),
            "category": ids("category", rows),
            "age": torch.randn(rows, generator=generator),
            "picture": torch.randn(rows, 3, generator=generator),
            "tags": padded(ids("tags", rows, 4), tags),
            "history_item": padded(ids("item", rows, width), events),
            "history_category": padded(ids("category", rows, width), events),
        },
        {"tags": tags, "history_item": events, "history_category": events},
        torch.randint(2, (rows,), generator=generator).float(),
        torch.randint(SIZES["user"], (rows,), generator=generator),
    )


def one_request(rows: int, length: int) -> Batch:
    """Return random candidates for one user: user and histories are the same in every row."""
    some = batch([length] * rows)
    features, lengths = dict(some.features), dict(some.lengths)
    for name in ("user", "age", "history_item", "history_category"):
        features[name] = features[name][:1].repeat_interleave(rows, 0)
    for name in ("history_item", "history_category"):
        lengths[name] = lengths[name][:1].repeat_interleave(rows, 0)
    return some._replace(features=features, lengths=lengths, is_one_request=True)


def prefix_batches(lengths: list[int]) -> tuple[Batch, Batch]:
    """Return examples with prefixes of one history, without and with ``prefix_of``."""
    some, events = batch([max(lengths)] * len(lengths)), torch.tensor(lengths)
    histories = [name for name in some.features if name.startswith("history")]
    inside = torch.arange(max(lengths)) < events[:, None]
    unmarked = some._replace(
        features=some.features | {name: some.features[name][:1] * inside for name in histories},
        lengths=some.lengths | dict.fromkeys(histories, events),
    )
    longest = events.argmax().expand(len(lengths))
    return unmarked, unmarked._replace(prefix_of=dict.fromkeys(histories, longest))
