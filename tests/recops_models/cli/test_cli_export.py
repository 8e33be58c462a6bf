"""``recops export``: ids and scenes of the exported data, and the package's recommendations."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recops_models.cli import run
from recops_models.data import Dataset
from recops_models.export import package
from recops_models.recipes.recommending import ready_model
from recops_models.recipes.trained import load_trained, open_data

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "exported_decoder.py"
USERS = [10 * user + 7 for user in range(40)]


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Return the folder of a UniRec with three scenes and two user fields."""
    shop, out = tmp_path / "shop", tmp_path / "unirec"
    shop.mkdir()
    rows = ["user_id,item_id,timestamp,scene"]
    rows += [
        f"{user},{100 + (user + step) % 30},{step},{('home', 'feed', 'search')[step % 3]}"
        for user in USERS
        for step in range(8 + user % 5)
    ]
    (shop / "interactions.csv").write_text("\n".join(rows) + "\n")
    people = [f"{user},{'FM'[user % 2]},{'abc'[user % 3]}" for user in USERS]
    (shop / "users.csv").write_text("\n".join(["user_id,gender,region", *people]) + "\n")
    inputs = {"task": "scene", "user_fields": "gender,region", "beams": 4, "item_scores": 1}
    sizes = {"width": 8, "heads": 2, "history": 6, "codes": 4, "levels": 2}
    command = ["train", "unirec", "--data", str(shop), "--quick", "--out", str(out)]
    for key, value in {**inputs, **sizes}.items():
        command += ["--set", f"{key}={value}"]
    assert run(command) == 0
    return out


def test_the_ids_and_scenes_of_the_data_are_exported(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {}

    def export_model(
        model: object, item_ids: torch.Tensor, path: Path, **options: Any
    ) -> list[Path]:
        arguments.update(options, item_ids=item_ids.tolist())
        return [path]

    monkeypatch.setattr(package, "export_model", export_model)
    assert run(["export", str(trained), "--out", str(tmp_path / "model.pt2")]) == 0
    assert arguments["item_ids"] == [*range(100, 130)]
    assert arguments["user_ids"].tolist() == USERS
    assert arguments["tasks"] == ("feed", "home", "search")


@pytest.mark.full
def test_a_package_recommends_the_items_of_its_model(trained: Path, tmp_path: Path) -> None:
    exported = tmp_path / "model.pt2"
    assert run(["export", str(trained), "--out", str(exported)]) == 0
    job, model = load_trained(trained)
    dataset = open_data(job, model)
    assert isinstance(dataset, Dataset)
    ready = ready_model(trained, job, model, dataset, scene="search")
    events = ready.requests(np.array([5]))
    expected = ready.lists(events, 10)
    history = [str(100 + item) for item in events.histories.items]
    request = ["--task", "search", "--user", str(USERS[5])]
    command = [sys.executable, str(EXAMPLE), str(exported), *history, *request]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    items, scores = zip(*map(str.split, output.splitlines()), strict=True)
    assert [*map(int, items)] == expected["item"].to_pylist()
    assert [*map(float, scores)] == pytest.approx(expected["score"].to_pylist(), abs=1e-3)
