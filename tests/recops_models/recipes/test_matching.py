"""Models on data with new ids: known items keep their scores, new ones are served and noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import recops_models as rm
from jobs import job_of
from recops_models.cli import run
from recops_models.data import load
from recops_models.data.renumber import renumbered
from recops_models.generative.unirec import UniRec
from recops_models.recipes.known_ids import KnownIds
from recops_models.recipes.run import run_job
from small_shop import CLICK, SETTINGS, write_shop

MODELS = {
    **SETTINGS,
    "item-knn": {},
    "ease": {},
    "rates": {},
    **dict.fromkeys(("sum-pool", "gru-attention", "dien", "can", "hpmn"), CLICK),
    "rocket": {"light.width": "8", "booster.width": "8", "epochs": "1"},
    "age": {"base.width": "8", "epochs": "1"},
    "res-embedding": {"base.width": "8", "epochs": "1"},
}
"""All models but KEEP, which needs domains; see ``test_keep_matching``."""


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


def train(model: str, shop: Path, out: Path, **settings: str) -> None:
    """Train on a shop."""
    out.mkdir(exist_ok=True)
    job = job_of(model, str(shop), {**MODELS[model], **settings}, seed=0, quick=False)
    run_job(job, load(shop), out)


def shown(keys: list[int], id_format: str) -> list[object]:
    """Return ids as the shop writes them."""
    return [int(key) if id_format == "{}" else id_format.format(key) for key in keys]


@pytest.mark.filterwarnings("ignore:new items since training:UserWarning")
@pytest.mark.parametrize("id_format", ["{}", "n{}"])
@pytest.mark.parametrize("model", ["popularity", "sasrec", "item-knn", "unirec", "tiger", "din"])
def test_a_smaller_new_id_changes_no_score(model: str, id_format: str, tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop", id_format=id_format), tmp_path / "out"
    train(model, shop, out)
    before = rm.load(out)
    users = shown([3, 17, 30], id_format)
    pairs = {"user_id": np.repeat(users, 20), "item_id": shown([*range(1, 21)], id_format) * 3}
    expected = before.score(pairs)
    write_shop(shop, items=range(31), users=42, id_format=id_format)  # Item 0 and two users.
    after = rm.load(out)
    np.testing.assert_allclose(after.score(pairs), expected, rtol=1e-5)
    assert after.data.items.num_rows == 31


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=[] if name in ("sasrec", "din") else pytest.mark.slow)
        for name in MODELS
    ],
)
def test_every_model_serves_new_items_and_users_and_says_so(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, out = write_shop(tmp_path / "shop", id_format="n{}"), tmp_path / "out"
    train(model, shop, out)
    write_shop(shop, items=range(31), users=42, id_format="n{}")
    new = rm.load(out)
    with pytest.warns(UserWarning, match="new items since training: 1 of 31"):
        lists = new.recommend(["n40", "n3"], k=30, exclude_seen=False)
    assert set(lists["user_id"].to_pylist()) == {"n40", "n3"}
    assert np.isfinite(new.score({"user_id": ["n40"], "item_id": ["n0"]})).all()
    capsys.readouterr()
    assert run(["recommend", str(out), "--user", "n40", "-k", "30"]) == 0
    printed = capsys.readouterr()
    assert "note: new items since training: 1 of 31; " in printed.err
    assert "note: new users since training: 2 of 42; " in printed.err
    assert "Film" in printed.out


def test_absent_items_are_never_recommended(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    train("sasrec", shop, out)
    write_shop(shop, items=[*range(1, 26), 40])
    with pytest.warns(UserWarning, match="the data lacks 5 items of training"):
        lists = rm.load(out).recommend([3], k=26, exclude_seen=False)
    assert sorted(lists["item_id"].to_pylist()) == [*range(1, 26), 40]


def test_a_new_item_with_known_content_gets_the_codes_of_its_kind(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    train("unirec", shop, out)
    with (shop / "items.csv").open("a") as file:
        file.write("31,Film 7,Drama\n")
    twin = rm.load(out, data=shop)
    with pytest.warns(
        UserWarning, match="new items since training: 1 of 31; .* codes by their content"
    ):
        matched = twin.matched
    assert isinstance(matched, UniRec)
    paths = matched.paths[1:]
    genre = twin.data.items["genre"].to_pylist()
    same = [int(paths[row, 0]) for row in range(30) if genre[row] == "Drama"]
    assert int(paths[30, 0]) == same[0]


def test_newer_data_is_an_argument_of_load(tmp_path: Path) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    train("din", shop, out)
    newer = write_shop(tmp_path / "newer", items=range(31), users=42)
    with pytest.warns(UserWarning, match="new items since training"):
        assert rm.load(out, data=load(newer)).recommend([40], k=3).num_rows == 3
    assert rm.load(out).data.items.num_rows == 30


def test_numbers_of_ids_that_start_anywhere_are_kept() -> None:
    items = pa.table({"item_id": [4, 9], "item_key": ["b", "c"]})
    users = pa.table({"user_id": [0], "user_key": ["u"]})
    first = rm.Dataset.from_frames(
        {"user_id": ["u", "u"], "item_id": ["b", "c"], "timestamp": [0, 1]}
    )
    old = KnownIds(
        items.rename_columns(["id", "key"]).select(["key", "id"]),
        users.rename_columns(["id", "key"]).select(["key", "id"]),
    )
    assert renumbered(first, old.items, old.users).items["item_id"].to_pylist() == [4, 9]
    grown = rm.Dataset.from_frames(
        {"user_id": ["t", "u", "u"], "item_id": ["a", "b", "c"], "timestamp": [0, 1, 2]}
    )
    numbered = renumbered(grown, old.items, old.users)
    assert numbered.item_keys == ["b", "c", "a"]
    assert numbered.items["item_id"].to_pylist() == [4, 9, 10]
    assert numbered.interactions["item_id"].to_pylist() == [10, 4, 9]
    assert numbered.user_keys == ["u", "t"]
