"""Schemas of click models: files, vocabularies and moments."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from recops.files import load_tensors, save_tensors
from recops_models.data import DataError
from recops_models.examples.features import (
    Categorical,
    FeatureSchema,
    FittedSchema,
    Numeric,
    Sequence,
    Vector,
)
from recops_models.examples.fit_schema import SchemaFit
from recops_models.examples.key_counts import KeyCounts

SCHEMA = FeatureSchema(
    (
        Categorical("item", min_count=2),
        Categorical("brand"),
        Numeric("price"),
        Sequence("history_item", max_len=20, share_embedding="item"),
        Vector("image", 4),
    )
)


def fitted() -> FittedSchema:
    fit = SchemaFit(SCHEMA)
    fit.update(
        {
            "item": pa.array([7, 2**53 + 1, 3]),
            "brand": pa.array(["Zoë", None, "ab"]),
            "price": pa.array([1.0, None, 2.0]),
            "history_item": pa.array([7, 2**53 + 1, 5]),
        }
    )
    fit.update({"price": pa.array([3.0, float("nan"), 6.0])})
    return fit.finish()


def test_rows_are_padding_then_unknown_then_known_values() -> None:
    schema = fitted()
    assert schema.cardinality("item") == 4
    assert schema.cardinality("history_item") == 4
    rows = schema.lookup("history_item").rows(pa.array([7, 2**53 + 1, 2**53, 3, None, -1]))
    assert rows.tolist() == [2, 3, 1, 1, 1, 1], "3 is rare; 2^53 is next to a known id"
    assert schema.lookup("brand").rows(pa.array(["ab", "x", None, "Zoë"])).tolist() == [3, 1, 1, 2]


def test_rows_of_a_column_do_not_depend_on_its_chunks_or_encoding() -> None:
    chunks = [pa.array(["ab", "x"]), pa.array([None, "Zoë"])]
    plain, encoded = (
        pa.chunked_array(parts) for parts in (chunks, [each.dictionary_encode() for each in chunks])
    )
    for column in (plain, encoded):
        assert fitted().lookup("brand").rows(column).tolist() == [3, 1, 1, 2]
    with pytest.raises(DataError, match="must hold integers or strings, got double"):
        fitted().lookup("brand").rows(pa.chunked_array([[1.0]]))


def test_encoding_leaves_out_columns_that_are_no_features() -> None:
    names = ("price", "brand", "colour")
    values = ([3.0, None], ["ab", "x"], [1, 2])
    columns = {name: pa.chunked_array([each]) for name, each in zip(names, values, strict=True)}
    encoded = fitted().encode(columns)
    assert {name: each.tolist() for name, each in encoded.items()} == {
        "brand": [3, 1],
        "price": [0.0, 0.0],
    }


def test_moments_ignore_missing_values() -> None:
    mean, deviation = fitted().moments["price"]
    assert (mean, deviation) == (3.0, pytest.approx(np.std([1, 2, 3, 6])))


def test_standardised_numbers_have_squares_in_float32() -> None:
    schema = FittedSchema(SCHEMA, {}, {"price": (3.0, 1e-3)})
    numbers = schema.standardised("price", np.array([3.002, np.nan, 1e200, -1e200, np.inf]))
    np.testing.assert_allclose(numbers, [2, 0, 1e18, -1e18, 1e18], rtol=1e-5)
    assert np.isfinite(numbers @ numbers)


def test_a_fitted_schema_survives_its_file(tmp_path) -> None:
    before = fitted()
    tensors, meta = before.state()
    save_tensors(tmp_path / "schema", tensors | {"weight": torch.ones(2)}, kind="k", meta=meta)
    after = FittedSchema.from_state(*load_tensors(tmp_path / "schema", kind="k"))
    assert after.schema == before.schema
    assert after.moments == before.moments
    values = {"item": pa.array([7, 3, 2**53 + 1]), "brand": pa.array(["Zoë", "ab", "?"])}
    for name, column in values.items():
        assert (after.lookup(name).rows(column) == before.lookup(name).rows(column)).all()


def test_strings_and_integers_cannot_be_mixed() -> None:
    schema = fitted()
    with pytest.raises(DataError, match="must be strings, as in the training part, got int64"):
        schema.lookup("brand").rows(pa.array([1]))
    with pytest.raises(DataError, match="must be integers, as in the training part, got string"):
        schema.lookup("item").rows(pa.array(["7"]))
    with pytest.raises(DataError, match="column 'item': must hold integers or strings, got double"):
        SchemaFit(SCHEMA).update({"item": pa.array([1.0])})


@pytest.mark.parametrize("strings", [False, True])
def test_counting_in_chunks_is_exact(strings: bool) -> None:
    rng = np.random.default_rng(0)
    ids = rng.zipf(1.3, 300_000) % 200_000
    column = pa.array(ids).cast(pa.string()) if strings else pa.array(ids)
    counts = KeyCounts(capacity=1 << 20)
    for start in range(0, len(ids), 10_000):
        counts.add(column[start : start + 10_000])
    keys, times = np.unique(column.to_numpy(zero_copy_only=False), return_counts=True)
    known = counts.lookup(min_count=3)
    assert (known.rows(pa.array(keys[times >= 3])) == 2 + np.arange((times >= 3).sum())).all()
    assert (known.rows(pa.array(keys[times < 3])) == 1).all()


def test_the_rarest_keys_are_left_out_by_count() -> None:
    counts = KeyCounts(capacity=1 << 20)
    counts.add(pa.array([1, 2, 3, 3, 4, 4, *[5] * 14]))
    shares = (0.0, 0.05, 0.1, 0.29, 0.3, 0.99)
    sizes = [counts.lookup(1, share).cardinality - 2 for share in shares]
    assert sizes == [5, 5, 3, 3, 1, 1], "counts: 1 and 2 one, 3 and 4 two, 5 fourteen"


@pytest.mark.parametrize("keys", [[3, 1, None, 2], ["c", "a", None, "b"]])
def test_counted_keys_equal_repeated_keys(keys: list[int | str | None]) -> None:
    counts, repeated = KeyCounts(capacity=100), KeyCounts(capacity=100)
    number = np.array([2, 0, 4, 1])
    for _ in range(2):
        counts.add(pa.array(keys), number)
        repeated.add(pa.array(np.repeat(np.array(keys, dtype=object), number)))
    for least in range(6):
        actual, expected = counts.lookup(least).keys, repeated.lookup(least).keys
        assert list(map(str, actual)) == list(map(str, expected))


def test_the_candidate_shares_its_table_with_a_history() -> None:
    assert SCHEMA.candidate == "item"
    assert FeatureSchema((Categorical("a"), Numeric("b"))).candidate is None


def test_beyond_the_capacity_the_rarest_keys_are_dropped() -> None:
    counts = KeyCounts(capacity=100)
    for start in range(0, 10_000, 500):
        rare = np.arange(start, start + 500) + 1_000_000
        counts.add(pa.array(np.concatenate([rare, np.repeat(np.arange(20), 20)])))
    lookup = counts.lookup(1)
    assert lookup.cardinality <= 102
    assert (lookup.rows(np.arange(20)) == 2 + np.arange(20)).all(), "each has 400 of 18,000"


def test_a_schema_reads_what_it_wrote() -> None:
    assert FeatureSchema.from_dict(SCHEMA.to_dict()) == SCHEMA
    assert SCHEMA.to_dict()["features"][3] == {
        "name": "history_item",
        "type": "sequence",
        "max_len": 20,
        "share_embedding": "item",
    }


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"name": "a", "type": "bag"}, "'a' has type 'bag'; available: categorical"),
        ({"type": "numeric"}, "a feature needs a 'name'"),
        ({"name": "a", "type": "categorical", "maxlen": 3}, "'a': unknown key 'maxlen'"),
        ({"name": "a", "type": "sequence", "max_len": "3"}, "'a': max_len must be int, got '3'"),
        ({"name": "a", "type": "sequence", "max_len": 0}, "'a': max_len must be 1 or more"),
        (
            {"name": "a", "type": "sequence", "padding": "left"},
            "'a': padding must be 'post' or 'pre'",
        ),
        ({"name": "a", "type": "categorical", "rare_share": 1.0}, "rare_share must be in"),
        (
            {"name": "a", "type": "categorical", "rare_share": "all"},
            "rare_share must be float, got",
        ),
        ({"name": "a", "type": "vector"}, "'a': a vector must have a size"),
        ({"name": "a", "type": "sequence", "share_embedding": "b"}, "shares the embedding of 'b'"),
    ],
)
def test_a_faulty_schema_is_named(feature: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        FeatureSchema.from_dict({"features": [feature]})


def test_names_are_unique_and_there_are_features() -> None:
    with pytest.raises(DataError, match="two features named 'a'"):
        FeatureSchema((Categorical("a"), Numeric("a")))
    with pytest.raises(DataError, match="no features"):
        FeatureSchema(())
