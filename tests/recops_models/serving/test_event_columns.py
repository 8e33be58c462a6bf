"""Event columns in the User Interest Center: fields of events and of requests."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import recops_models as rm
from centers import events_of, untrained
from recops_models.data import Dataset, ImportReport
from recops_models.data.event_columns import EventColumn
from recops_models.examples.candidates import Candidates
from recops_models.recipes.files import MODEL, load_model
from recops_models.serving.center import Center
from recops_models.serving.errors import FieldError

USERS, EVENTS, ITEMS = 8, 12, 10


def shop() -> Dataset:
    rng = np.random.default_rng(0)
    number = USERS * EVENTS
    return Dataset(
        "shop",
        pa.table(
            {
                "user_id": rng.permutation(np.repeat(np.arange(USERS), EVENTS)),
                "item_id": rng.integers(0, ITEMS, number),
                "timestamp": np.arange(number),
                "device": np.array(["app", "web"])[rng.integers(0, 2, number)],
                "price": rng.integers(1, 9, number).astype(np.float64),
                "dwell": rng.exponential(5, number),
            }
        ),
        pa.table({"item_id": np.arange(ITEMS)}),
        pa.table({"user_id": np.arange(USERS)}),
        ImportReport("shop"),
        repeats="keep",
        event_columns=(
            EventColumn("device"),
            EventColumn("price", per="item"),
            EventColumn("dwell", known="after"),
        ),
    )


@pytest.mark.parametrize("name", ["mimn", "hpmn"])
def test_scores_equal_the_models_forward_with_event_columns(name: str, tmp_path: Path) -> None:
    source = shop()
    folder = untrained(name, source, tmp_path / "data", tmp_path / name)
    model = load_model(folder / MODEL)
    with Center.open(folder, f"lmdb:{tmp_path / 'store'}") as center:
        assert center.ingest(events_of(source)).counts()["accepted"] == USERS * EVENTS
        log = source.interactions
        for user in range(USERS):
            own = log.filter(pa.array(log["user_id"].to_numpy() == user))
            with torch.no_grad():
                expected = model(Candidates(source, model.schema).shown_to(user))
            device = own["device"][-1].as_py()
            items = list(range(ITEMS))
            result = center.score(user, items, features={"device": device})
            assert torch.equal(torch.from_numpy(result.logits), expected)
            other = "web" if device == "app" else "app"
            changed = center.score(user, items, features={"event_device": other})
            assert (changed.logits != result.logits).any(), "the request's device is read"
        with pytest.raises(FieldError, match=r"^device.*must be given"):
            center.score(0, items)
        with pytest.raises(FieldError, match=r"dwell.*must be a feature that a request can set"):
            center.score(0, items, features={"device": "app", "dwell": 3.0})


def test_an_event_without_a_column_is_refused(tmp_path: Path) -> None:
    source = shop()
    folder = untrained("mimn", source, tmp_path / "data", tmp_path / "mimn")
    first = events_of(source)[0]
    unfit = [
        {name: value for name, value in first.items() if name != "dwell"},
        {**first, "price": "cheap"},
        {**first, "device": None, "price": None, "dwell": None},
    ]
    with Center.open(folder, f"lmdb:{tmp_path / 'store'}") as center:
        report = center.ingest(unfit)
        assert report.counts()["accepted"] == 1, "null is an unknown value"
        assert [(each.index, each.field) for each in report.refused] == [(0, "dwell"), (1, "price")]


def test_lists_of_items_events_and_requests_are_read(tmp_path: Path) -> None:
    tags = pa.array([[["a", "b"], [], None, ["b"]][item % 4] for item in range(ITEMS)])
    topics = pa.array([[["x"], ["x", "y"], []][row % 3] for row in range(USERS * EVENTS)])
    source = shop()
    source = dataclasses.replace(
        source,
        items=source.items.append_column("tags", tags),
        interactions=source.interactions.append_column("topics", topics),
        event_columns=(EventColumn("topics"),),
        reads_lists=True,
    )
    folder = untrained("mimn", source, tmp_path / "data", tmp_path / "mimn")
    model = load_model(folder / MODEL)
    with Center.open(folder, f"lmdb:{tmp_path / 'store'}") as center:
        assert center.ingest(events_of(source)).counts()["accepted"] == USERS * EVENTS
        log = source.interactions
        for user in range(USERS):
            own = log.filter(pa.array(log["user_id"].to_numpy() == user))
            with torch.no_grad():
                expected = model(Candidates(source, model.schema).shown_to(user))
            features = {"topics": own["topics"][-1].as_py()}
            result = center.score(user, list(range(ITEMS)), features=features)
            assert torch.equal(torch.from_numpy(result.logits), expected)
        shown = {"topics": ["x"], "tags": [["a"], ["b", "a"]]}
        assert len(center.score(0, [1, "new"], features=shown).logits) == 2
        with pytest.raises(FieldError, match=r"tags.*must be a list, got 'a'"):
            center.score(0, [1, 2], features={"topics": [], "tags": "a"})
        report = center.ingest([{**events_of(source)[0], "topics": "x", "seq": 99}])
        assert [each.field for each in report.refused] == ["topics"]


def write_examples(folder: Path) -> Path:
    """Write streamed examples with a device and a price in requests, and in histories."""
    shares: dict[str, object] = {"type": "sequence", "max_len": 6}
    features = [
        {"name": "item", "type": "categorical"},
        {"name": "event_device", "type": "categorical"},
        {"name": "event_price", "type": "categorical", "bins": 4},
        {"name": "history_item", **shares, "share_embedding": "item"},
        {"name": "history_event_device", **shares, "share_embedding": "event_device"},
        {"name": "history_event_price", **shares, "share_embedding": "event_price"},
    ]
    for each in features[4:]:
        each["history"] = "history"
    folder.mkdir()
    (folder / "features.json").write_text(json.dumps({"features": features, "group": None}))
    rng, devices = np.random.default_rng(0), np.array(["app", "web"])
    for part, number in (("train", 200), ("validation", 40), ("test", 40)):
        lengths = rng.integers(0, 6, number)
        table = {
            "item": rng.integers(ITEMS, size=number),
            "event_device": devices[rng.integers(2, size=number)],
            "event_price": rng.random(number),
            "history_item": [rng.integers(ITEMS, size=length) for length in lengths],
            "history_event_device": [devices[rng.integers(2, size=each)] for each in lengths],
            "history_event_price": [rng.random(length) for length in lengths],
            "label": rng.integers(0, 2, number),
        }
        pq.write_table(pa.table(table), folder / f"{part}.parquet")
    return folder


def test_a_model_of_streamed_examples_reads_event_columns(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples")
    settings = {"width": 4, "hidden": (8,), "epochs": 1, "batch": 64, "dropout": 0.0}
    model = rm.train("mimn", examples, settings, out=tmp_path / "mimn")
    past = {"item_id": [1, 2, 5], "device": ["app", "web", "tv"], "price": [0.1, 0.9, 0.5]}
    moment = {"device": "web", "price": [0.2, 0.8]}
    rows = {
        "item": [3, 4],
        "event_device": ["web", "web"],
        "event_price": moment["price"],
        "history_item": [past["item_id"]] * 2,
        "history_event_device": [past["device"]] * 2,
        "history_event_price": [past["price"]] * 2,
    }
    with Center.open(tmp_path / "mimn", f"lmdb:{tmp_path / 'store'}") as center:
        events = [
            {"user_id": "u", "timestamp": seq, "seq": seq, **dict(zip(past, values, strict=True))}
            for seq, values in enumerate(zip(*past.values(), strict=True), 1)
        ]
        assert center.ingest(events).counts()["accepted"] == 3
        result = center.score("u", rows["item"], features=moment)
        np.testing.assert_allclose(result.scores, model.score(rows), rtol=1e-5)
        with pytest.raises(FieldError, match=r"^price.*must be given"):
            center.score("u", [3], features={"device": "web"})
