"""What CAN's claims ask of the harness: made-up tables of pairs, splits by pairs, few users."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from jobs import job_of
from recops_evidence.claims import claims_of
from recops_evidence.experiments.click_runs import ClickRuns
from recops_evidence.experiments.memory_runs import MemoryRuns
from recops_evidence.experiments.synthetic_interests import SyntheticInterests
from recops_evidence.experiments.synthetic_pairs import SyntheticPairs
from recops_evidence.experiments.table_runs import TableRuns
from recops_evidence.experiments.training import some_users, train
from recops_evidence.harness.experiment import Run
from recops_evidence.harness.stored_results import read_results
from recops_models import cli
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset, load
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.batch import Batch
from recops_models.examples.click import PARTS, ClickData
from synthetic_histories import write_ring

pytestmark = pytest.mark.usefixtures("one_thread")


def everything(data: ClickData, part: str) -> Batch:
    return next(getattr(data, part).batches(100_000, seed=None))


def cells(batch: Batch, items: int) -> np.ndarray:
    """``[N, N]``: how often each pair was met; rows 0 and 1 of the table stand for no item."""
    met = np.zeros((items, items), dtype=np.int64)
    item, history = (batch.features[name].numpy() - 2 for name in ("item", "history_item"))
    np.add.at(met, (np.broadcast_to(item[:, None], history.shape), history), 1)
    return met


def test_a_made_up_table_is_the_seeds() -> None:
    table = SyntheticPairs(30, 4, examples=500)
    one, again, other = (everything(table.draw(seed), "train") for seed in (0, 0, 1))
    assert torch.equal(one.features["history_item"], again.features["history_item"])
    assert torch.equal(one.label, again.label)
    assert not torch.equal(one.label, other.label)
    assert [len(everything(table.draw(0), part).label) for part in PARTS] == [500, 250, 250]


@pytest.mark.parametrize("unseen", [False, True])
def test_pairs_are_met_as_often_as_said(unseen: bool) -> None:
    table = SyntheticPairs(20, None, unseen=unseen, examples=4000)
    made = table.draw(0)
    train, test = (cells(everything(made, part), 20) for part in ("train", "test"))
    assert train[train > 0].mean() == pytest.approx(table.occurrences, rel=0.15)
    assert bool(((train > 0) & (test > 0)).any()) is not unseen


@pytest.mark.parametrize("rank", [4, None])
def test_clicks_depend_on_pairs_and_on_nothing_else(rank: int | None) -> None:
    """What a cell's rate of clicks tells, a row's and a column's do not."""
    made = SyntheticPairs(16, rank, examples=40_000).draw(0)
    train, test = everything(made, "train"), everything(made, "test")

    def scores(batch: Batch, effect: np.ndarray) -> np.ndarray:
        item, history = (batch.features[name].numpy() - 2 for name in ("item", "history_item"))
        return effect[item[:, None], history].sum(1)

    met, clicked = cells(train, 16), np.zeros((16, 16))
    item, history = (train.features[name].numpy() - 2 for name in ("item", "history_item"))
    np.add.at(clicked, (item[:, None], history), train.label.numpy()[:, None] - 0.5)
    rate = clicked / met
    label = test.label.numpy() == 1
    assert auc(scores(test, rate), label) > 0.85
    mains = np.broadcast_to(rate.mean(1, keepdims=True), rate.shape) + rate.mean(0)
    assert abs(auc(scores(test, mains), label) - 0.5) < 0.03


def test_interests_are_interleaved_and_tell_by_their_order_alone() -> None:
    law = SyntheticInterests(examples=4000)
    one, again = (everything(law.draw(0), "train") for _ in range(2))
    assert torch.equal(one.features["item"], again.features["item"])
    item, history = (one.features[name].numpy() - 2 for name in ("item", "history_item"))
    # As a set every history is the same.
    assert (np.sort(history, axis=1) == np.arange(12)).all()
    mine = history // 3 == (item // 3)[:, None]
    last = history[np.arange(4000), 11 - mine[:, ::-1].argmax(1)]
    label = one.label.numpy() == 1
    assert auc((item == last).astype(float), label) == pytest.approx(0.9, abs=0.02)
    assert abs(np.mean(item == last) - 0.5) < 0.03
    # Neither the item nor the event before it says anything.
    for known in (item, history[:, -1]):
        rate = np.bincount(known, label, 12) / np.bincount(known, minlength=12)
        assert abs(rate - 0.5).max() < 0.1


@pytest.mark.slow
def test_dien_wins_where_its_mechanism_is_what_there_is(tmp_path: Path) -> None:
    """The positive control of DIEN, at half of its size: .71 against .50 under seed 0."""
    made = SyntheticInterests(examples=10_000).draw(0)
    found = {}
    for model in ("dien", "din"):
        settings = {"batch": "256", "epochs": "15", "patience": "15", "width": "16"}
        settings |= {"hidden": "32", "dropout": "0", "learning_rate": "0.01"}
        settings |= {"attention_hidden": "16"}
        settings |= {"auxiliary": "none"} if model == "dien" else {}
        job = job_of(model, "interests", settings, seed=0, quick=False)
        (tmp_path / model).mkdir()
        _, test = train(job, made, tmp_path / model, test=True, callbacks=Callbacks())
        found[model] = test["auc"]
    assert found["din"] < 0.54
    assert found["dien"] > found["din"] + 0.1


