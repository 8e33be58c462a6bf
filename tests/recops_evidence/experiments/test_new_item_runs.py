"""Runs that hold out items from training and rank them afterwards."""

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
    """Users with distinct items of one kind each; the titles contain the kind."""
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


def _run(data: str, **changes: str) -> Run:
    settings = tuple(sorted({"attributes": "", **_SMALL, **changes}.items()))
    return Run(NewItemRuns(), "unirec", data, settings, 0, True, False)


def test_the_target_of_a_user_is_the_last_new_item_after_training(shop: str) -> None:
    data = load(shop)
    draw = HeldOutItems.draw(data, 0.3, seed=1)
    old, new = set(draw.old.items["item_id"].to_pylist()), draw.new["item_id"].to_pylist()
    assert len(new) == 24
    assert not old & set(new)
    assert old | set(new) == set(data.items["item_id"].to_pylist())
    trained = leave_one_out(draw.old).train.to_pylist()
    expected = {}
    for user in data.users["user_id"].to_pylist():
        items_of_user = [
            event["item_id"] for event in data.interactions.to_pylist() if event["user_id"] == user
        ]
        last = max(
            (
                items_of_user.index(event["item_id"])
                for event in trained
                if event["user_id"] == user
            ),
            default=-1,
        )
        for position in range(last + 1, len(items_of_user)):
            before = [item for item in items_of_user[:position] if item in old]
            if items_of_user[position] not in old and before:
                expected[user] = (before, items_of_user[position])
    requests = draw.questions
    users = draw.old.user_vocabulary.ids[requests.users].tolist()
    histories = np.split(
        draw.old.item_vocabulary.ids[requests.histories.items], requests.histories.offsets
    )
    actual = {
        user: (history.tolist(), new[target])
        for user, history, target in zip(users, histories[1:], requests.targets.items, strict=False)
    }
    assert actual == expected
    assert len(expected) > 10


def test_new_items_are_in_random_order(shop: str) -> None:
    data = load(shop)
    ids = [HeldOutItems.draw(data, 0.3, seed).new["item_id"].to_numpy() for seed in range(40)]
    ranks = np.corrcoef([(np.sort(row).searchsorted(row)) for row in ids] + [np.arange(24)])[
        -1, :-1
    ]
    assert abs(ranks.mean()) < 0.15  # Four standard errors.
    assert ranks.min() < 0 < ranks.max()


def test_draws_depend_on_the_seed(shop: str) -> None:
    data = load(shop)
    first, same, other = (HeldOutItems.draw(data, 0.3, seed).new for seed in (1, 1, 2))
    assert first.equals(same)
    assert not first.equals(other)


@pytest.mark.parametrize("codes", ["content", "chance", None])
def test_new_items_are_ranked_among_themselves(
    shop: str, tmp_path: Path, codes: str | None
) -> None:
    run = _run(shop, epochs="2", **({} if codes is None else {"codes_of": codes}))
    folder = tmp_path / "run"
    folder.mkdir()
    validation, test = run.experiment.on(shop)(run, folder, Callbacks())
    predictions = read_table(folder / "predictions.parquet")
    draw = HeldOutItems.draw(load(shop), 0.2, seed=0)
    assert predictions.num_rows == len(draw.questions.users)
    assert test["hr@10"] == pytest.approx((predictions["rank"].to_numpy() < 10).mean())
    assert test["hr@50"] == 1  # All sixteen are on the list.
    assert (test["hr@10_beside_old"] or 0) <= (test["hr@10"] or 0)
    assert set(validation) >= {"hr@10", "ndcg@10"}


def test_chance_codes_are_a_permutation_of_content_codes(shop: str, tmp_path: Path) -> None:
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


def test_neighbours_by_content_have_the_same_kind(shop: str) -> None:
    run = _run(shop)
    floors = run.experiment.floors(run, load(shop))
    neighbours, chance = floors["neighbours by content"], floors["chance"]
    assert chance["hr@10"] == 10 / 16
    assert (neighbours["hr@10"] or 0) > 0.95


def test_unknown_codes_are_refused(shop: str) -> None:
    with pytest.raises(ValueError, match="codes_of must be one of content, chance with unirec"):
        _ = _run(shop, codes_of="fashion").key
    assert _run(shop, codes_of="content").key != _run(shop, codes_of="chance").key
