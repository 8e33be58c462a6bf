"""Training from Python, and folders of trained models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

import recops_models as rm
from fake_hub import FakeHub
from recops.files import CorruptFileError
from recops_models.callbacks import Callbacks
from recops_models.cli import run
from recops_models.data.frames import from_arrow, to_arrow
from small_shop import write_shop

LIBRARIES = ("pyarrow", "dict", "pandas", "polars", "duckdb")
SASREC = {"width": 8, "heads": 2, "history": 6, "epochs": 1}
UNIREC = {**SASREC, "codes": 4, "levels": 2, "expert_hidden": 8, "head_hidden": 8}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("data") / "shop", id_format="id-{}")


def frames_of(shop: Path, library: str) -> dict[str, Any]:
    """Return the tables of a folder, with other column names, as frames of a library."""
    if library not in ("dict", "pyarrow"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    tables = {}
    for name in ("interactions", "items", "users"):
        table = pa.csv.read_csv(shop / f"{name}.csv")
        names = {"user_id": "uid", "item_id": "sku", "timestamp": "ts"}
        columns = [names.get(column, column) for column in table.column_names]
        tables[name] = from_arrow(table.rename_columns(columns), library)
    return tables


def dataset_of(shop: Path, library: str = "pyarrow") -> rm.Dataset:
    columns = {"user_id": "uid", "item_id": "sku", "timestamp": "ts"}
    return rm.Dataset.from_frames(**frames_of(shop, library), columns=columns)


@pytest.mark.parametrize("library", LIBRARIES)
def test_frames_give_the_metrics_of_the_command_line(
    shop: Path, tmp_path: Path, library: str
) -> None:
    data = dataset_of(shop, library)
    model = rm.train("sasrec", data, SASREC, out=tmp_path / "python")
    settings = [f"--set={name}={value}" for name, value in SASREC.items()]
    command = ["train", "sasrec", "--data", str(shop), "--out", str(tmp_path / "cli"), *settings]
    assert run(command) == 0
    other = rm.load(tmp_path / "cli")
    for part in ("validation", "test"):
        assert model.metrics[part] == other.metrics[part]
        assert model.evaluate(data)[part] == other.metrics[part]
    top = model.recommend(users=["id-3"], k=3)
    assert type(top) is type(from_arrow(pa.table({"a": [1]}), library))
    assert to_arrow(top, "top")["rank"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "duckdb"])
def test_the_example_of_the_contract_runs(library: str, shop: Path, tmp_path: Path) -> None:
    frames = frames_of(shop, library)
    log = pa.table({"uid": ["new"] * 2, "sku": ["id-1", "id-2"], "ts": [1, 2]})
    sessions = from_arrow(log, library)
    in_stock = [f"id-{item}" for item in range(3, 20)]

    data = rm.Dataset.from_frames(
        frames["interactions"],
        items=frames["items"],
        columns={"user_id": "uid", "item_id": "sku", "timestamp": "ts"},
    )
    model = rm.train("unirec", data, UNIREC, out=tmp_path / "unirec")
    assert {"test", "validation", "baselines"} <= {*model.evaluate(data)}
    top = model.recommend(users=["id-17"], k=10)
    new = model.recommend(histories=sessions, k=10, allowed=in_stock)
    near = model.similar_items(["id-9"], k=10)
    model.save_pretrained(tmp_path / "m")
    model = rm.load(tmp_path / "m")

    assert [type(frame) for frame in (top, new, near)] == [type(sessions)] * 3
    tables = [to_arrow(frame, "frame").to_pydict() for frame in (top, new, near)]
    assert tables[0]["user_id"] == ["id-17"] * 10
    assert {*tables[1]["item_id"]} <= {*in_stock}
    assert tables[1]["user_id"] == ["new"] * 10
    assert len(tables[2]["similar_item_id"]) == 10
    again = model.recommend(users=["id-17"], k=10)
    assert to_arrow(again, "frame").to_pydict() == tables[0]


def test_a_training_without_a_folder_lives_as_long_as_its_model(shop: Path) -> None:
    model = rm.train("popularity", dataset_of(shop))
    folder = model.folder
    assert (folder / "model.safetensors").exists()
    del model
    assert not folder.exists()


def test_a_folder_works_from_everywhere(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.parent)
    rm.train("popularity", "shop", out=tmp_path / "by-path")
    rm.train("popularity", dataset_of(shop), out=tmp_path / "by-frame")
    monkeypatch.chdir(tmp_path)
    shutil.move(tmp_path / "by-frame", tmp_path / "moved")
    lists = [rm.load(tmp_path / name).recommend(["id-3"], k=3) for name in ("by-path", "moved")]
    assert lists[0]["item_id"].equals(lists[1]["item_id"])
    for name in ("by-path", "moved"):
        assert run(["evaluate", str(tmp_path / name)]) == 0
        assert run(["recommend", str(tmp_path / name), "--user", "id-3"]) == 0


def test_another_finished_model_is_not_overwritten(shop: Path, tmp_path: Path) -> None:
    data = dataset_of(shop)
    rm.train("popularity", data, out=tmp_path)
    with pytest.raises(ValueError, match="holds a trained popularity with other settings"):
        rm.train("popularity", data, out=tmp_path, seed=1)
    rm.train("popularity", data, out=tmp_path)  # The same training may be repeated.
    assert rm.train("popularity", data, out=tmp_path, seed=1, force=True).config["seed"] == 1


def test_callbacks_receive_epochs(shop: Path) -> None:
    class Epochs(Callbacks):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def log_metrics(self, step: int, metrics: Any) -> None:
            self.steps.append(step)

    epochs = Epochs()
    rm.train("sasrec", dataset_of(shop), {**SASREC, "epochs": 2}, callbacks=[epochs])
    assert epochs.steps == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "nothing"}, r"no model 'nothing'; available: popularity"),
        ({"model": "sasrec", "settings": {"wide": 3}}, r"sasrec has no setting 'wide'"),
        ({"model": "sasrec", "settings": {"width": "wide"}}, r".*width"),
        ({"model": "popularity", "split": "nothing"}, r"named_split: no split 'nothing'"),
    ],
)
def test_bad_trainings_are_refused(shop: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rm.train(data=dataset_of(shop), **arguments)


def test_damaged_and_missing_folders_are_refused(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="load: no folder"):
        rm.load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"holds no finished model: no model\.safetensors"):
        rm.load(tmp_path)
    rm.train("popularity", dataset_of(shop), out=tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:-1])
    with pytest.raises(CorruptFileError):
        rm.load(tmp_path)


@pytest.mark.parametrize("settings", [{}, {"task": "scene"}])
def test_an_upload_holds_no_user(shop: Path, tmp_path: Path, settings: dict[str, object]) -> None:
    model = rm.train("unirec", dataset_of(shop), {**UNIREC, **settings})
    hub = FakeHub(tmp_path / "repo")
    assert model.push_to_hub("owner/shop", api=hub) == "https://hub/owner/shop"
    assert "rm.load(" in (hub.folder / "README.md").read_text()
    assert hub.repositories == [("owner/shop", True)]
    loaded = rm.Model.from_pretrained(hub.folder)
    assert {*loaded.data.user_keys} <= {""}
    histories = {"uid": ["id-3"] * 2, "sku": ["id-5", "id-6"], "scene": ["feed"] * 2}
    lists = [each.recommend(histories=histories, k=3)["item_id"] for each in (model, loaded)]
    assert list(lists[0]) == list(lists[1])
    with pytest.raises(ValueError, match="no user 'id-3'"):
        loaded.recommend(["id-3"])


def test_the_package_exports_the_contract() -> None:
    assert {*rm.__all__} == {
        "Dataset",
        "Diagnosis",
        "Model",
        "SemanticIds",
        "diagnose",
        "load",
        "load_data",
        "read_impressions",
        "reproduce",
        "tokenize",
        "train",
    }
    for name in rm.__all__:
        assert getattr(rm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rm.nothing


class StopAfter(Callbacks):
    """Callbacks that stop a training in the epoch after ``epochs`` finished ones."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.finished = epochs, 0

    def log_metrics(self, step: int, metrics: Any) -> None:
        self.finished = step

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        if self.finished == self.epochs:
            raise KeyboardInterrupt


