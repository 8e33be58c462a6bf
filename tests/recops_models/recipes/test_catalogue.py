"""Catalogue of a trained model: other scenes than in training are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callback_doubles import Interrupt
from jobs import job_of
from recops.files import CorruptFileError, read_json
from recops_models.cli import run
from recops_models.data import load
from recops_models.data.errors import DataError
from recops_models.generative.unirec import UniRec
from recops_models.recipes.catalogue import CATALOGUE, check_catalogue
from recops_models.recipes.job import Job
from recops_models.recipes.known_ids import KNOWN_ITEMS
from recops_models.recipes.new_items import insert_new_items
from recops_models.recipes.run import load_trained, open_data, run_job, train_job
from recops_models.serving.served_model import ServedModel
from small_shop import SETTINGS, write_shop


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


def trained(folder: Path, model: str, *, seed: int = 0, **settings: str) -> Job:
    """Train on the shop next to ``folder``, with ``folder`` as output."""
    chosen = {**SETTINGS[model], **settings}
    job = job_of(model, str(folder.parent / "shop"), chosen, seed=seed, quick=False)
    folder.mkdir(exist_ok=True)
    train_job(job, load(job.data), folder)
    return job


def reopen(folder: Path) -> None:
    """Load the model and its data as the commands do."""
    job, model = load_trained(folder)
    open_data(job, model, folder)


def test_new_items_must_not_be_in_the_data_set(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    job = trained(out, "unirec")
    model = load_trained(out)[1]
    assert isinstance(model, UniRec)
    (tmp_path / "new.csv").write_text("item_id,title,genre\n31,Film 31,Drama\n")
    new = insert_new_items(job, load(shop), model, out, tmp_path / "new.csv")
    assert new.keys == ["31"]
    write_shop(shop, items=range(1, 32))
    with pytest.raises(DataError, match="shop already has item 31"):
        insert_new_items(job, load(shop), model, out, tmp_path / "new.csv")


@pytest.mark.parametrize("model", SETTINGS)
def test_new_events_and_new_users_are_accepted(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    trained(out, model)
    write_shop(shop, users=50, events=10)
    assert run(["recommend", str(out), "--user", "45"]) == 0
    assert capsys.readouterr().out.count("Film") == 10
    assert run(["evaluate", str(out)]) == 0


@pytest.mark.parametrize(
    ("model", "settings", "change", "message"),
    [
        (
            "unirec",
            {"task": "scene"},
            {"scenes": ("feed", "cart")},
            "has task scene 'cart', which the model was not trained on: train again",
        ),
        (
            "unirec",
            {"task": "scene"},
            {"scenes": ("feed",)},
            "lacks task scene 'search', which the model was trained on: train again",
        ),
    ],
)
def test_changes_of_the_catalogue_are_refused(
    model: str, settings: dict[str, str], change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    trained(out, model, **settings)
    reopen(out)
    write_shop(shop, **change)
    with pytest.raises(DataError, match=re.escape(f"shop {message}")):
        reopen(out)


def test_data_that_the_model_does_not_read_may_change(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    trained(out, "unirec", attributes="")
    write_shop(shop, users=41, scenes=("cart",), genres=("Action",))
    reopen(out)


def test_ids_must_stay_text_or_integers(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    trained(out, "din")
    write_shop(shop, items=range(31), users=41)
    reopen(out)
    write_shop(shop, id_format="n{}")
    with pytest.raises(DataError, match="item ids are text, but were integers in training"):
        reopen(out)


def test_the_center_serves_a_model_whose_text_ids_have_other_numbers(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop", id_format="n{}"), tmp_path / "out"
    trained(out, "mimn")
    ServedModel.load(out)
    write_shop(shop, id_format="n{}", users=41)
    ServedModel.load(out)


@pytest.mark.parametrize("model", ["popularity", "sasrec"])
def test_a_folder_without_the_ids_of_its_items_is_refused(model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_shop(tmp_path / "shop")
    trained(out, model)
    (out / KNOWN_ITEMS).unlink()
    with pytest.raises(CorruptFileError, match="ids of the training are missing"):
        reopen(out)


def test_data_without_a_known_item_is_refused(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop", id_format="n{}"), tmp_path / "out"
    trained(out, "popularity")
    write_shop(shop, id_format="m{}")
    with pytest.raises(DataError, match="shop has none of the 30 items that the model was trained"):
        reopen(out)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop")
    out = tmp_path / "out"
    trained(out, "sasrec")
    (out / CATALOGUE).unlink()
    with pytest.raises(CorruptFileError, match="record of the training is missing"):
        reopen(out)


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop")
    out = tmp_path / "out"
    job = trained(out, "popularity")
    content = (out / CATALOGUE).read_text()
    (out / CATALOGUE).write_text(content.replace('"number": 30', '"number": 31'))
    with pytest.raises(CorruptFileError, match="damaged"):
        check_catalogue(out, job, load(job.data))


def test_the_record_lists_ids_and_names(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop")
    trained(tmp_path / "out", "unirec", task="scene", user_fields="age")
    content = read_json(tmp_path / "out" / CATALOGUE, kind="catalogue")
    assert {kind: ids["number"] for kind, ids in content["ids"].items()} == {
        "items": 30,
        "users": 40,
    }
    assert content["names"] == {
        "attribute genre": ["Comedy", "Drama"],
        "task scene": ["feed", "search"],
    }


def test_resuming_requires_the_items_of_the_start(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    trained(out, "sasrec", seed=1)
    write_shop(shop, items=range(31))
    job = job_of("sasrec", str(shop), SETTINGS["sasrec"], seed=0, quick=False)
    with pytest.raises(KeyboardInterrupt):
        run_job(job, load(shop), out, callbacks=Interrupt())
    write_shop(shop)
    with pytest.raises(DataError, match="has 30 items where the model was trained on 31"):
        run_job(job, load(shop), out, resume=True)
    write_shop(shop, items=range(31))
    run_job(job, load(shop), out, resume=True)
    reopen(out)


def test_resuming_requires_the_events_of_the_start(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    job = trained(out, "sasrec")
    write_shop(shop, events=10)
    with pytest.raises(DataError, match=f"has other events, items or users than when {out} began"):
        run_job(job, load(shop), out, resume=True)
    run_job(job, load(shop), out)
    run_job(job, load(shop), out, resume=True)


def test_resuming_requires_the_attributes_of_the_start(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    job = trained(out, "unirec")
    write_shop(shop, genres=("Drama", "Comedy"))
    with pytest.raises(DataError, match=f"has other events, items or users than when {out} began"):
        run_job(job, load(shop), out, resume=True)


def test_resuming_without_a_job_starts_a_new_training(tmp_path: Path) -> None:
    """Without ``config.json`` it is unknown which job wrote the checkpoint."""
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    trained(out, "sasrec", seed=1)
    (out / "config.json").unlink()
    job = job_of("sasrec", str(shop), SETTINGS["sasrec"], seed=0, quick=False)
    resumed = run_job(job, load(shop), out, resume=True)
    (tmp_path / "fresh").mkdir()
    fresh = run_job(job, load(shop), tmp_path / "fresh")
    assert resumed.metrics["test"] == fresh.metrics["test"]
