"""Integer columns as categories: the rule, storage, histories, and trainings."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import job_of
from recops.files import read_json
from recops_models.cli import run
from recops_models.click.model import ClickModel
from recops_models.data import IMPORTERS, Dataset, ImportReport, load, save_dataset
from recops_models.data.attributes import item_attributes
from recops_models.data.categories import is_id_name, with_integer_categories
from recops_models.data.column_roles import column_role
from recops_models.data.importers.caserec import read_caserec
from recops_models.data.importers.folder import read_folder
from recops_models.data.new_items import read_new_items
from recops_models.data.sets import NAMED_SETS, NamedSet
from recops_models.examples.click import click_data
from recops_models.examples.features import Categorical, FittedSchema, Numeric, Sequence
from recops_models.item_vectors.content import content_vectors
from recops_models.item_vectors.minilm import sentences
from recops_models.recipes.catalogue import CATALOGUE
from recops_models.recipes.run import load_trained, run_job, train_job
from small_shop import SETTINGS

ITEMS, USERS, EVENTS = 120, 60, 10


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # Small models run faster on one thread.


def category(item: int) -> int:
    return item % 6 + 1


def write_shop(folder: Path, category_format: str = "{}") -> Path:
    """Write a shop whose users like one category each; prices have many values."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    rows = []
    for user in range(USERS):
        liked = [item for item in range(ITEMS) if category(item) == user % 6 + 1]
        shown = [*rng.choice(liked, EVENTS // 2), *rng.integers(0, ITEMS, EVENTS // 2)]
        for step, item in enumerate(rng.permutation(shown)):
            clicked = int(category(int(item)) == user % 6 + 1)
            rows.append(f"{user},{item},{step * 1000 + user},{clicked}")
    sold = [
        f"{item},{category_format.format(category(item))},{item * 37 % 101}"
        for item in range(ITEMS)
    ]
    files = {
        "interactions": ["user_id,item_id,timestamp,label", *rows],
        "items": ["item_id,category_id,price", *sold],
        "users": ["user_id,age", *(f"{user},{18 + user}" for user in range(USERS))],
    }
    for name, lines in files.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def dataset_of(**items: pa.Array) -> Dataset:
    """Return a data set of one user with an event on every item."""
    number = len(next(iter(items.values())))
    events = pa.table(
        {
            "user_id": np.zeros(number, np.int64),
            "item_id": np.arange(number),
            "timestamp": np.arange(number),
        }
    )
    table = pa.table({"item_id": np.arange(number), **items})
    return Dataset("toy", events, table, pa.table({"user_id": [0]}), ImportReport("toy"))


def roles(dataset: Dataset) -> dict[str, str | None]:
    return {
        name: column_role(dataset.items[name])
        for name in dataset.items.column_names
        if name != "item_id"
    }


@pytest.mark.parametrize("name", ["id", "category_id", "brandId", "SHOP_ID", "shop_Id"])
def test_names_of_ids(name: str) -> None:
    assert is_id_name(name)


@pytest.mark.parametrize("name", ["paid", "idx", "grid", "Id_", "BID", "width", "year"])
def test_other_names(name: str) -> None:
    assert not is_id_name(name)


def test_few_values_with_enough_rows_each_are_categories() -> None:
    rows = np.arange(1000)
    data = with_integer_categories(
        dataset_of(
            fifty=pa.array(rows % 50),
            fifty_one=pa.array(rows % 51),
            flag=pa.array(rows % 2, pa.int8()),
            category_id=pa.array(rows),
            stars=pa.array((rows % 5).astype(np.float64)),
            missing=pa.nulls(1000, pa.int64()),
        )
    )
    assert roles(data) == {
        "fifty": "attribute",
        "fifty_one": "number",
        "flag": "attribute",
        "category_id": "attribute",
        "stars": "number",
        "missing": "number",
    }
    assert data.report.notes == (
        "items: fifty: category (50 values)",
        "items: fifty_one: number (51 values)",
        "items: flag: category (2 values)",
        "items: category_id: category (1,000 values)",
    )


def test_values_need_twenty_rows_each() -> None:
    assert roles(with_integer_categories(dataset_of(kind=pa.array(np.arange(200) % 10)))) == {
        "kind": "attribute"
    }
    assert roles(with_integer_categories(dataset_of(kind=pa.array(np.arange(199) % 10)))) == {
        "kind": "number"
    }
    with_missing = pa.array([None if row % 2 else row % 10 for row in range(200)], pa.int64())
    assert roles(with_integer_categories(dataset_of(kind=with_missing))) == {"kind": "attribute"}


def test_ids_written_as_floats_are_integers_with_missing_values() -> None:
    data = with_integer_categories(
        dataset_of(brand_id=pa.array([3.0, None, float("nan"), 5.0]), size_id=pa.array([1.5] * 4))
    )
    assert roles(data) == {"brand_id": "attribute", "size_id": "number"}
    assert data.items["brand_id"].to_pylist() == [3, None, None, 5]


def test_ids_beyond_int64_stay_numbers() -> None:
    data = with_integer_categories(dataset_of(hash_id=pa.array([2**63, 1], pa.uint64())))
    assert roles(data) == {"hash_id": "number"}


def test_import_prints_what_each_integer_column_becomes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    assert run(["data", "import", "csv", str(shop), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "note: items: category_id: category (6 values)" in shown
    assert "note: items: price: number (101 values)" in shown
    assert "note: users: age: number (60 values)" in shown
    assert run(["data", "describe", str(out)]) == 0
    assert "category_id (category), price (int64)" in capsys.readouterr().out


def test_a_saved_data_set_keeps_its_categories(tmp_path: Path) -> None:
    data = load(write_shop(tmp_path / "shop"))
    save_dataset(data, tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.items.equals(data.items)
    assert roles(again) == {"category_id": "attribute", "price": "number"}


def test_named_sets_keep_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = write_shop(tmp_path / "shop")
    monkeypatch.setitem(NAMED_SETS, "shop-1", NamedSet("a shop", lambda: read_folder(shop)))
    assert roles(load("shop-1")) == {"category_id": "number", "price": "number"}
    assert "category" not in "".join(load("shop-1").report.notes)


def test_another_importer_finds_integer_categories(tmp_path: Path) -> None:
    archive = tmp_path / "games.zip"
    with zipfile.ZipFile(archive, "w") as files:
        played = "".join(f"{user}\t{user % 40}\t1\n" for user in range(80))
        files.writestr("games/play.dat", "User_ID\tItem_ID\tHours\n" + played)
        sold = "".join(f"{item}\t{item % 2}\n" for item in range(40))
        files.writestr("games/games_info.dat", "Item_ID\tKind_ID\n" + sold)
    assert roles(IMPORTERS["caserec"](archive)) == {"kind_id": "attribute"}
    assert roles(read_caserec(archive)) == {"kind_id": "number"}


def test_histories_carry_integer_categories(tmp_path: Path) -> None:
    data = click_data(load(write_shop(tmp_path / "shop")), max_len=5, running_rates=False)
    kinds = {feature.name: type(feature) for feature in data.fitted.schema.features}
    assert kinds["category_id"] is Categorical
    assert kinds["history_category_id"] is Sequence
    assert kinds["price"] is Numeric
    batch = next(iter(data.train.batches(64, seed=None)))
    items, categories = batch.features["history_item"], batch.features["history_category_id"]
    row_of = {item: data.fitted.lookup("item").rows(np.array([item]))[0] for item in range(ITEMS)}
    expected = {
        row_of[item]: data.fitted.lookup("category_id").rows(np.array([category(item)]))[0]
        for item in range(ITEMS)
    }
    inside = (items > 1).numpy()
    assert inside.any()
    carried = categories.numpy()[inside]
    assert carried.tolist() == [expected[row] for row in items.numpy()[inside]]


def test_integer_and_text_categories_train_alike(tmp_path: Path) -> None:
    schemas, metrics = [], []
    for name, form in (("integers", "{}"), ("text", "c{}")):
        shop = write_shop(tmp_path / name, form)
        job = job_of("din", str(shop), {**SETTINGS["din"], "epochs": "2"}, seed=0, quick=False)
        out = tmp_path / f"{name}-run"
        out.mkdir()
        metrics.append(run_job(job, load(shop), out).metrics["test"])
        schemas.append(trained_schema(out).schema)
    assert schemas[0] == schemas[1]
    assert metrics[0]["auc"] == metrics[1]["auc"]


def trained_schema(folder: Path) -> FittedSchema:
    model = load_trained(folder)[1]
    assert isinstance(model, ClickModel)
    return model.schema


def test_a_training_keeps_its_categories_when_values_become_many(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "run"
    lines = (shop / "items.csv").read_text().splitlines()
    plain = [line.rpartition(",")[0] for line in lines]
    kinds = [f"{line},{row % 3}" for row, line in enumerate(plain[1:])]
    (shop / "items.csv").write_text("\n".join(["item_id,category_id,kind", *kinds]) + "\n")
    job = job_of("unirec", str(shop), SETTINGS["unirec"], seed=0, quick=False)
    out.mkdir()
    train_job(job, load(shop), out)
    recorded = read_json(out / CATALOGUE, kind="catalogue")
    assert recorded["categories"] == {"items": ["category_id", "kind"], "users": []}
    assert list(recorded["names"]) == ["attribute kind"]
    assert run(["evaluate", str(out)]) == 0


def test_rankers_and_vectors_read_integer_categories(tmp_path: Path) -> None:
    data = load(write_shop(tmp_path / "shop"))
    attribute = item_attributes(data)[0]
    assert attribute.column == "category_id"
    assert attribute.values == ["1", "2", "3", "4", "5", "6"]
    same = data.items.drop_columns(["price"])
    vectors = content_vectors(
        Dataset("toy", data.interactions, same, data.users, data.report), dim=6, seed=0
    )
    assert np.allclose(vectors[0] @ vectors[6], 1, atol=1e-5)  # One category.
    assert abs(vectors[0] @ vectors[1]) < 1e-5
    assert set(sentences(data)) == {""}  # A sentence encoder cannot read codes.


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_new_items_bring_integer_categories(suffix: str, tmp_path: Path) -> None:
    data = load(write_shop(tmp_path / "shop"))
    path = tmp_path / f"new.{suffix}"
    if suffix == "csv":
        path.write_text("item_id,category_id,price\n500,3,7\n501,9,8\n")
    else:
        pq.write_table(
            pa.table({"item_id": [500, 501], "category_id": [3, 9], "price": [7, 8]}), path
        )
    table = read_new_items(path, data)
    assert table["category_id"].type == data.items["category_id"].type
    assert table["category_id"].to_pylist() == [3, 9]


def test_negative_categories_are_known_values(tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop", "-{}")
    fitted = click_data(load(shop), max_len=5).fitted
    assert fitted.lookup("category_id").rows(np.array([-1, -6, 1])).tolist() == [7, 2, 1]


def test_notes_are_stored(tmp_path: Path) -> None:
    save_dataset(load(write_shop(tmp_path / "shop")), tmp_path / "saved")
    notes = json.loads((tmp_path / "saved" / "dataset.json").read_text())
    assert "items: category_id: category (6 values)" in str(notes)