def test_an_interrupted_training_leaves_its_best_model(shop: Path, tmp_path: Path) -> None:
    data, settings = dataset_of(shop), {**SASREC, "epochs": 3, "decay": 1.0}
    with pytest.raises(KeyboardInterrupt):
        rm.train("sasrec", data, settings, out=tmp_path / "cut", callbacks=StopAfter(1))
    one = rm.train("sasrec", data, {**settings, "epochs": 1})
    best = rm.load(tmp_path / "cut").module.state_dict()
    assert all(torch.equal(value, best[name]) for name, value in one.module.state_dict().items())
    resumed = rm.train("sasrec", data, settings, out=tmp_path / "cut", resume=True)
    uninterrupted = rm.train("sasrec", data, settings)
    assert resumed.metrics["test"] == uninterrupted.metrics["test"]


def test_a_training_stopped_in_its_first_epoch_leaves_no_model(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        rm.train("sasrec", dataset_of(shop), SASREC, out=tmp_path, callbacks=StopAfter(0))
    assert not (tmp_path / "model.safetensors").exists()


def test_a_resumption_may_train_longer_and_change_nothing_else(shop: Path, tmp_path: Path) -> None:
    data = dataset_of(shop)
    settings = {**SASREC, "decay": 1.0, "patience": 9}
    rm.train("sasrec", data, settings, out=tmp_path)
    longer = {**settings, "epochs": 3}
    resumed = rm.train("sasrec", data, longer, out=tmp_path, resume=True)
    assert resumed.config["training"]["epochs"] == 3
    rows = json.loads((tmp_path / "curves.json").read_text())["rows"]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    message = r"holds a training with width 8, not 16: leave out --resume"
    with pytest.raises(ValueError, match=message):
        rm.train("sasrec", data, {**longer, "width": 16}, out=tmp_path, resume=True)
