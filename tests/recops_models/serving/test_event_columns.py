"""Event columns in the User Interest Center: fields of events and of requests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

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
        with pytest.raises(FieldError, match=r"event_device.*must be given"):
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
