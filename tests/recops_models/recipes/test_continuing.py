"""Trainings that continue an earlier one on newer data with new ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import recops_models as rm
from jobs import job_of
from recops.files import read_json
from recops_models.cli import run
from recops_models.data import load
from recops_models.recipes.known_ids import KNOWN_ITEMS
from recops_models.recipes.run import run_job
from small_shop import RANKER, SETTINGS, write_shop

# Statistics of Dice change without a learning rate; those of ReLU do not exist.
CLICK = {"width": "8", "hidden": "16,8", "activation": "relu", "epochs": "1", "batch": "32"}
NET = {"epochs": "1", "batch": "32"}
BASE = {f"base.{name}": CLICK[name] for name in ("width", "hidden", "activation")}
MODELS: Mapping[str, Mapping[str, str]] = {
    **{name: SETTINGS[name] for name in ("sasrec", "tiger", "unirec")},
    **dict.fromkeys(("sum-pool", "din", "gru-attention", "dien", "can", "mimn", "hpmn"), CLICK),
    "rocket": {
        **NET,
        **{
            f"light.{name}": value
            for name, value in CLICK.items()
            if name in ("width", "activation")
        },
        "booster.width": "8",
    },
    "age": {**NET, **BASE},
    "res-embedding": {**NET, **BASE},
}
"""All models with weights but KEEP, which needs domains; see ``test_keep_continuing``."""
COUNTED = ("popularity", "item-knn", "ease", "rates")


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


def train(model: str, shop: Path, out: Path, settings: Mapping[str, str]) -> None:
    """Train on a shop."""
    out.mkdir(exist_ok=True)
    run_job(job_of(model, str(shop), settings, seed=0, quick=False), load(shop), out)


def continue_at_rate_zero(model: str, shop: Path, old: Path, new: Path) -> int:
    """Continue a training without changing a weight."""
    command = ["train", model, "--data", str(shop), "--from", str(old), "--out", str(new)]
    return run([*command, "--set", "learning_rate=0", "--set", "weight_decay=0"])


@pytest.mark.filterwarnings("ignore:new items since training:UserWarning")
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=[] if name in ("sasrec", "din") else pytest.mark.slow)
        for name in MODELS
    ],
)
@pytest.mark.parametrize("id_format", ["{}", pytest.param("n{}", marks=pytest.mark.slow)])
def test_known_ids_keep_their_rows(model: str, id_format: str, tmp_path: Path) -> None:
    shop, old, new = write_shop(tmp_path / "shop", id_format=id_format), *folders(tmp_path)
    train(model, shop, old, MODELS[model])
    write_shop(shop, items=range(32), users=45, id_format=id_format)
    assert continue_at_rate_zero(model, shop, old, new) == 0
    users, items = (ids(keys, id_format) for keys in ([3, 17, 30], range(1, 21)))
    pairs = {"user_id": np.repeat(users, 20), "item_id": items * 3}
    before, after = rm.load(old), rm.load(new)
    np.testing.assert_allclose(after.score(pairs), before.score(pairs), rtol=1e-4, atol=1e-6)
    assert after.job.start == str(old.resolve())
    newest = {"user_id": ids([42], id_format), "item_id": ids([0], id_format)}
    assert np.isfinite(after.score(newest)).all()
    assert np.isfinite(before.score(newest)).all()


@pytest.mark.slow
def test_new_items_have_content_in_a_continued_unirec(tmp_path: Path) -> None:
    shop, old, new = write_shop(tmp_path / "shop"), *folders(tmp_path)
    train("unirec", shop, old, {**MODELS["unirec"], "item_content": "true"})
    write_shop(shop, items=range(32), users=45)
    assert continue_at_rate_zero("unirec", shop, old, new) == 0
    before, after = (rm.load(folder).module.item for folder in (old, new))
    assert torch.equal(after.project, before.project)
    row = rm.load(new).data.items["item_id"].to_pylist().index(7)
    assert torch.equal(after.content[1 + row], before.content[7])
    assert torch.equal(after.weight[1 + row], before.weight[7])
    assert after.content[1:].any(1).all()


def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return the folders of the earlier and the continued training."""
    return tmp_path / "old", tmp_path / "new"


def ids(keys: object, id_format: str) -> list[object]:
    """Return ids as the shop writes them."""
    return [int(key) if id_format == "{}" else id_format.format(key) for key in keys]  # type: ignore[attr-defined]


def test_a_new_id_starts_from_the_unknown_row(tmp_path: Path) -> None:
    shop, old, new = write_shop(tmp_path / "shop"), *folders(tmp_path)
    train("din", shop, old, {**CLICK, "rare_share": "0.2"})
    write_shop(shop, users=60)
    assert continue_at_rate_zero("din", shop, old, new) == 0
    before, after = rm.load(old).module, rm.load(new).module
    tables = [model.embedding.tables["user"].weight.detach() for model in (before, after)]
    lookups = [model.schema.lookups["user"] for model in (before, after)]
    added = lookups[1].rows(np.array([55]))
    assert added > 1
    assert torch.equal(tables[1][added], tables[0][1:2])
    known = np.array([7])
    assert torch.equal(tables[1][lookups[1].rows(known)], tables[0][lookups[0].rows(known)])


