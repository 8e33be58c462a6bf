"""Click examples: histories, labels, negatives and features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from recops_models.data import DataError, Dataset, ImportReport
from recops_models.data.categories import with_categories
from recops_models.data.splits import Split, by_user
from recops_models.evaluation.click_metrics import auc
from recops_models.examples.candidates import Candidates
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.click_schema import click_schema
from recops_models.examples.entity_columns import item_columns, user_columns
from recops_models.examples.running_rates import RATES

BRANDS = np.array(["acme", "bolt", "cord"])


def dataset(*, users: int = 30, items: int = 25, seed: int = 0, **columns: np.ndarray) -> Dataset:
    """Each user has 12 events, several of them within one second; ids are large."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), 12) + 2**60
    item = np.concatenate([rng.permutation(items)[:12] for _ in range(users)]) * 1000
    time = np.sort(rng.integers(0, 120, len(user)))
    order = rng.permutation(len(user))
    table = {"user_id": user[order], "item_id": item[order], "timestamp": time}
    return Dataset(
        "toy",
        pa.table(table | columns),
        pa.table(
            {
                "item_id": np.arange(items) * 1000,
                "brand": pa.array(BRANDS[np.arange(items) % 3]).dictionary_encode(),
                "tags": [["a", "b"]] * items,
            }
        ),
        pa.table({"user_id": np.arange(users) + 2**60}),
        ImportReport("toy", {}, (), ()),
    )


def rated(seed: int = 0, rating: np.ndarray | None = None) -> Dataset:
    if rating is None:
        rating = np.random.default_rng(seed).integers(1, 6, 360).astype(np.float32)
    return dataset(seed=seed, rating=rating)


def rows_of(data: ClickData, part: str, **order: object) -> dict[str, np.ndarray]:
    """Return a part's examples, with histories padded to 50."""
    rows: dict[str, list[np.ndarray]] = {}
    for batch in getattr(data, part).batches(64, **({"seed": None} | order)):
        columns = batch.features | {"label": batch.label, "group": batch.group}
        columns["length"] = batch.lengths["history_item"]
        for name, values in columns.items():
            if values.ndim == 2:
                values = torch.nn.functional.pad(values, (0, 50 - values.shape[1]))
            rows.setdefault(name, []).append(values.numpy())
    return {name: np.concatenate(values) for name, values in rows.items()}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("max_len", [3, 50])
def test_a_history_holds_the_earlier_events_or_the_liked_ones(max_len: int, signed: bool) -> None:
    source = rated()
    data = click_data(source, max_len=max_len, signed=signed)
    lookup, brand = data.fitted.lookup("item"), data.fitted.lookup("brand")
    parts = [rows_of(data, part) for part in ("train", "validation", "test")]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    assert ("history_sign" in rows) == signed
    events = source.interactions.to_pylist()
    assert len(rows["label"]) == len(events)
    histories: dict[int, list[tuple[int, float]]] = {}
    for row, event in enumerate(events):
        history = histories.setdefault(event["user_id"], [])
        length = min(len(history), max_len)
        assert rows["group"][row] == event["user_id"]
        assert rows["label"][row] == (event["rating"] >= 4)
        assert rows["length"][row] == length
        items = np.array([item for item, _ in history[-length:]] if length else [], dtype=np.int64)
        assert (rows["history_item"][row, :length] == lookup.rows(items)).all()
        brands = pa.array(BRANDS[items // 1000 % 3], pa.string())
        assert (rows["history_brand"][row, :length] == brand.rows(brands)).all()
        assert not rows["history_item"][row, length:].any()
        assert rows["item"][row] == lookup.rows(np.array([event["item_id"]]))[0]
        if signed:
            ratings = np.array([rating for _, rating in history[-length:]] if length else [])
            classes = np.where(ratings >= 4, 2, np.where(ratings >= 3, 1, 0))
            assert (rows["history_sign"][row, :length] == 2 + classes).all()
        if signed or event["rating"] >= 4:
            history.append((event["item_id"], event["rating"]))


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"rating": np.tile(np.float32([1, 4, 5]), 120)}, "label: rating ≥ 4; neutral from 3"),
        ({"label": np.tile(np.float32([0, 1, 1]), 120)}, "labels of the source"),
        ({"feedback": np.tile(np.float32([0, 2, 2]), 120)}, "label: liked; neutral and disliked"),
    ],
)
def test_labels_and_signs_follow_the_source(columns: Any, rule: str) -> None:
    data = click_data(dataset(**columns))
    rows = rows_of(data, "train")
    assert (rows["label"] == np.tile([0, 1, 1], 120)[: len(rows["label"])]).all()
    assert set(np.unique(rows["history_sign"]).tolist()) == {0, 2, 3}, "padding, and two signs"
    assert data.notes[0].startswith(rule)
    assert data.negatives == "real"


