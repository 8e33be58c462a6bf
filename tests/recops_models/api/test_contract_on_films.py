"""The example of the Python interface on MovieLens 100K with default settings, for every library.

It trains UniRec six times, about 10 minutes on one core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import pytest

import recops_models as rm
from recops.files import read_json
from recops_models.cli import run
from recops_models.data import Dataset
from recops_models.data.frames import from_arrow, to_arrow

pytestmark = pytest.mark.full

COLUMNS = {"user_id": "uid", "item_id": "sku", "timestamp": "ts"}
PARTS = ("validation", "test")


@pytest.fixture(scope="module")
def films(ml_100k: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the events and the films in both formats.

    CSV has no lists and no dictionaries, so that the films have one genre and years are text.
    """
    folder = tmp_path_factory.mktemp("films")
    events, items = ml_100k.interactions, ml_100k.items

    def named(prefix: str, ids: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.binary_join_element_wise(pa.scalar(prefix), ids.cast(pa.string()), "-")

    log = pa.table(
        {
            "uid": named("u", events["user_id"]),
            "sku": named("sku", events["item_id"]),
            "ts": events["timestamp"],
        }
    )
    genres = [(genres or [None])[0] for genres in items["class"].to_pylist()]
    catalogue = pa.table(
        {
            "sku": named("sku", items["item_id"]),
            "title": items["movie_title"],
            "year": items["release_year"].cast(pa.string()),
            "genre": pa.array(genres, pa.string()),
        }
    )
    for name, table in (("interactions", log), ("items", catalogue)):
        for suffix, write in (
            ("parquet", pa.parquet.write_table),
            ("csv", pa.csv.write_csv),
        ):
            (folder / suffix).mkdir(exist_ok=True)
            write(table, folder / suffix / f"{name}.{suffix}")
    return folder


@pytest.fixture(scope="module")
def of_command_line(films: Path) -> dict[str, dict[str, Any]]:
    """Return the metrics of the command line by the format of its files."""
    metrics = {}
    names = ",".join(f"{name}={column}" for name, column in COLUMNS.items())
    for suffix in ("parquet", "csv"):
        data, out = films / f"{suffix}-data", films / f"{suffix}-run"
        imported = ["data", "import", "csv", str(films / suffix), "--map", names]
        assert run([*imported, "--out", str(data)]) == 0
        assert run(["train", "unirec", "--data", str(data), "--out", str(out)]) == 0
        metrics[suffix] = read_json(out / "metrics.json", kind="metrics")
    return metrics


def read(path: Path, library: str) -> Any:
    """Return a Parquet file as the library itself reads it."""
    if library == "pyarrow":
        return pa.parquet.read_table(path)
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    return module.read_parquet(str(path))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "duckdb"])
def test_the_example_gives_the_metrics_of_the_command_line(
    library: str, films: Path, of_command_line: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    visitor: dict[str, list[Any]] = {
        "uid": ["visitor"] * 3,
        "sku": ["sku-50", "sku-181", "sku-172"],
        "ts": [1, 2, 3],
    }
    stocked = [f"sku-{number}" for number in range(1, 1683, 2)]
    sessions = from_arrow(pa.table(visitor), library)
    in_stock = from_arrow(pa.table({"sku": stocked}), library)

    log = read(films / "parquet/interactions.parquet", library)
    items = read(films / "parquet/items.parquet", library)
    data = rm.Dataset.from_frames(log, items=items, columns=COLUMNS)
    model = rm.train("unirec", data, out=tmp_path / "runs/unirec")
    results = model.evaluate(data)
    top = model.recommend(users=["u-17"], k=10)
    new = model.recommend(histories=sessions, k=10, allowed=in_stock)
    near = model.similar_items(["sku-9"], k=10)
    model.save_pretrained(tmp_path / "m")
    model = rm.load(tmp_path / "m")

    for recorded in of_command_line.values():
        for part in PARTS:
            assert model.metrics[part] == results[part] == recorded[part]
    assert {"popularity", "co-occurrence"} <= results["baselines"].keys()
    assert [type(frame) for frame in (top, new, near)] == [type(log)] * 3
    tables = [to_arrow(frame, "frame").to_pydict() for frame in (top, new, near)]
    assert tables[0]["user_id"] == ["u-17"] * 10
    assert tables[1]["user_id"] == ["visitor"] * 10
    assert {*tables[1]["item_id"]} <= {*stocked} - {*visitor["sku"]}
    assert len({*tables[2]["similar_item_id"]} - {"sku-9"}) == 10
