"""New items get the column types of the data set, not those guessed from a short file."""

from __future__ import annotations

from pathlib import Path

import pytest

from recops_models.data import load
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.new_items import read_new_items


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\n1,1,1\n1,2,2\n")
    rows = ["1,Alien,01,7,1.5,true", "2,Heat,02,8,2.5,false"]
    (folder / "items.csv").write_text("\n".join(["item_id,title,shelf,year,price,new", *rows]))
    return load(folder)


def test_text_that_looks_like_something_else_stays_text(shop: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("item_id,title,shelf\n3,007,01\n4,True,02\n5,NA,\n")
    table = read_new_items(path, shop)
    assert table["title"].to_pylist() == ["007", "True", "NA"]
    shelves = shop.items["shelf"].to_pylist()
    assert table["shelf"].to_pylist() == [*shelves, None]


def test_numbers_and_flags_get_the_types_of_the_data_set(shop: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("item_id,year,price,new\n3,9,3,False\n4,10.0,4.5,true\n5,,,\n")
    table = read_new_items(path, shop)
    assert table["year"].to_pylist() == [9, 10, None]
    assert table["price"].to_pylist() == [3.0, 4.5, None]
    assert table["new"].to_pylist() == [False, True, None]


def test_a_value_of_another_type_is_refused_and_its_column_named(
    shop: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "new.csv"
    path.write_text("item_id,year\n3,soon\n")
    with pytest.raises(DataError, match="year must be int64, as in the data set"):
        read_new_items(path, shop)
    path.write_text("item_id,year\n3,7.5\n")
    with pytest.raises(DataError, match="year must be int64, as in the data set"):
        read_new_items(path, shop)
