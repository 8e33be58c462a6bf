"""The order of the rows of a ``.npy`` file of item vectors must be stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.small_shop import RANKER, write_shop

from recops.files import read_json
from recops_models import cli
from recops_models.data import DataError
from recops_models.item_vectors import load_item_vectors
from recops_models.tokenizers.sids import load_sids

pytestmark = pytest.mark.usefixtures("one_thread")

ITEMS = [f"sku{(7 * i) % 30 + 1}" for i in range(30)]
"""Items in the order of ``items.csv``, which is neither numerical nor alphabetical."""
BRAND = {item: int(item[3:]) % 4 for item in ITEMS}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Write a data set with text ids, and ``v.npy``: a vector of the brand per row of items."""
    order = [int(item[3:]) for item in ITEMS]
    write_shop(tmp_path / "shop", items=order, id_format="sku{}")
    noise = np.random.default_rng(0).normal(size=(30, 4), scale=0.01)
    np.save(tmp_path / "v.npy", np.eye(4)[[BRAND[item] for item in ITEMS]] + noise)
    return tmp_path / "shop"


def tokenize(shop: Path, *more: str) -> int:
    folder = shop.parent
    own = ["--data", str(shop), "--vectors", f"{folder}/v.npy", "--out", f"{folder}/sids"]
    return cli.run(["tokenize", *own, "--levels", "1", "--codes", "4", *more])


def brand_purity(folder: Path) -> float:
    """Return the share of items with the most frequent brand of their code."""
    sids = load_sids(folder / "sids.parquet")
    assert sids.keys is not None
    counts = np.zeros((4, 4), dtype=int)
    for key, code in zip(sids.keys, sids.codes[:, 0], strict=True):
        counts[code, BRAND[str(key)]] += 1
    return float(counts.max(1).sum() / counts.sum())


def test_a_file_without_ids_needs_an_order(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokenize(shop) == 2
    assert "order must give the item of each row: 'id'" in capsys.readouterr().err
    assert not (shop.parent / "sids").exists()


@pytest.mark.parametrize("form", ["csv", "parquet", "txt"])
def test_an_order_file_assigns_vectors_to_items(form: str, shop: Path) -> None:
    order = shop / "items.csv"
    if form != "csv":
        order = shop.parent / f"order.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"item_id": ITEMS}), order)
    if form == "txt":
        order.write_text("\n".join(ITEMS))
    assert tokenize(shop, "--order", str(order)) == 0
    assert brand_purity(shop.parent / "sids") == 1.0
    assert cli.run(["diagnose", str(shop.parent / "sids")]) == 0
    diagnosis = read_json(shop.parent / "sids" / "diagnosis.json", kind="sid-diagnosis")
    assert "vectors" not in diagnosis["missing"]
    assert diagnosis["error_share"] < 0.01


def test_order_id_is_the_order_of_sorted_ids(shop: Path) -> None:
    vectors = np.load(shop.parent / "v.npy")
    np.save(shop.parent / "v.npy", vectors[np.argsort(ITEMS)])
    assert tokenize(shop, "--order", "id") == 0
    assert brand_purity(shop.parent / "sids") == 1.0


def test_a_run_does_not_resume_with_a_changed_order_file(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = shop.parent / "order.txt"
    order.write_text("\n".join(ITEMS))
    assert tokenize(shop, "--order", str(order)) == 0
    assert tokenize(shop, "--order", str(order), "--resume") == 0
    order.write_text("\n".join(ITEMS[::-1]))
    assert tokenize(shop, "--order", str(order), "--resume") == 1
    assert "with order_sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (ITEMS[1:], "must name 30 items, one per row of"),
        ([*ITEMS[1:], ITEMS[1]], ", line 30: item 'sku8' is listed twice"),
        ([*ITEMS[1:], "sku99"], "no vector for 1 items, such as sku1"),
        ([], ": has no item ids"),
    ],
)
def test_an_invalid_order_file_is_an_error(
    lines: list[str], message: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = shop.parent / "order.txt"
    order.write_text("\n".join(lines))
    assert tokenize(shop, "--order", str(order)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_an_order_without_meaning_is_a_usage_error(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["tokenize", "--vectors", f"{shop.parent}/v.npy", "--out", f"{shop.parent}/sids"]
    assert cli.run([*own, "--order", "id"]) == 2
    assert "order 'id' needs a data set" in capsys.readouterr().err
    data = ["tokenize", "--data", str(shop), "--out", f"{shop.parent}/sids", "--order", "id"]
    assert cli.run(data) == 2
    assert "order must come with a file of vectors" in capsys.readouterr().err
    pq.write_table(pa.table({"item_id": ITEMS, "v": [[1.0]] * 30}), shop.parent / "v.parquet")
    assert cli.run([*data, "--vectors", f"{shop.parent}/v.parquet"]) == 2
    assert "order must be left out, since the file has item_id" in capsys.readouterr().err


def test_without_a_data_set_ids_must_be_integers(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([[1.0], [2.0], [3.0]]))
    (tmp_path / "ids.txt").write_text("9\n4\n2\n")
    read = load_item_vectors(tmp_path / "v.npy", order=str(tmp_path / "ids.txt"))
    assert read.item_ids.tolist() == [2, 4, 9]
    assert read.vectors.tolist() == [[3.0], [2.0], [1.0]]
    (tmp_path / "ids.txt").write_text("9\nx\n2\n")
    with pytest.raises(DataError, match="line 2: item 'x' must be an integer id"):
        load_item_vectors(tmp_path / "v.npy", order=str(tmp_path / "ids.txt"))


def test_training_needs_the_order(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {**RANKER, "codes": "4", "levels": "1", "vectors": f"{shop.parent}/v.npy"}
    pairs = [f"--set={name}={value}" for name, value in settings.items()]
    out = shop.parent / "unirec"
    train = ["train", "unirec", "--data", str(shop), "--out", str(out), *pairs]
    assert cli.run(train) == 1
    assert "order must give the item of each row" in capsys.readouterr().err
    assert cli.run([*train, f"--set=vectors_order={shop}/items.csv"]) == 0
    assert brand_purity(out) == 1.0


def test_quickstart_needs_the_order_before_it_starts(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--data", str(shop), "--vectors", f"{shop.parent}/v.npy", "--out", f"{shop.parent}/q"]
    assert cli.run(["quickstart", *own]) == 2
    assert "order must give the item of each row" in capsys.readouterr().err
    assert not (shop.parent / "q").exists()
