"""Runs that hold items out of training, and ask for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recops_evidence.experiments.new_item_runs import NewItemRuns
from recops_evidence.experiments.new_items import HeldOutItems
from recops_evidence.harness.experiment import Run
from recops_models.callbacks import Callbacks
from recops_models.data import leave_one_out, load
from recops_models.data.storage import read_table

_SMALL = {"width": "8", "heads": "2", "history": "6", "codes": "6", "levels": "2", "beams": "8"}
_KINDS = ("drum", "harp", "oboe", "tuba")
_ITEMS = 80


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """Users who meet items of one kind, which titles tell, and no item twice."""
    rng, folder = np.random.default_rng(0), tmp_path / "shop"
    rows, items = ["user_id,item_id,timestamp"], ["item_id,title"]
    for user in range(60):
        kind = rng.permutation(_ITEMS // 4)[: 4 + user % 9] * 4 + user % 4
        rows += [f"{user},{item},{step}" for step, item in enumerate(kind)]
    items += [f"{item},{_KINDS[item % 4]} {'solo' if item % 3 else 'duet'}" for item in range(80)]
    folder.mkdir()
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    (folder / "items.csv").write_text("\n".join(items) + "\n")
    return str(folder)


def _run(data: str, **more: str) -> Run:
    settings = tuple(sorted({"attributes": "", **_SMALL, **more}.items()))
    return Run(NewItemRuns(), "unirec", data, settings, 0, True, False)


def test_each_user_is_asked_for_the_last_new_item_behind_training(shop: str) -> None:
    data = load(shop)
    made = HeldOutItems.draw(data, 0.3, seed=1)
    old, new = set(made.old.items["item_id"].to_pylist()), made.new["item_id"].to_pylist()
    assert len(new) == 24
    assert not old & set(new)
    assert old | set(new) == set(data.items["item_id"].to_pylist())
    trained = leave_one_out(made.old).train.to_pylist()
    due = {}
    for user in data.users["user_id"].to_pylist():
        met = [e["item_id"] for e in data.interactions.to_pylist() if e["user_id"] == user]
        last = max((met.index(e["item_id"]) for e in trained if e["user_id"] == user), default=-1)
        for place in range(last + 1, len(met)):
            before = [item for item in met[:place] if item in old]
            if met[place] not in old and before:
                due[user] = (before, met[place])
    asked = made.asked
    users = made.old.user_vocabulary.ids[asked.users].tolist()
    known = np.split(made.old.item_vocabulary.ids[asked.histories.items], asked.histories.offsets)
    found = {
        user: (history.tolist(), new[target])
        for user, history, target in zip(users, known[1:], asked.targets.items, strict=False)
    }
    assert found == due
    assert len(due) > 10


def test_the_order_of_new_items_says_nothing_of_their_ids(shop: str) -> None:
    data = load(shop)
    ids = [HeldOutItems.draw(data, 0.3, seed).new["item_id"].to_numpy() for seed in range(40)]
    ranks = np.corrcoef([(np.sort(row).searchsorted(row)) for row in ids] + [np.arange(24)])[
        -1, :-1
    ]
    assert abs(ranks.mean()) < 0.15  # Four standard errors.
    assert ranks.min() < 0 < ranks.max()


def test_draws_are_of_the_seed(shop: str) -> None:
    data = load(shop)
    first, again, other = (HeldOutItems.draw(data, 0.3, seed).new for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("codes", ["content", "chance", None])
def test_new_items_are_ranked_among_themselves(
    shop: str, tmp_path: Path, codes: str | None
) -> None:
    run = _run(shop, epochs="2", **({} if codes is None else {"codes_of": codes}))
    folder = tmp_path / "run"
    folder.mkdir()
    validation, test = run.experiment.on(shop)(run, folder, Callbacks())
    left = read_table(folder / "predictions.parquet")
    made = HeldOutItems.draw(load(shop), 0.2, seed=0)
    assert left.num_rows == len(made.asked.users)
    assert test["hr@10"] == pytest.approx((left["rank"].to_numpy() < 10).mean())
    assert test["hr@50"] == 1  # All sixteen are on the list.
    assert (test["hr@10_beside_old"] or 0) <= (test["hr@10"] or 0)
    assert set(validation) >= {"hr@10", "ndcg@10"}


def test_codes_by_chance_are_a_permutation_of_the_others(shop: str, tmp_path: Path) -> None:
    vectors = {}
    for codes in ("content", "chance"):
        run, folder = _run(shop, epochs="1", codes_of=codes), tmp_path / codes
        folder.mkdir()
        run.experiment.on(shop)(run, folder, Callbacks())
        vectors[codes] = [
            tuple(v) for v in read_table(folder / "new_items.parquet")["vector"].to_pylist()
        ]
    assert vectors["content"] != vectors["chance"]
    assert sorted(vectors["content"]) == sorted(vectors["chance"])


def test_neighbours_by_content_find_the_kind(shop: str) -> None:
    run = _run(shop)
    found = run.experiment.floors(run, load(shop))
    neighbours, chance = found["neighbours by content"], found["chance"]
    assert chance["hr@10"] == 10 / 16
    assert (neighbours["hr@10"] or 0) > 0.95


def test_unknown_codes_are_refused(shop: str) -> None:
    with pytest.raises(ValueError, match="codes_of must be one of content, chance with unirec"):
        _ = _run(shop, codes_of="fashion").key
    assert _run(shop, codes_of="content").key != _run(shop, codes_of="chance").key
