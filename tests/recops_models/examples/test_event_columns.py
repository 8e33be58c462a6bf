"""Event columns as features of requests and histories, without a leak from the event itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import recops_models as rm
from click_recipes import CLICK, net
from recops_models.click.loss import training_loss
from recops_models.data import DataError, Dataset, ImportReport
from recops_models.data.event_columns import EventColumn
from recops_models.data.splits import Split
from recops_models.examples.bins import Bins, Quantiles
from recops_models.examples.candidates import Candidates
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.click_stream import open_click_folder
from recops_models.examples.features import Categorical, FeatureSchema, FittedSchema, Sequence
from recops_models.examples.lookup import UNKNOWN

COLUMNS = (
    EventColumn("device"),
    EventColumn("price", per="item"),
    EventColumn("dwell", known="after"),
)
DEVICES = np.array(["app", "web", "tv"])
USERS, EVENTS, ITEMS = 20, 10, 15


def shop(seed: int = 0, *, explicit: bool = False, **changed: Any) -> Dataset:
    """Each user has 10 events of different items; a price changes over time."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(USERS), EVENTS)
    item = np.concatenate([rng.permutation(ITEMS)[:EVENTS] for _ in range(USERS)])
    order = rng.permutation(len(user))
    columns: dict[str, Any] = {
        "user_id": user[order],
        "item_id": item[order],
        "timestamp": np.arange(len(user)),
        "device": pa.array(DEVICES[rng.integers(0, 3, len(user))]),
        "price": item[order] + np.arange(len(user)) / 1000,
        "dwell": rng.exponential(10, len(user)),
    }
    if explicit:
        columns["label"] = rng.integers(0, 2, len(user)).astype(np.float32)
    return Dataset(
        "shop",
        pa.table(columns | changed),
        pa.table({"item_id": np.arange(ITEMS)}),
        pa.table({"user_id": np.arange(USERS)}),
        ImportReport("shop"),
        event_columns=COLUMNS,
    )


def batch_of(data: ClickData, part: str = "train") -> Any:
    """Return all examples of a part in order."""
    (batch,) = getattr(data, part).batches(10_000, seed=None)
    return batch


def test_columns_are_features_of_requests_and_histories_as_the_schema_says() -> None:
    source = shop()
    data = click_data(source, rare_count=1, rare_share=0.0)
    names = [feature.name for feature in data.fitted.schema.features]
    assert names == [
        "user", "item", "event_device", "event_price", "history_item", "history_event_device",
        "history_event_price", "history_event_dwell",
    ]  # fmt: skip
    plain = click_data(replace(source, event_columns=()), rare_count=1, rare_share=0.0)
    assert [feature.name for feature in plain.fitted.schema.features] == [
        "user", "item", "history_item",
    ]  # fmt: skip
    batch, log = batch_of(data), source.interactions
    device = data.fitted.lookup("event_device").rows(log["device"])
    dwell = data.fitted.lookup("history_event_dwell").rows(log["dwell"])
    users = log["user_id"].to_numpy()
    positives = np.flatnonzero(batch.label.numpy() == 1)
    for row in positives[:40]:
        user, length = int(batch.group[row]), int(batch.lengths["history_item"][row])
        own = np.flatnonzero(users == user)
        assert batch.features["event_device"][row] == device[own[length]]
        assert batch.features["event_device"][row + 1] == device[own[length]], "its negative"
        for name, rows in (("device", device), ("dwell", dwell)):
            history = batch.features[f"history_event_{name}"][row, :length]
            assert history.tolist() == rows[own[:length]].tolist()


@pytest.mark.parametrize("explicit", [False, True])
def test_outcomes_of_an_event_change_only_later_histories(explicit: bool) -> None:
    """A dwell time is known after the click: an example must not depend on its own."""
    source = shop(explicit=explicit)
    fitted = click_data(source).fitted
    row = 60
    dwell = source.interactions["dwell"].to_numpy().copy()
    dwell[row:] = dwell[row:][::-1]
    before = batch_of(click_data(source, fitted=fitted))
    after = batch_of(click_data(shop(explicit=explicit, dwell=dwell), fitted=fitted))
    earlier = {}
    users = source.interactions["user_id"].to_numpy()
    for user in range(USERS):
        earlier[user] = int((users[:row] == user).sum())
    length = before.lengths["history_item"]
    is_early = torch.tensor(
        [int(n) <= earlier[int(user)] for n, user in zip(length, before.group, strict=True)]
    )
    assert 0 < is_early.sum() < len(is_early)
    for name, values in before.features.items():
        same = (values == after.features[name]).reshape(len(values), -1).all(1)
        assert same[is_early].all(), name
        assert same.all() or name == "history_event_dwell", name
    assert not torch.equal(
        before.features["history_event_dwell"], after.features["history_event_dwell"]
    )


