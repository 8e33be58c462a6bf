"""Roles of columns: what `describe` writes, the file that a user edits, and its effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import recops_models as rm
from recops_models.data import DataError, Dataset, load_dataset, save_dataset
from recops_models.data.column_roles import column_role
from recops_models.data.column_schema import ColumnSchema
from recops_models.data.event_columns import EventColumn

LOG: dict[str, list[Any]] = {
    "user_id": [1, 1, 2, 2],
    "item_id": [7, 8, 7, 9],
    "timestamp": [0, 1, 2, 3],
    "device": ["app", "web", "app", "app"],
    "quantity": [1, 2, 1, 3],
}
ITEMS: dict[str, list[Any]] = {
    "item_id": [7, 8, 9],
    "title": ["Up", "Heat", "Jaws"],
    "brand": ["a", "a", "a"],
    "category_id": [3, 4, 3],
    "price": ["5.5", "free", "7"],
    "tags": ["red | blue", "red", None],
    "in_stock": [True, False, True],
    "colors": [["x"], ["x", "y"], []],
}
WRITTEN = """\
event:
  device: category
  quantity: {role: number, known: after}
item:
  title: text
  brand: category
  category_id: category
  price: text
  tags: text
  in_stock: category
  colors: list
"""


def with_schema(folder: Path, text: str) -> Dataset:
    (folder / "s.yaml").write_text(text)
    return Dataset.from_frames(LOG, ITEMS, schema=folder / "s.yaml")


def test_the_roles_of_a_data_set_survive_a_file(tmp_path: Path) -> None:
    schema = ColumnSchema.of(Dataset.from_frames(LOG, ITEMS))
    assert schema.text() + "\n" == WRITTEN
    (tmp_path / "s.yaml").write_text(WRITTEN)
    assert ColumnSchema.read(tmp_path / "s.yaml").roles == {
        table: roles for table, roles in schema.roles.items() if roles
    }


def test_an_unchanged_file_changes_no_role(tmp_path: Path) -> None:
    plain, data = Dataset.from_frames(LOG, ITEMS), with_schema(tmp_path, WRITTEN)
    for name in plain.items.column_names:
        assert column_role(data.items[name]) == column_role(plain.items[name])
        assert data.items[name].to_pylist() == plain.items[name].to_pylist()
    assert data.interactions.to_pydict() == plain.interactions.to_pydict()


def test_an_edited_file_changes_roles(tmp_path: Path) -> None:
    text = """
    # A comment.
event:
  quantity: category   # How many.
item:
  title: category
  brand: text
  category_id: number
  price: number
  "tags": list
  in_stock: skip
  colors: skip
user:
"""
    data = with_schema(tmp_path, text)
    assert data.item_columns("attribute") == ["title", "tags"]
    assert data.item_columns("text") == ["brand"]
    assert data.item_columns("number") == ["category_id", "price"]
    assert data.items["price"].to_pylist() == [5.5, None, 7.0]
    assert data.items["tags"].to_pylist() == [["red", "blue"], ["red"], None]
    assert data.interactions["quantity"].to_pylist() == ["1", "2", "1", "3"]
    notes = data.report.notes
    assert "items: price: 1 values are no numbers; set to null" in notes
    assert "skipped by the schema: in_stock (items), colors (items)" in notes
    assert not any("category_id: category" in note for note in notes), "the schema decides"
    save_dataset(data, tmp_path / "saved")
    stored = load_dataset(tmp_path / "saved")
    for table in ("items", "interactions"):
        assert getattr(stored, table).equals(getattr(data, table))
    assert stored.item_columns("text") == ["brand"]


def test_the_schema_chooses_the_event_columns_of_click_models(tmp_path: Path) -> None:
    text = """event:
  device: {role: category, known: before}
  quantity: { known: after, role: number }
  price: {role: number, per: item}
  note: text