@pytest.mark.parametrize("model", COUNTED)
def test_models_that_count_are_fitted_again(model: str, tmp_path: Path) -> None:
    shop, old, new = write_shop(tmp_path / "shop"), *folders(tmp_path)
    train(model, shop, old, {})
    write_shop(shop, items=range(32), users=45)
    assert run(["train", model, "--data", str(shop), "--from", str(old), "--out", str(new)]) == 0
    fresh = tmp_path / "fresh"
    train(model, shop, fresh, {})
    metrics = [read_json(out / "metrics.json", kind="metrics") for out in (new, fresh)]
    assert metrics[0]["test"] == metrics[1]["test"]


def test_continuing_in_python_learns(tmp_path: Path) -> None:
    old_shop = load(write_shop(tmp_path / "shop"))
    earlier = rm.train("sasrec", old_shop, {**typed(RANKER), "epochs": 3})
    newer = load(write_shop(tmp_path / "newer", items=range(32), users=45, events=10))
    model = rm.train("sasrec", newer, {"epochs": 1}, start=earlier)
    assert model.data.items.num_rows == 32
    assert model.config["training"]["epochs"] == 1
    assert model.config["sizes"] == earlier.config["sizes"]
    again = rm.train("sasrec", newer, {"epochs": 1}, start=earlier.folder)
    for name, weight in model.module.state_dict().items():
        assert torch.equal(weight, again.module.state_dict()[name])


def typed(settings: Mapping[str, str]) -> dict[str, object]:
    """Return settings whose values are all integers."""
    return {name: int(value) for name, value in settings.items()}


def test_a_chain_of_trainings_keeps_ids_that_left_the_data(tmp_path: Path) -> None:
    shop, old, new = write_shop(tmp_path / "shop", id_format="n{}"), *folders(tmp_path)
    train("din", shop, old, CLICK)
    pairs = {"user_id": ["n3"] * 5, "item_id": [f"n{i}" for i in range(20, 25)]}
    score = rm.load(old).score(pairs)
    write_shop(shop, items=[*range(1, 11), *range(20, 31), 40], id_format="n{}")
    assert continue_at_rate_zero("din", shop, old, new) == 0
    write_shop(shop, id_format="n{}")
    last = tmp_path / "last"
    assert continue_at_rate_zero("din", shop, new, last) == 0
    model = rm.load(last)
    with pytest.warns(UserWarning, match="the data lacks 1 items of training"):
        np.testing.assert_allclose(model.score(pairs), score, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "dien"], "model must be din, as in OLD, got dien"),
        (["train", "din", "--set", "width=16"], "width must stay 8, as in OLD, got 16"),
        (["train", "din", "--preset", "paper"], "leave out --preset with --from"),
    ],
)
def test_other_settings_are_refused_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, old, new = write_shop(tmp_path / "shop"), *folders(tmp_path)
    train("din", shop, old, CLICK)
    capsys.readouterr()
    command = [*arguments, "--data", str(shop), "--from", str(old), "--out", str(new)]
    assert run(command) == 2
    error = re.sub(r"[\s│╭╰╮╯─]+", "", capsys.readouterr().err)  # The box breaks lines.
    assert re.sub(r"\s", "", message.replace("OLD", str(old))) in error
    assert not (new / "model.safetensors").exists()


def test_another_schema_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, old, new = write_shop(tmp_path / "shop"), *folders(tmp_path)
    train("din", shop, old, CLICK)
    users = (shop / "users.csv").read_text().replace("age", "years")
    (shop / "users.csv").write_text(users)
    capsys.readouterr()
    assert continue_at_rate_zero("din", shop, old, new) == 1
    assert "feature 'user_age' is missing in the data" in capsys.readouterr().err
    assert not (new / "model.safetensors").exists()


def test_the_folder_of_the_earlier_training_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, old = write_shop(tmp_path / "shop"), tmp_path / "old"
    train("din", shop, old, CLICK)
    command = ["train", "din", "--data", str(shop), "--from", str(old), "--out", str(old)]
    assert run([*command, "--force"]) == 1
    assert "--out must be another folder than --from" in capsys.readouterr().err
    rm.load(old)


def test_a_training_without_stored_ids_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, shop = tmp_path / "old", write_shop(tmp_path / "shop")
    train("popularity", shop, old, {})
    (old / KNOWN_ITEMS).unlink()
    command = ["train", "popularity", "--data", str(shop), "--from", str(old)]
    assert run([*command, "--out", str(tmp_path / "new")]) == 1
    message = f"train: {old} must hold the ids of its items, got a training on examples"
    assert message in capsys.readouterr().err