def test_implicit_feedback_has_negatives_but_neither_signs_nor_rates() -> None:
    data = click_data(dataset(), negatives=2)
    assert [feature.name for feature in data.fitted.schema.features][-1] == "history_brand"
    assert data.negatives == "2 by popularity"
    assert data.notes[1].startswith("negatives: 2 by popularity per event; in training")
    assert click_data(dataset(), negatives_law="uniform").negatives == "1 by uniform"


@pytest.mark.parametrize("positive", [4.0, 11.0])
def test_a_threshold_that_hardly_divides_the_ratings_is_noted(positive: float) -> None:
    ratings = {"rating": np.tile(np.float32([5, 6, 7, 8, 9, 10]), 60)}
    data = click_data(dataset(**ratings), positive=positive)
    share = "100.0%" if positive == 4 else "0.0%"
    (note,) = [note for note in data.notes if "--set positive" in note]
    assert note.startswith(f"{share} of the events count as positive, as their rating is")
    assert "(ratings go from 5 to 10); set `positive`, for example `--set positive=8`" in note
    labelled = dataset(label=np.tile(np.float32([0, 1]), 180), **ratings)
    for other in (
        click_data(dataset(**ratings), positive=8.0),
        click_data(dataset(**ratings), positive=positive, feedback="implicit"),
        click_data(labelled, positive=positive),
    ):
        assert not [note for note in other.notes if "--set positive" in note]


def test_negatives_are_as_popular_as_positives() -> None:
    """Popularity must not predict labels; with uniform negatives its AUC is above 0.7 here."""
    users, rng = 300, np.random.default_rng(0)
    share = 1 / np.arange(1, 401)
    item = [rng.choice(400, 12, replace=False, p=share / share.sum()) for _ in range(users)]
    source = dataset(users=users, items=400, item_id=np.concatenate(item) * 1000)
    auc_of = {}
    for law in ("popularity", "uniform"):
        data = click_data(source, negatives_law=law, rare_count=1, rare_share=0.0)
        train, test = rows_of(data, "train"), rows_of(data, "test")
        counts = np.bincount(train["item"][train["label"] == 1], minlength=500)
        auc_of[law] = auc(counts[test["item"]].astype(np.float64), test["label"] == 1)
    assert auc_of["uniform"] > 0.7
    assert abs(auc_of["popularity"] - 0.5) < 0.06


def test_running_rates_are_standardised_and_ignore_later_events() -> None:
    source = rated()
    data = click_data(source)
    rows = rows_of(data, "train")
    for name in RATES:
        assert rows[name].mean() == pytest.approx(0, abs=1e-5)
        assert rows[name].std() == pytest.approx(1, abs=1e-5)
    rating = source.interactions["rating"].to_numpy().copy()
    row = 200
    rating[row:] = 6 - rating[row:]
    other = rows_of(click_data(rated(rating=rating), fitted=data.fitted), "train")
    for name in RATES:
        assert (other[name][: row + 1] == rows[name][: row + 1]).all(), "its own label included"
        assert name.endswith("count") or (other[name][row + 1 :] != rows[name][row + 1 :]).any()
    assert RATES[0] not in rows_of(click_data(source, running_rates=False), "train")