"""
    log = LOG | {"price": [1.0, 2.0, 1.0, None], "note": ["a", "a", "b", "b"]}
    (tmp_path / "s.yaml").write_text(text)
    data = Dataset.from_frames(log, ITEMS, schema=tmp_path / "s.yaml")
    expected = (
        EventColumn("device"),
        EventColumn("quantity", known="after"),
        EventColumn("price", per="item"),
    )
    assert data.event_columns == expected
    assert Dataset.from_frames(log, ITEMS).event_columns == (), "no schema, no change"
    save_dataset(data, tmp_path / "saved")
    assert load_dataset(tmp_path / "saved").event_columns == expected
    again = ColumnSchema.of(data)
    (tmp_path / "again.yaml").write_text(again.text())
    assert Dataset.from_frames(log, ITEMS, schema=tmp_path / "again.yaml").event_columns == expected


def test_a_described_file_lets_no_unknown_column_reach_requests() -> None:
    names = ("device", "hour_of_day", "unitPrice", "dwell", "behaviour", "x1")
    suggested = [EventColumn.suggested(name) for name in names]
    assert [each.known for each in suggested] == ["before"] * 3 + ["after"] * 3
    assert [each.per for each in suggested] == ["request"] * 2 + ["item"] + ["request"] * 3


def test_columns_of_events_become_columns_of_items_and_users(tmp_path: Path) -> None:
    """A log repeats the category of its item in each row; a click model reads it from the items."""
    log = LOG | {"category": ["x", "y", "x", "y"], "plan": ["a", "b", "a", "a"]}
    (tmp_path / "s.yaml").write_text("item:\n  category: category\nuser:\n  plan: category\n")
    items = {"item_id": [6, 7, 8, 9]}
    data = Dataset.from_frames(log, items, schema=tmp_path / "s.yaml")
    assert data.items["category"].to_pylist() == [None, "x", "y", "y"]
    assert data.users["plan"].to_pylist() == ["b", "a"]
    assert {"category", "plan"}.isdisjoint(data.interactions.column_names)
    assert "users: plan: 1 users have events with different values; the last one is used" in (
        data.report.notes
    )
    assert not any(note.startswith("items: category: ") for note in data.report.notes)
    assert data.item_columns("attribute") == ["category"]


def test_a_folder_has_its_schema(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n1,7,0\n1,8,1\n")
    (tmp_path / "items.csv").write_text("item_id,shelf no,price\n7,1,10\n8,2,20\n")
    assert rm.load_data(tmp_path).item_columns("number") == ["shelf no", "price"]
    (tmp_path / "schema.yaml").write_text("item:\n  shelf no: category\n")
    assert rm.load_data(tmp_path).item_columns("attribute") == ["shelf no"]
    (tmp_path / "other.yaml").write_text("item:\n  price: category\n")
    data = rm.load_data(tmp_path, schema=tmp_path / "other.yaml")
    assert data.item_columns("attribute") == ["price"]


def test_names_of_any_characters_survive_a_file(tmp_path: Path) -> None:
    names = ["a: b", "# c", ' "d" ', "é", "e-f.g", "- h"]
    items = {"item_id": [7, 8, 9]} | {name: [0.5, 1.5, 2.5] for name in names}
    table = pa.table(items)
    schema = ColumnSchema({"items": dict.fromkeys(table.column_names[1:], "number")})
    (tmp_path / "s.yaml").write_text(schema.text(), encoding="utf-8")
    assert ColumnSchema.read(tmp_path / "s.yaml") == schema


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item:\n  price: money\n", "line 2: role must be category, number, list, text, skip, got"),
        ("items:\n", "line 1: must be event, item, user, labels, got 'items:'"),
        ("item: number\n", "line 1: must be event, item, user, labels, got"),
        ("  price: number\n", "line 1: a column must follow event, item, user"),
        ("item:\n  - price\n", "line 2: must be `name: role`, got '  - price'"),
        ("item:\n  cost: number\n", r"items have no column 'cost' \(columns: item_id, title"),
        ("item:\n  item_id: number\n", "column 'item_id' of items has a fixed meaning"),
        ("event:\n  device: {known: after}\n", "line 2: must be like {role: number, known: after"),
        (
            "event:\n  device: {role: number, when: x}\n",
            "line 2: must be like {role: number, known",
        ),
        (
            "event:\n  device: {role: number, known: now}\n",
            "known must be before, after, got 'now'",
        ),
        ("event:\n  device: {role: number, known: after, per: item}\n", "per: item needs a value"),
        ("event:\n  device: {role: number\n", "line 2: must be like {role: number"),
        ("item:\n  brand: {role: category}\n", "role must be category, number, list, text, skip"),
        ("item:\n  colors: text\n", "items: colors must have the role list or skip, got text"),
    ],
)
def test_an_unfit_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as error:
        with_schema(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.yaml: no such file"):
        Dataset.from_frames(LOG, schema=tmp_path / "nowhere.yaml")