def test_prices_of_sampled_items_do_not_reveal_the_label() -> None:
    """All candidates of an event have the price of their last earlier event."""
    source = shop()
    data = click_data(source, rare_count=1, rare_share=0.0)
    batch, log = batch_of(data), source.interactions
    items, prices = log["item_id"].to_numpy(), log["price"]
    rows = data.fitted.lookup("event_price").rows(prices)
    times, users = np.arange(len(items)), log["user_id"].to_numpy()
    for row in range(0, len(batch.label), 7):
        own = np.flatnonzero(users == int(batch.group[row]))
        now = own[int(batch.lengths["history_item"][row])]
        item = int(data.fitted.lookup("item").keys.ids[int(batch.features["item"][row]) - 2])
        earlier = times[(items == item) & (times < now)]
        expected = rows[earlier[-1]] if len(earlier) else UNKNOWN
        assert batch.features["event_price"][row] == expected


def test_impressions_have_their_prices() -> None:
    source = shop(explicit=True)
    data = click_data(source, rare_count=1, rare_share=0.0)
    batch = batch_of(data)
    rows = data.fitted.lookup("event_price").rows(source.interactions["price"])
    number = data.train.num_examples
    assert batch.features["event_price"].tolist() == rows[:number].tolist()


@pytest.mark.parametrize("explicit", [False, True])
def test_candidates_have_the_event_columns_of_a_next_event(explicit: bool) -> None:
    source = shop(explicit=explicit)
    fitted = click_data(source, rare_count=1, rare_share=0.0, max_len=4).fitted
    shown = Candidates(source, fitted).shown_to(3)
    log = source.interactions
    last = log.filter(pa.array(log["user_id"].to_numpy() == 3)).slice(EVENTS - 1).to_pylist()[0]
    for item in (0, 7, 14):
        price = log.filter(pa.array(log["item_id"].to_numpy() == item))["price"][-1]
        more = {**last, "item_id": item, "timestamp": 1000, "price": price.as_py()}
        row = pa.Table.from_pylist([more], schema=log.schema)
        longer = replace(source, interactions=pa.concat_tables([log, row]))
        part = np.zeros(longer.interactions.num_rows, dtype=np.int64)
        part[-2:] = 1, 2
        batch = batch_of(click_data(longer, Split.of(longer, part), fitted=fitted), "test")
        for name, values in batch.features.items():
            assert torch.equal(shown.features[name][item].long(), values[0].long()), name


@pytest.mark.parametrize("name", CLICK)
def test_every_click_model_reads_event_columns(name: str) -> None:
    data = click_data(shop())
    batch = batch_of(data)
    model = net(name, data.fitted, width=4, hidden=(8,))
    training_loss(model, batch).backward()
    for table in ("event_device", "event_price", "history_event_dwell"):
        gradient = model.embedding.tables[table].weight.grad
        assert gradient is not None
        assert (gradient[2:] != 0).any(), table


@pytest.mark.slow
def test_a_model_learns_from_the_device_of_a_request(tmp_path: Path) -> None:
    """Every second item is clicked in the app only, and the others elsewhere."""
    rng = np.random.default_rng(0)
    number = 1500
    device, item = rng.integers(0, 2, number), rng.integers(0, 8, number)
    log = {
        "user_id": rng.integers(0, 30, number),
        "item_id": item,
        "timestamp": np.arange(number),
        "device": DEVICES[device],
        "label": (item % 2 == device).astype(np.float32),
    }
    (tmp_path / "s.yaml").write_text("event:\n  device: category\n")
    settings = {"width": 8, "hidden": (16,), "epochs": 2, "patience": 2, "dropout": 0.0}
    settings |= {"learning_rate": 0.05, "max_len": 3, "batch": 64}
    data = Dataset.from_frames(log, schema=tmp_path / "s.yaml")
    model = rm.train("din", data, settings)
    assert model.metrics["test"]["auc"] > 0.9, "0.5 without the device"
    new = {"user_id": [999] * 2, "item_id": [0, 1], "device": ["app", "web"]}
    for device in ("app", "web"):
        shown = model.recommend(histories=new | {"device": [device] * 2}, k=8, exclude_seen=False)
        best = set(np.asarray(shown["item_id"])[:4].tolist())
        assert best == ({0, 2, 4, 6} if device == "app" else {1, 3, 5, 7})
    assert len(model.recommend(histories={"user_id": [999], "item_id": [0]}, k=3)["rank"]) == 3


