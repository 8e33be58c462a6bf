"""Attributes of items and fields of users, as tokens."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from recops_models.data import DataError, Dataset
from recops_models.data.attributes import (
    coarsest_attributes,
    item_attributes,
    item_paths,
    shuffled,
    user_fields,
)
from recops_models.data.report import ImportReport


@pytest.fixture(scope="module")
def shop() -> Dataset:
    ids = pa.array([1, 2, 3, 4], pa.int64())
    items = pa.table(
        {
            "item_id": ids,
            "categories": [["hair", "care"], ["hair"], [], ["skin", "care"]],
            "brand": pa.array(["b", "a", None, "b"]).dictionary_encode(),
            "price": [1.5, 2.5, 3.5, 4.5],
            "floor": pa.array([0, 1, 1, 0], pa.int32()),
        }
    )
    group = pa.array(["x", None, "y"]).dictionary_encode()
    users = pa.table({"user_id": pa.array([7, 8, 9], pa.int64()), "group": group})
    events = pa.table(dict.fromkeys(("user_id", "item_id", "timestamp"), ids)).slice(0, 0)
    return Dataset("shop", events, items, users, ImportReport("made"))


def test_columns_and_list_positions_are_attributes_in_the_order_of_names(shop: Dataset) -> None:
    attributes = item_attributes(shop, ("categories", "categories:1", "floor"))
    assert [each.column for each in attributes] == ["categories", "categories:1", "floor"]
    values = [[each.values[token] for token in each.tokens] for each in attributes]
    assert values[0] == ["hair", "hair", "—", "skin"]
    assert values[1] == ["care", "—", "—", "care"]
    assert values[2] == ["0", "1", "1", "0"]


def test_auto_is_the_column_with_the_fewest_values(shop: Dataset) -> None:
    (automatic,) = item_attributes(shop)
    (coarsest,) = coarsest_attributes(shop, 1)
    assert automatic.column == coarsest.column
    bare = Dataset(
        "bare", shop.interactions, shop.items.select(["item_id"]), shop.users, shop.report
    )
    assert item_attributes(bare) == []


def test_auto_with_a_number_selects_columns_then_later_list_positions(shop: Dataset) -> None:
    def columns(*names: str) -> list[str]:
        return [each.column for each in item_attributes(shop, names)]

    assert columns("auto:1") == columns("auto")
    # brand: a, b, —; categories: hair, skin, —; categories:1: care, —.
    assert columns("auto:2") == ["categories", "brand"]
    assert columns("auto:3") == columns("auto:9") == ["categories", "brand", "categories:1"]
    assert columns("floor", "auto:2") == ["floor", "categories", "brand"]


@pytest.mark.parametrize("name", ["auto:", "auto:0", "auto:-1", "auto:two"])
def test_the_number_of_auto_must_be_positive(shop: Dataset, name: str) -> None:
    with pytest.raises(DataError, match=f"must be auto:M with M of 1 or more, got '{name}'"):
        item_attributes(shop, (name,))


@pytest.mark.parametrize("name", ["colour", "price", "item_id", "brand:1", "categories:x", ""])
def test_the_error_for_a_missing_column_lists_the_available_ones(shop: Dataset, name: str) -> None:
    with pytest.raises(DataError) as caught:
        item_attributes(shop, (name,))
    assert str(caught.value) == (
        f"shop: attributes must name categorical columns of the items, got {name!r}; available: "
        "categories, brand, floor"
    )


def test_paths_are_attributes_then_codes(shop: Dataset) -> None:
    codes = torch.tensor([[0, 1], [1, 0], [2, 2], [0, 0]], dtype=torch.int32)
    paths = item_paths(codes, (3, 3), item_attributes(shop, ("brand", "floor")))
    assert paths.vocab_sizes == (3, 2, 3, 3)
    assert paths.tokens.tolist()[0] == [1, 0, 0, 1]  # Values are sorted: a, b, —.
    assert paths.tokens.dtype == torch.int64
    assert torch.equal(item_paths(codes, (3, 3), []).tokens, codes.long())


def test_shuffled_attributes_keep_their_rows_but_not_their_items() -> None:
    table = pa.table(
        {
            "item_id": np.arange(500),
            "coarse": pa.array([f"c{i % 5}" for i in range(500)]),
            "fine": pa.array([f"f{i % 20}" for i in range(500)]),
        }
    )
    users = pa.table({"user_id": pa.array([], pa.int64())})
    events = pa.table({n: pa.array([], pa.int64()) for n in ("user_id", "item_id", "timestamp")})
    dataset = Dataset("made", events, table, users, ImportReport("made"))
    real = item_attributes(dataset, ("coarse", "fine"))
    control = shuffled(real, seed=1)
    assert (control[0].tokens != real[0].tokens).mean() > 0.5
    pairs = {(a, b) for a, b in zip(real[0].tokens, real[1].tokens, strict=True)}
    assert {(a, b) for a, b in zip(control[0].tokens, control[1].tokens, strict=True)} == pairs
    for one, other in zip(real, control, strict=True):
        assert np.array_equal(np.bincount(one.tokens), np.bincount(other.tokens))
    assert shuffled([], 0) == []


def test_fields_of_users_count_from_one_and_row_zero_is_no_user(shop: Dataset) -> None:
    fields = user_fields(shop, ("group",))
    assert fields is not None
    assert fields.tolist() == [[0], [1], [0], [2]]
    assert user_fields(shop, ()) is None
    with pytest.raises(DataError, match="user_fields must name categorical columns of the users"):
        user_fields(shop, ("age",))