@pytest.mark.slow
def test_can_wins_where_pairs_that_are_no_product_are_what_there_is(tmp_path: Path) -> None:
    """The positive control of CAN: a table of pairs of rank 4, which sums of rows cannot tell."""
    made = SyntheticPairs(32, 4, examples=8000).draw(0)
    found = {}
    for model in ("can", "din"):
        settings = {"batch": "256", "epochs": "10", "patience": "10", "hidden": "32"}
        settings |= {"dropout": "0", "learning_rate": "0.01", "attention_hidden": "16"}
        settings |= {"base": "sum-pool"} if model == "can" else {}
        job = job_of(model, "pairs", settings, seed=0, quick=False)
        (tmp_path / model).mkdir()
        _, test = train(job, made, tmp_path / model, test=True, callbacks=Callbacks())
        found[model] = test["auc"]
    assert found["can"] > found["din"] + 0.03


def test_the_last_events_of_each_user_are_examples_and_all_are_history(small: Dataset) -> None:
    """Which leaves test as it was."""
    job = {"max_len": "50", "running_rates": "false"}
    settings = tuple(sorted(job.items()))
    whole, some = (
        experiment.examples(Run(experiment, "din", "small", settings, 0, True, False), small)
        for experiment in (ClickRuns(), ClickRuns(last=3))
    )
    assert some.split == whole.split
    of_whole, of_some = (everything(made, "train") for made in (whole, some))
    each = np.bincount(of_some.group.numpy())
    assert each.max() == 3
    before = np.bincount(of_whole.group.numpy())
    assert (each == np.minimum(before, 3)).all()
    # The first of a user's last three knows all that came before.
    for user in range(5):
        longest = of_whole.lengths["history_item"][of_whole.group == user].sort().values[-3:]
        kept = of_some.lengths["history_item"][of_some.group == user].sort().values
        assert torch.equal(longest, kept)
    assert len(everything(some, "test").label) == len(everything(whole, "test").label)


def test_claims_on_unseen_pairs_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_ring(tmp_path / "shop", users=40), tmp_path / "out"
    command = ["reproduce", "can", "--quick", "--data", data, "--out", str(out), "--claims"]
    assert cli.run([*command, "can-beats-cartesian-on-unseen-pairs"]) == 0
    content = read_results(out)
    (claim,) = content["claims"]
    assert claim["data"] == data
    floors = content["floors"]
    assert set(floors[f"{data}, unseen pairs"]) >= {"popularity", "item rate", "boosted counts"}
    assert f"{data}, unseen pairs: mean over seeds" in (out / "results.md").read_text()
    assert "no evidence" in capsys.readouterr().out
    # Claims on clicks that are made up cannot be measured on a shop's.
    assert cli.run([*command, "can-beats-products-of-pairs"]) == 2
    assert "none of these claims can be measured on" in capsys.readouterr().err


def test_named_data_keeps_to_the_claims_that_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = "full rank, pairs met 49 times"
    out = tmp_path / "out"
    command = ["reproduce", "can", "--quick", "--claims", "can-beats-products-of-pairs"]
    assert cli.run([*command, "--data", table, "--out", str(out)]) == 0
    content = read_results(out)
    assert [claim["data"] for claim in content["claims"]] == [table]
    assert f"--data '{table}'" in content["command"]
    assert content["floors"][table]["popularity"] < 0.6
    assert capsys.readouterr().out


def test_made_up_clicks_that_are_not_there_are_named() -> None:
    (claim,) = claims_of("can", ["can-beats-cartesian-on-rare-pairs"])
    run = Run(claim.experiment, "can", "nowhere", (), 0, test=True, quick=True)
    with pytest.raises(ValueError, match="no made-up clicks 'nowhere'; there are rank 4"):
        claim.experiment.config(run)
    share = Run(claim.experiment, "can", claim.data[0], (), 0, True, True, share=0.5)
    with pytest.raises(ValueError, match="share must be 1 for made-up clicks"):
        claim.experiment.measure(share, None, Path(), Callbacks())


def test_every_arm_of_a_claim_on_tables_reads_pairs_alone() -> None:
    for claim in claims_of("can", ["tables"]):
        for arm in claim.arms:
            assert "max_len" not in arm.settings


def test_a_share_of_the_users_is_the_same_one_every_time(tmp_path: Path) -> None:
    data = load(write_ring(tmp_path / "shop", users=40))
    some, again = some_users(data, 0.25), some_users(data, 0.25)
    assert some.interactions.equals(again.interactions)
    kept = set(some.interactions["user_id"].to_pylist())
    assert len(kept) == 10
    for user in kept:
        whole = data.interactions.filter(pc.equal(data.interactions["user_id"], user))
        part = some.interactions.filter(pc.equal(some.interactions["user_id"], user))
        assert part.equals(whole)
    assert some_users(data, 1.0) is data


def test_experiments_that_tell_more_have_runs_of_their_own() -> None:
    kinds = (ClickRuns(), MemoryRuns(), TableRuns())
    assert len({Run(kind, "din", "ml-100k", (), 0, True, False).key for kind in kinds}) == 3


def test_whatever_makes_other_examples_is_in_the_label() -> None:
    """A page has one table of arms, and one set of floors, for each label."""
    changed = {
        "users": ClickRuns(users=3000),
        "last": ClickRuns(last=40),
        "unseen": ClickRuns(unseen=True),
        "least_events": ClickRuns(least_events=200),
        "held_out": ClickRuns(held_out=20),
    }
    assert list(changed) == [field.name for field in dataclasses.fields(ClickRuns)]
    every = [ClickRuns(), ClickRuns(users=6000), *changed.values()]
    assert len({runs.label for runs in every}) == len(every)
