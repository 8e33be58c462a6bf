"""Conditions on item columns: every operator, missing values, and one-line errors."""

from __future__ import annotations

import pyarrow as pa
import pytest

from recops_models.data import DataError
from recops_models.data.where import rows_where

ITEMS = pa.table(
    {
        "name": ["a", "b", "it's", None, "e"],
        "price": [5, 7, 9, 11, None],
        "weight": pa.array([0.5, float("nan"), 1.5, None, -2.0]),
        "in_stock": [True, False, True, None, True],
        "unit size": ["S", "S", "M", "L", "L"],
        "tags": pa.array([["x"], ["x", "y"], [], None, ["z", None]]),
        "brand": pa.array(["p", "q", "p", "q", "p"]).dictionary_encode(),
        "codes": pa.array([[1, 2], [2], None, [], [3]]),
    }
)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("name = 'a'", [0]),
        ("name == 'it''s'", [2]),
        ("name != 'a'", [1, 2, 4]),
        ("name <> 'a'", [1, 2, 4]),
        ("price < 9", [0, 1]),
        ("price <= 9", [0, 1, 2]),
        ("price > 8.5", [2, 3]),
        ("price >= +9", [2, 3]),
        ("weight > -3", [0, 2, 4]),
        ("weight = -2e0", [4]),
        ("in_stock", [0, 2, 4]),
        ("NOT in_stock", [1]),
        ("in_stock = false", [1]),
        ("\"unit size\" = 'S'", [0, 1]),
        ("brand = 'q'", [1, 3]),
        ("brand in ('q', 'z')", [1, 3]),
        ("price not in (5, 7)", [2, 3]),
        ("name is null", [3]),
        ("weight is null", [1, 3]),
        ("weight is not null", [0, 2, 4]),
        ("'x' in tags", [0, 1]),
        ("'x' not in tags", [2, 4]),
        ("2 in codes", [0, 1]),
        ("brand = 'q' and in_stock", []),
        ("brand = 'p' and in_stock and price < 9", [0]),
        ("name = 'a' or name = 'b' and price > 9", [0]),
        ("(name = 'a' or name = 'b') and price > 6", [1]),
        ("not (name = 'a' or in_stock)", [1]),
        ("name is null or not in_stock", [1, 3]),
        ("price>5 and(price<10)", [1, 2]),
    ],
)
def test_rows_meet_a_condition(condition: str, rows: list[int]) -> None:
    mask = rows_where(ITEMS, condition)
    assert mask.nonzero()[0].tolist() == rows


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "'' must have a value .* at its end"),
        ("color = 'red'", r"no column 'color' of items \(columns: name, price"),
        ("price = 'a'", "column 'price' holds int64, which 'a' is not"),
        ("name = 5", "column 'name' holds string, which 5 is not"),
        ("in_stock = 1", "column 'in_stock' holds bool, which 1 is not"),
        ("price", "column 'price' must be compared with a value; only booleans stand alone"),
        ("'x' in name", "column 'name' must hold lists, got string"),
        ("name = 'a' name", "must end before 'name'"),
        ("name = a", "must have a value .* before 'a'"),
        ("(name = 'a'", r"must have '\)' at its end"),
        ("name = 'a", 'cannot be read from " \'a" on'),
        ("name in ()", r"must have a value .* before '\)'"),
        ("price ! 5", "cannot be read from ' ! 5' on"),
        ("tags = 'x'", "column 'tags' holds list"),
    ],
)
def test_an_unfit_condition_is_refused(condition: str, message: str) -> None:
    with pytest.raises(DataError, match=f"^where: .*{message}") as error:
        rows_where(ITEMS, condition)
    assert "\n" not in str(error.value)


def test_no_items_meet_any_condition() -> None:
    assert rows_where(ITEMS.slice(0, 0), "price > 5 or 'x' in tags").tolist() == []


@pytest.mark.parametrize(
    ("condition", "quoted"),
    [("In Stock", '"In Stock"'), ("not Weight (kg) < 1", '"Weight (kg)"'), ("or = 1", '"or"')],
)
def test_an_error_advises_to_quote_names_with_spaces(condition: str, quoted: str) -> None:
    items = pa.table({"In Stock": [True], "Weight (kg)": [0.5], "or": [1]})
    with pytest.raises(DataError) as error:
        rows_where(items, condition)
    assert str(error.value).endswith(f"; write {quoted} in double quotes")
    assert rows_where(items, f"{quoted} = 1" if quoted == '"or"' else '"Weight (kg)" < 1').all()