def test_a_data_set_without_the_column_is_refused() -> None:
    fitted = click_data(shop()).fitted
    source = replace(shop(), event_columns=COLUMNS[:2])
    with pytest.raises(DataError, match="shop: no column has the feature 'history_event_dwell'"):
        click_data(source, fitted=fitted)


def test_bins_hold_equal_counts_and_survive_a_file() -> None:
    numbers = np.random.default_rng(0).exponential(5, 999)
    fit = Quantiles()
    for chunk in np.array_split(numbers, 7):
        fit.add(pa.array(chunk))
    bins = fit.lookup(8)
    assert bins.cardinality == 10
    counts = np.bincount(bins.rows(numbers))[2:]
    assert counts.max() - counts.min() <= 1
    assert bins.rows(pa.array([None, -np.inf, np.inf, 0])).tolist() == [UNKNOWN, 2, 9, 2]
    with pytest.raises(DataError, match="must hold numbers, got string"):
        bins.rows(pa.array(["5"]))
    schema = FeatureSchema((Categorical("x", bins=8), Sequence("xs", share_embedding="x")))
    tensors, meta = FittedSchema(schema, {"x": bins}).state()
    again = FittedSchema.from_state(tensors, meta).lookup("xs")
    assert isinstance(again, Bins)
    assert again.rows(numbers).tolist() == bins.rows(numbers).tolist()


def test_few_values_have_a_bin_each() -> None:
    fit = Quantiles()
    fit.add(pa.array([1, 2, 2, 2, 2, 2, 2, 2, 3, None]))
    assert fit.lookup(16).rows(np.array([1.0, 2.0, 3.0])).tolist() == [2, 3, 4]
    assert Quantiles().lookup(16).rows(np.array([5.0, np.nan])).tolist() == [2, UNKNOWN]


def test_a_sample_of_many_numbers_does_not_depend_on_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recops_models.examples.bins._SAMPLE", 1000)
    numbers = np.random.default_rng(1).normal(size=20_000)
    edges = []
    for chunks in (2, 31):
        fit = Quantiles()
        for chunk in np.array_split(numbers, chunks):
            fit.add(pa.array(chunk))
        edges.append(fit.lookup(4).edges)
    assert edges[0].tolist() == edges[1].tolist()
    assert edges[0] == pytest.approx(np.quantile(numbers, [0.25, 0.5, 0.75]), abs=0.1)


def test_streamed_examples_have_numbers_in_bins(tmp_path: Path) -> None:
    features = [
        {"name": "item", "type": "categorical"},
        {"name": "price", "type": "categorical", "bins": 4},
        {"name": "items", "type": "sequence", "share_embedding": "item"},
        {"name": "prices", "type": "sequence", "share_embedding": "price"},
        {"name": "dwell", "type": "sequence", "bins": 2, "history": "history"},
    ]
    schema = FeatureSchema.from_dict({"features": features, "group": None})
    (tmp_path / "features.json").write_text(
        str(schema.to_dict()).replace("'", '"').replace("None", "null")
    )
    table = pa.table(
        {
            "item": [1, 2, 1, 2],
            "price": [1.0, 2.0, 3.0, None],
            "items": [[1], [1, 2], [], [2]],
            "prices": [[1.0], [1.0, 3.0], [], [float("nan")]],
            "dwell": [[9.0], [1.0, 9.0], [], [1.0]],
            "label": [0, 1, 1, 0],
        }
    )
    for part in ("train", "validation", "test"):
        pq.write_table(table, tmp_path / f"{part}.parquet")
    batch = batch_of(open_click_folder(tmp_path))
    assert batch.features["price"].tolist() == [2, 3, 4, UNKNOWN]
    assert batch.features["prices"].tolist() == [[2, 0], [2, 4], [0, 0], [UNKNOWN, 0]]
    assert batch.features["dwell"].tolist() == [[3, 0], [2, 3], [0, 0], [2, 0]]
    text = table.set_column(1, "price", pa.array(["a", "b", "c", "d"]))
    pq.write_table(text, tmp_path / "train.parquet")
    with pytest.raises(DataError, match="column 'price' must hold numbers, got string"):
        open_click_folder(tmp_path)
