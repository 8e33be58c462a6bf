"""Trainings that continue with heads, bins, lists of categories, and streamed examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recops_models as rm
from recops_models.cli import run
from recops_models.data import DataError

SCHEMA = """event:
  behaviour: {role: category, known: after}
  price: {role: number, per: item}
  topics: list
item:
  tags: list
labels:
  purchase: behaviour = 'buy'
"""
SETTINGS = ["width=4", "hidden=8", "activation=relu", "epochs=1", "max_len=4", "heads=mmoe"]
STILL = ["--set", "learning_rate=0", "--set", "weight_decay=0"]


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


def write_shop(folder: Path, *, items: int, users: int, largest_price: float) -> Path:
    """Write a log with labels, numbers and lists; prices and topics grow with the data."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(items)
    rows, tags = ["user_id,item_id,timestamp,behaviour,price,topics"], ["item_id,tags"]
    for step in range(12):
        for user in range(users):
            item = int(rng.integers(items))
            kind = "buy" if rng.random() < 0.3 else "view"
            price = f"{rng.random() * largest_price:.2f}"
            rows.append(f"u{user},i{item},{step},{kind},{price},t{item % 4}|t{item % 3}")
    tags += [f"i{item},red|{'blue' if item % 2 else f'new{item // 10}'}" for item in range(items)]
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    (folder / "items.csv").write_text("\n".join(tags) + "\n")
    (folder / "schema.yaml").write_text(SCHEMA)
    return folder


def test_heads_bins_and_lists_continue(tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop", items=20, users=15, largest_price=10)
    settings = [word for each in SETTINGS for word in ("--set", each)]
    old, new = tmp_path / "old", tmp_path / "new"
    assert run(["train", "din", "--data", str(shop), *settings, "--out", str(old)]) == 0
    write_shop(shop, items=31, users=18, largest_price=900)
    command = ["train", "din", "--data", str(shop), "--from", str(old), "--out", str(new)]
    assert run([*command, *STILL]) == 0
    after = rm.load(new)
    before = rm.load(old, data=shop)
    with pytest.warns(UserWarning, match="new items since training: 11 of 31"):
        _ = before.matched
    pairs = {"user_id": ["u1"] * 20, "item_id": [f"i{item}" for item in range(20)]}
    history: dict[str, object] = {
        "user_id": ["u1"] * 2,
        "item_id": ["i3", "i4"],
        "price": [1.0, 9.5],
    }
    history |= {"topics": [["t0", "t1"], ["t2"]], "behaviour": ["buy", "view"]}
    now = {"price": np.linspace(0.0, 9.9, 20)}
    for label in ("click", "purchase", {"click": 1.0, "purchase": 0.5}):
        scores = [
            each.score(pairs | now, histories=history, label=label) for each in (before, after)
        ]
        np.testing.assert_allclose(*scores, rtol=1e-4)
    price = "event_price"
    edges = [each.module.schema.lookup(price).edges for each in (before, after)]  # type: ignore[union-attr]
    assert edges[0].tolist() == edges[1].tolist(), "bins stay"
    tags = [each.module.schema.lookup("tags") for each in (before, after)]  # type: ignore[union-attr]
    assert tags[1].cardinality == tags[0].cardinality + 2, "new2 and new3"
    newest = {"user_id": ["u17"], "item_id": ["i30"]}
    assert np.isfinite(after.score(newest, label="purchase")).all()
    assert "auc_purchase" in after.metrics["test"]


def write_examples(folder: Path, *, items: int, features: list[dict[str, object]]) -> Path:
    """Write streamed examples with ids, numbers in bins and lists."""
    folder.mkdir(exist_ok=True)
    content = {"features": features, "group": None}
    (folder / "features.json").write_text(json.dumps(content))
    rng = np.random.default_rng(items)
    for part, number in (("train", 200), ("validation", 40), ("test", 40)):
        item = rng.integers(items, size=number)
        table = {
            "item": pa.array([f"i{each}" for each in item]),
            "price": rng.random(number) * items,
            "tags": [[f"t{each % 5}", f"t{each % items}"] for each in item],
            "items": [[f"i{each}" for each in rng.integers(items, size=3)] for _ in item],
            "label": rng.integers(0, 2, number),
        }
        pq.write_table(pa.table(table), folder / f"{part}.parquet")
    return folder


FEATURES: list[dict[str, object]] = [
    {"name": "item", "type": "categorical"},
    {"name": "price", "type": "categorical", "bins": 4},
    {"name": "tags", "type": "categorical", "max_values": 4},
    {"name": "items", "type": "sequence", "share_embedding": "item", "max_len": 5},
]


def test_streamed_examples_continue(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    examples = write_examples(tmp_path / "examples", items=10, features=FEATURES)
    settings = {"width": 4, "hidden": (8,), "activation": "relu", "epochs": 1, "batch": 64}
    before = rm.train("din", examples, settings, out=old)
    write_examples(examples, items=14, features=FEATURES)
    command = ["train", "din", "--data", str(examples), "--from", str(old), "--out", str(new)]
    assert run([*command, *STILL]) == 0
    after = rm.load(new)
    lookups = [each.module.schema.lookups for each in (before, after)]  # type: ignore[union-attr]
    assert lookups[1]["item"].cardinality == lookups[0]["item"].cardinality + 4
    assert lookups[1]["tags"].cardinality == lookups[0]["tags"].cardinality + 4
    assert lookups[1]["price"].edges.tolist() == lookups[0]["price"].edges.tolist()
    rows = {
        "item": ["i1", "i9"],
        "price": [1.0, 9.0],
        "tags": [["t1"], ["t0", "t9"]],
        "items": [["i2"], ["i3", "i8"]],
    }
    np.testing.assert_allclose(after.score(rows), before.score(rows), rtol=1e-4)
    assert np.isfinite(after.score(rows | {"item": ["i13", "never"]})).all()


def test_streamed_examples_have_no_further_labels(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", items=10, features=FEATURES)
    with pytest.raises(ValueError, match=r"heads needs labels .*: examples in Parquet have"):
        rm.train("din", examples, {"heads": "mmoe"})


def test_streamed_examples_with_another_feature_are_refused(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", items=10, features=FEATURES)
    before = rm.train("din", examples, {"width": 4, "hidden": (8,), "epochs": 1})
    other = write_examples(tmp_path / "other", items=10, features=[FEATURES[0], *FEATURES[2:]])
    with pytest.raises(DataError, match="feature 'price' is missing in the data"):
        rm.train("din", other, start=before, out=tmp_path / "new")
    assert not (tmp_path / "new" / "model.safetensors").exists()
