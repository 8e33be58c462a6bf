"""Experiments of CAN's claims: synthetic tables of pairs, and unseen pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from jobs import job_of
from recops_evidence.claims import claims_of
from recops_evidence.experiments.click_runs import ClickRuns
from recops_evidence.experiments.synthetic_interests import SyntheticInterests
from recops_evidence.experiments.synthetic_pairs import SyntheticPairs
from recops_evidence.experiments.table_runs import TableRuns
from recops_evidence.experiments.training import some_users, train
from recops_evidence.harness.experiment import Run
from recops_evidence.harness.stored_results import read_results
from recops_models import cli
from recops_models.callbacks import Callbacks
from recops_models.data import load
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.batch import Batch
from recops_models.examples.click import PARTS, ClickData
from synthetic_histories import write_ring

pytestmark = pytest.mark.usefixtures("one_thread")


def full_batch(data: ClickData, part: str) -> Batch:
    return next(getattr(data, part).batches(100_000, seed=None))


def pair_counts(batch: Batch, items: int) -> np.ndarray:
    """Count the pairs of candidate and history item: ``[N, N]``. Rows 0 and 1 are no items."""
    counts = np.zeros((items, items), dtype=np.int64)
    item, history = (batch.features[name].numpy() - 2 for name in ("item", "history_item"))
    np.add.at(counts, (np.broadcast_to(item[:, None], history.shape), history), 1)
    return counts


def test_a_synthetic_table_depends_on_its_seed() -> None:
    table = SyntheticPairs(30, 4, examples=500)
    one, same, other = (full_batch(table.draw(seed), "train") for seed in (0, 0, 1))
    assert torch.equal(one.features["history_item"], same.features["history_item"])
    assert torch.equal(one.label, same.label)
    assert not torch.equal(one.label, other.label)
    assert [len(full_batch(table.draw(0), part).label) for part in PARTS] == [500, 250, 250]


@pytest.mark.parametrize("unseen", [False, True])
def test_pairs_occur_at_the_configured_rate(unseen: bool) -> None:
    table = SyntheticPairs(20, None, unseen=unseen, examples=4000)
    data = table.draw(0)
    train, test = (pair_counts(full_batch(data, part), 20) for part in ("train", "test"))
    assert train[train > 0].mean() == pytest.approx(table.occurrences, rel=0.15)
    assert bool(((train > 0) & (test > 0)).any()) is not unseen


@pytest.mark.parametrize("rank", [4, None])
def test_clicks_depend_on_pairs_only(rank: int | None) -> None:
    """Click rates of pairs predict clicks; sums of the mean rates of rows and columns do not."""
    data = SyntheticPairs(16, rank, examples=40_000).draw(0)
    train, test = full_batch(data, "train"), full_batch(data, "test")

    def scores(batch: Batch, effect: np.ndarray) -> np.ndarray:
        item, history = (batch.features[name].numpy() - 2 for name in ("item", "history_item"))
        return effect[item[:, None], history].sum(1)

    counts, clicked = pair_counts(train, 16), np.zeros((16, 16))
    item, history = (train.features[name].numpy() - 2 for name in ("item", "history_item"))
    np.add.at(clicked, (item[:, None], history), train.label.numpy()[:, None] - 0.5)
    rate = clicked / counts
    label = test.label.numpy() == 1
    assert auc(scores(test, rate), label) > 0.85
    main_effects = np.broadcast_to(rate.mean(1, keepdims=True), rate.shape) + rate.mean(0)
    assert abs(auc(scores(test, main_effects), label) - 0.5) < 0.03


def test_interleaved_interests_predict_clicks_by_order_only() -> None:
    law = SyntheticInterests(examples=4000)
    one, same = (full_batch(law.draw(0), "train") for _ in range(2))
    assert torch.equal(one.features["item"], same.features["item"])
    item, history = (one.features[name].numpy() - 2 for name in ("item", "history_item"))
    # Every history contains the same items.
    assert (np.sort(history, axis=1) == np.arange(12)).all()
    same_interest = history // 3 == (item // 3)[:, None]
    last = history[np.arange(4000), 11 - same_interest[:, ::-1].argmax(1)]
    label = one.label.numpy() == 1
    assert auc((item == last).astype(float), label) == pytest.approx(0.9, abs=0.02)
    assert abs(np.mean(item == last) - 0.5) < 0.03
    # Neither the candidate nor the last event alone predicts clicks.
    for feature in (item, history[:, -1]):
        rate = np.bincount(feature, label, 12) / np.bincount(feature, minlength=12)
        assert abs(rate - 0.5).max() < 0.1


@pytest.mark.slow
def test_dien_beats_din_on_its_positive_control(tmp_path: Path) -> None:
    """DIEN has AUC .71 and DIN .50 with half the examples of the claim and seed 0."""
    data = SyntheticInterests(examples=10_000).draw(0)
    aucs = {}
    for model in ("dien", "din"):
        settings = {"batch": "256", "epochs": "15", "patience": "15", "width": "16"}
        settings |= {"hidden": "32", "dropout": "0", "learning_rate": "0.01"}
        settings |= {"attention_hidden": "16"}
        settings |= {"auxiliary": "none"} if model == "dien" else {}
        job = job_of(model, "interests", settings, seed=0, quick=False)
        (tmp_path / model).mkdir()
        _, test = train(job, data, tmp_path / model, test=True, callbacks=Callbacks())
        aucs[model] = test["auc"]
    assert aucs["din"] < 0.54
    assert aucs["dien"] > aucs["din"] + 0.1


@pytest.mark.slow
def test_can_beats_din_on_its_positive_control(tmp_path: Path) -> None:
    """Clicks follow a table of pairs of rank 4, which sums of item vectors cannot express."""
    data = SyntheticPairs(32, 4, examples=8000).draw(0)
    aucs = {}
    for model in ("can", "din"):
        settings = {"batch": "256", "epochs": "10", "patience": "10", "hidden": "32"}
        settings |= {"dropout": "0", "learning_rate": "0.01", "attention_hidden": "16"}
        settings |= {"base": "sum-pool"} if model == "can" else {}
        job = job_of(model, "pairs", settings, seed=0, quick=False)
        (tmp_path / model).mkdir()
        _, test = train(job, data, tmp_path / model, test=True, callbacks=Callbacks())
        aucs[model] = test["auc"]
    assert aucs["can"] > aucs["din"] + 0.03


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
    assert "not evidence" in capsys.readouterr().out
    # Claims on synthetic clicks cannot be measured on other data.
    assert cli.run([*command, "can-beats-products-of-pairs"]) == 2
    assert "none of these claims can be measured on" in capsys.readouterr().err


def test_named_data_selects_the_claims_measured_on_it(
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


def test_unknown_synthetic_clicks_are_refused() -> None:
    (claim,) = claims_of("can", ["can-beats-cartesian-on-rare-pairs"])
    run = Run(claim.experiment, "can", "nowhere", (), 0, test=True, quick=True)
    with pytest.raises(ValueError, match="no synthetic clicks 'nowhere'; available: rank 4"):
        claim.experiment.config(run)
    share = Run(claim.experiment, "can", claim.data[0], (), 0, True, True, share=0.5)
    with pytest.raises(ValueError, match="share must be 1 for synthetic clicks"):
        claim.experiment.measure(share, None, Path(), Callbacks())


def test_every_arm_of_a_claim_on_tables_reads_pairs_only() -> None:
    for claim in claims_of("can", ["tables"]):
        for arm in claim.arms:
            assert "max_len" not in arm.settings


def test_a_share_of_the_users_is_deterministic(tmp_path: Path) -> None:
    data = load(write_ring(tmp_path / "shop", users=40))
    subset, repeated = some_users(data, 0.25), some_users(data, 0.25)
    assert subset.interactions.equals(repeated.interactions)
    users = set(subset.interactions["user_id"].to_pylist())
    assert len(users) == 10
    for user in users:
        expected = data.interactions.filter(pc.equal(data.interactions["user_id"], user))
        part = subset.interactions.filter(pc.equal(subset.interactions["user_id"], user))
        assert part.equals(expected)
    assert some_users(data, 1.0) is data


def test_experiments_with_different_metrics_do_not_share_runs() -> None:
    kinds = (ClickRuns(), TableRuns())
    assert len({Run(kind, "din", "ml-100k", (), 0, True, False).key for kind in kinds}) == 2
