"""Rates of candidates and histories equal their definitions, event by event."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from recops_models.data.errors import DataError
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN
from recops_models.examples.features import FeatureSchema, FittedSchema, Sequence
from recops_models.examples.lookup import Lookup
from recops_models.examples.tiny import tiny_click_data
from recops_models.layers.rate_features import RateConfig, RateFeatures
from recops_models.layers.rate_table import RateTable

CONFIG = RateConfig(strength=4.0, half_life=2.0, window=2, decay=0.5)
LIKED, DISLIKED = 4, 2
"""Rows of the signs."""


def signed() -> tuple[FittedSchema, Batch]:
    """Return the tiny data with labels of the history's events: liked and disliked, liked."""
    fitted, batch = tiny_click_data()
    features = (*fitted.schema.features, Sequence(SIGN, history="history"))
    features = tuple(
        replace(each, history="history") if isinstance(each, Sequence) else each
        for each in features
    )
    lookups = {**fitted.lookups, SIGN: Lookup(Vocabulary(np.arange(3)))}
    signs = torch.tensor([[LIKED, DISLIKED], [LIKED, 0], [0, 0]])
    batch = batch._replace(
        features={**batch.features, SIGN: signs},
        lengths={**batch.lengths, SIGN: batch.lengths["history_item"]},
    )
    return FittedSchema(FeatureSchema(features), lookups, fitted.moments), batch


def table(counts: dict[int, tuple[int, int]]) -> RateTable:
    rows = sorted({-1: (0, 0), **counts}.items())
    keys, values = zip(*rows, strict=True)
    return RateTable(torch.tensor(keys), torch.tensor(values, dtype=torch.float32))


def tables(pairs: dict[int, tuple[int, int]]) -> dict[str, RateTable]:
    return {
        "all": table({0: (100, 24)}),
        "all:item": table({2: (10, 6), 6: (1, 1)}),
        "all:category": table({2: (60, 12), 3: (40, 12)}),
        "pairs": table(pairs),
    }


def logits(*rates: float) -> Tensor:
    return torch.tensor(rates).logit()


def column(features: RateFeatures, x: Tensor, name: str) -> Tensor:
    return x[:, features.rates.index(name)]


def test_rates_with_labels_follow_the_formula() -> None:
    fitted, batch = signed()
    # Candidates 2, 3, 6; histories 3 liked, 4 disliked; 2 liked; none. Pair: (sign 7 + item) 7 + i.
    pairs = {(7 + 3) * 7 + 2: (8, 8), 4 * 7 + 2: (6, 1), (7 + 2) * 7 + 3: (5, 0)}
    features = RateFeatures(fitted, CONFIG, tables(pairs))
    x = features(batch)
    prior = 25 / 102
    item = [(6 + 4 * prior) / 14, prior, (1 + 4 * prior) / 5]
    user = [(1 + 4 * prior) / 6, (1 + 4 * prior) / 5, prior]
    weight = 2**-0.5  # Of the event before the last one.
    recent = [(weight + user[0]) / (weight + 2), (1 + user[1]) / 2, user[2]]
    expected = {
        "all:item": item,
        "all:category": [(12 + 4 * prior) / 64, (12 + 4 * prior) / 44, (12 + 4 * prior) / 64],
        "user": user,
        "recent": recent,
        # The first candidate's category is that of the last event, which was disliked.
        "user:category": [4 * user[0] / 5, user[1], user[2]],
        "recent:category": [4 * user[0] / 5 / 2, user[1], user[2]],
        "user:item": user,
        "pairs": [
            (0.5 * 8 + 1 + 4 * item[0]) / (0.5 * 8 + 6 + 4),
            4 * item[1] / (5 + 4),
            item[2],
        ],
    }
    for name, rates in expected.items():
        torch.testing.assert_close(column(features, x, name), logits(*rates)), name
    torch.testing.assert_close(x[:, -1], batch.features["price"])


def test_shares_without_labels_follow_the_formula() -> None:
    fitted, batch = tiny_click_data()
    features = RateFeatures(fitted, CONFIG, tables({3 * 7 + 2: (8, 8)}))
    x = features(batch)
    assert not {"user", "recent"} & set(features.rates)
    base = 1 / 4  # There are two categories, unknown and padding.
    weight = 2**-0.5
    shares = [(1 + 4 * base) / 6, 4 * base / 5, base]
    torch.testing.assert_close(column(features, x, "user:category"), logits(*shares))
    recent = [(1 + shares[0]) / (weight + 2), shares[1] / 2, base]
    torch.testing.assert_close(column(features, x, "recent:category"), logits(*recent))


def test_unknown_values_match_no_event() -> None:
    fitted, batch = signed()
    unknown = torch.tensor([1, 1, 1])
    events = torch.tensor([[1, 1], [1, 0], [0, 0]])
    changed = {**batch.features, "category": unknown, "history_category": events}
    features = RateFeatures(fitted, CONFIG, tables({}))
    x = features(batch._replace(features=changed))
    torch.testing.assert_close(column(features, x, "user:category"), column(features, x, "user"))


def test_padding_changes_nothing() -> None:
    fitted, batch = signed()
    padded = {
        name: torch.nn.functional.pad(values, (0, 3)) if values.ndim == 2 else values
        for name, values in batch.features.items()
    }
    features = RateFeatures(fitted, CONFIG, tables({4 * 7 + 2: (6, 1)}))
    assert torch.equal(features(batch._replace(features=padded)), features(batch))


def test_a_window_longer_than_the_history_has_absent_pairs() -> None:
    fitted, batch = signed()
    keys = RateFeatures(fitted, replace(CONFIG, window=4)).keys(batch)["pairs"]
    assert keys.shape == (3, 4)
    assert (keys >= 0).sum(1).tolist() == [2, 1, 0]
    assert math.isfinite(float(RateFeatures(fitted, CONFIG)(batch).sum()))


def test_vectors_of_items_count_the_likes_after_each_item() -> None:
    fitted, _ = signed()
    items = fitted.cardinality("item")
    liked_2, disliked_3 = items + 2, 3
    counts = {
        liked_2 * items + 2: (9, 4),
        liked_2 * items + 4: (5, 5),
        disliked_3 * items + 4: (3, 0),
    }
    vectors = RateFeatures(fitted, CONFIG, tables(counts)).pair_vectors(torch.tensor([4, 2, 3]))
    expected = torch.zeros(3, 2 * items)
    expected[0, liked_2], expected[1, liked_2] = 5 / 3, 4 / 3  # √9 likes follow it.
    torch.testing.assert_close(torch.from_numpy(vectors.toarray()), expected)


def test_examples_without_a_candidate_are_refused() -> None:
    fitted, _ = tiny_click_data()
    bare = replace(fitted, schema=FeatureSchema((fitted.schema["item"],)))
    with pytest.raises(DataError, match="rates: the features must have a history"):
        RateFeatures(bare, CONFIG)