def test_columns_of_users_and_numbers_are_features() -> None:
    source = rated()
    users, items = source.users, source.items
    source = replace(
        source,
        users=users.append_column("country", pa.array(["fr", "it", None] * 10)).append_column(
            "held_out", pa.array([False] * 30)
        ),
        items=items.append_column("price", pa.array([1.5, None] * 12 + [3.0])),
    )
    rows = rows_of(click_data(source, "global-time"), "train")
    assert set(np.unique(rows["user_country"]).tolist()) == {1, 2, 3}
    missing = (source.interactions["item_id"].to_numpy()[: len(rows["label"])] // 1000) % 2 == 1
    assert (rows["price"][missing] == 0).all(), "a missing number"
    assert "user_held_out" not in rows


def test_candidates_have_the_features_of_a_next_event() -> None:
    source = rated()
    user = int(source.interactions["user_id"][-1].as_py())
    fitted = click_data(source, max_len=5).fitted
    index = int(source.user_vocabulary.index([user])[0])
    shown = Candidates(source, fitted).shown_to(index)
    assert shown.is_one_request
    # Compare with a data set that has the item as one more event of the user.
    for item in (0, 7, 24):
        more = {"user_id": user, "item_id": item * 1000, "timestamp": 1000, "rating": 5.0}
        row = pa.Table.from_pylist([more], schema=source.interactions.schema)
        longer = replace(source, interactions=pa.concat_tables([source.interactions, row]))
        part = np.full(361, 0)
        part[-2:] = 1, 2
        data = click_data(longer, Split.of(longer, part), fitted=fitted)
        (batch,) = data.test.batches(8, seed=None)
        for name, values in batch.features.items():
            assert torch.equal(shown.features[name][item], values[0]), name
        for name, length in batch.lengths.items():
            assert shown.lengths[name][item] == length[0]


def test_a_schema_of_another_data_set_is_refused() -> None:
    fitted = click_data(rated()).fitted
    source = rated()
    with pytest.raises(DataError, match="toy: no column has the feature 'brand'"):
        click_data(replace(source, items=source.items.drop_columns(["brand"])), fitted=fitted)


def test_vocabularies_are_of_the_training_part() -> None:
    source = dataset(items=25, label=np.tile(np.float32([0, 1]), 180))
    data = click_data(source)
    train = source.interactions.slice(0, data.train.num_examples)
    known = set(train["item_id"].to_pylist())
    assert data.fitted.cardinality("history_item") == 2 + len(known)
    assert data.fitted.cardinality("history_brand") == 5
    schema = click_schema(source.name, user_columns(source), item_columns(source))
    assert [feature.name for feature in schema.features] == [
        "user", "item", "brand", "history_item", "history_brand",
    ]  # fmt: skip


def test_fitted_features_do_not_depend_on_the_chunks_of_a_column() -> None:
    source = rated()
    # Each chunk has another dictionary.
    brand = pa.chunked_array(
        [pa.array(BRANDS[[item % 3]]).dictionary_encode() for item in range(source.items.num_rows)]
    )
    items = source.items.drop_columns(["brand"]).append_column("brand", brand)
    chunked = click_data(replace(source, items=items))
    expected, fitted = (data.fitted for data in (click_data(source), chunked))
    assert fitted.lookup("brand").keys.equals(expected.lookup("brand").keys)
    rows, of_chunks = rows_of(click_data(source), "train"), rows_of(chunked, "train")
    assert (rows["brand"] == of_chunks["brand"]).all()


def rare(seed: int = 0) -> Dataset:
    """Return a data set of 400 items, most of which have at most one event."""
    item = np.random.default_rng(seed).zipf(1.3, 360) % 400 * 1000
    return dataset(items=400, seed=seed, item_id=item, label=np.tile(np.float32([0, 1]), 180))


def test_values_with_one_training_event_are_unknown() -> None:
    source = rare()
    data = click_data(source)
    train = source.interactions.slice(0, data.train.num_examples)["item_id"].to_numpy()
    times = dict(zip(*np.unique(train, return_counts=True), strict=True))
    once = np.array([times[item] == 1 for item in train.tolist()])
    rows = rows_of(data, "train")
    assert once.any()
    assert ((rows["item"] == 1) == once).all()
    assert (rows_of(click_data(source, rare_count=1), "train")["item"] > 1).all()


def test_the_rarest_values_are_unknown_up_to_a_share_of_training() -> None:
    source = dataset(label=np.tile(np.float32([0, 1]), 180))
    assert (rows_of(click_data(source), "train")["item"] > 1).all(), "no item is rare"
    shares = [
        (rows_of(click_data(source, rare_share=share), "train")["item"] == 1).mean()
        for share in (0.1, 0.3)
    ]
    assert 0 < shares[0] <= 0.1 < shares[1] <= 0.3


@pytest.mark.parametrize("negatives", [1, 3])
def test_training_negatives_are_new_each_epoch_and_never_positives(negatives: int) -> None:
    data = click_data(dataset(), negatives=negatives)
    epochs = [rows_of(data, "train", seed=5, epoch=epoch) for epoch in (0, 1, 0)]
    train = epochs[0]
    positive = train["label"] == 1
    assert (~positive).sum() == negatives * positive.sum()
    positives = set(zip(train["group"][positive], train["item"][positive], strict=True))
    sampled = [
        sorted(
            zip(rows["group"][rows["label"] == 0], rows["item"][rows["label"] == 0], strict=True)
        )
        for rows in epochs
    ]
    assert not positives & set(sampled[0])
    assert sampled[0] != sampled[1]
    assert sampled[0] == sampled[2]
    assert (train["item"] >= 2).all(), "unknown items would reveal the label"


def test_negatives_by_popularity_are_popular() -> None:
    skewed = np.random.default_rng(0).choice(25, 360, p=[0.14] * 5 + [0.015] * 20) * 1000
    source = dataset(item_id=skewed)
    share = {}
    for law in ("uniform", "popularity"):
        data = click_data(source, negatives=5, negatives_law=law)
        popular = data.fitted.lookup("item").rows(np.arange(5) * 1000)
        for part in ("train", "test"):
            rows = rows_of(data, part)
            share[law, part] = np.isin(rows["item"][rows["label"] == 0], popular).mean()
    for part in ("train", "test"):
        assert share["popularity", part] > 1.5 * share["uniform", part]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_held_out_negatives_are_fixed_and_in_no_part_of_the_users_events(part: str) -> None:
    source = dataset()
    data = click_data(source)
    once = rows_of(data, part)
    again = rows_of(click_data(source), part)
    other = rows_of(click_data(source, seed=1), part)
    assert (once["item"] == again["item"]).all()
    assert (once["item"] != other["item"]).any()
    lookup = data.fitted.lookup("item")
    pairs = {
        (event["user_id"], lookup.rows(np.array([event["item_id"]]))[0])
        for event in source.interactions.to_pylist()
    }
    negative = once["label"] == 0
    assert 0 < negative.sum() == (~negative).sum()
    assert not pairs & set(zip(once["group"][negative], once["item"][negative], strict=True))
    positive_histories = once["history_item"][~negative]
    assert (positive_histories == once["history_item"][negative]).all()


def test_held_out_users_have_their_context() -> None:
    split = by_user(dataset(), validation=0.2, test=0.2)
    data = click_data(split.dataset, split)
    assert data.split == "given"
    test = rows_of(data, "test")
    assert (test["group"] == np.sort(np.repeat(split.test["user_id"].to_numpy(), 2))).all()
    assert (test["user"] == 1).all()
    assert (test["length"] == 11).all(), "all earlier events of each user"
    train = rows_of(data, "train")
    assert not set(train["group"]) & set(split.context["user_id"].to_pylist())


def test_labels_are_0_or_1() -> None:
    with pytest.raises(DataError, match="labels must be 0 or 1, got 2 in 360 rows"):
        click_data(dataset(label=np.full(360, 2, dtype=np.float32)))


def test_feedback_the_source_lacks_is_refused() -> None:
    with pytest.raises(
        DataError, match="explicit feedback needs a label, feedback or rating column"
    ):
        click_data(dataset(), feedback="explicit")


def described(of: str, **columns: object) -> Dataset:
    source = rated()
    table = getattr(source, of)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return replace(source, **{of: table})


@pytest.mark.parametrize(
    ("of", "name"),
    [
        ("items", "item"),
        ("items", "user"),
        ("items", "user_age"),
        ("items", "item_count"),
        ("items", "sign"),
        ("users", "rate"),
        ("users", "count"),
    ],
)
def test_a_column_must_not_have_the_name_of_a_computed_feature(of: str, name: str) -> None:
    rows = getattr(rated(), of).num_rows
    with pytest.raises(DataError, match=f"the column '{name}' of {of} must have another name"):
        click_data(described(of, **{name: np.arange(rows) % 2}))


def test_numbers_may_be_as_large_as_nanoseconds() -> None:
    times = 1_600_000_000_000_000_001 + np.arange(25) * 10**15
    numbers = rows_of(click_data(described("items", made_at=times)), "train")["made_at"]
    assert np.isfinite(numbers).all()
    assert numbers.std() > 0.5


def test_training_negatives_are_not_in_the_context() -> None:
    source = dataset()
    rank = source.interactions["timestamp"].to_numpy().argsort(kind="stable").argsort()
    part = np.select([rank < 150, rank < 300, rank < 330], [3, 0, 1], 2)
    split = Split.of(source, part)
    rows = rows_of(click_data(source, split, negatives=3), "train")
    items_of: dict[int, set[int]] = {}
    for table in (split.context, split.train):
        pairs = zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True)
        for user, item in pairs:
            items_of.setdefault(user, set()).add(item)
    data = click_data(source, split, negatives=3)
    known = {
        int(row): int(key)
        for key, row in zip(
            source.items["item_id"].to_numpy(),
            data.fitted.lookup("item").rows(source.items["item_id"].combine_chunks()),
            strict=True,
        )
        if row > 1
    }
    negative = (rows["label"] == 0) & (rows["item"] > 1)
    assert negative.sum() > 100
    users, items = rows["group"][negative].tolist(), rows["item"][negative].tolist()
    assert all(known[item] not in items_of[user] for user, item in zip(users, items, strict=True))


def test_a_catalogue_may_be_scored_in_parts() -> None:
    source = rated()
    shown = Candidates(source, click_data(source).fitted).shown_to(3)
    parts = list(shown.split(10))
    assert [len(part.label) for part in parts] == [10, 10, 5]
    for name, values in shown.features.items():
        assert torch.equal(torch.cat([part.features[name] for part in parts]), values)
    assert parts[0].features["history_item"].stride(0) == 0


def test_a_column_of_another_kind_than_in_training_is_named() -> None:
    trained = rated()
    other = replace(trained, items=trained.items.set_column(1, "brand", pa.array(range(25))))
    other = replace(other, items=with_categories(other.items, ["brand"]))
    with pytest.raises(DataError, match="toy: column 'brand' must be strings, as in the training"):
        click_data(other, fitted=click_data(trained).fitted)
