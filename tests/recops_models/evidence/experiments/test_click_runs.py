"""What CAN's claims ask of the harness: made-up tables of pairs, splits by pairs, few users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recops.files import read_json
from recops_models import cli
from recops_models.claims import claims_of
from recops_models.evaluation.grouped_auc import auc
from recops_models.evidence.experiments.synthetic_pairs import SyntheticPairs
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


def test_claims_on_unseen_pairs_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_ring(tmp_path / "shop", users=40), tmp_path / "out"
    command = ["reproduce", "can", "--quick", "--data", data, "--out", str(out), "--claims"]
    assert cli.run([*command, "can-beats-cartesian-on-unseen-pairs"]) == 0
    (claim,) = read_json(out / "results.json", kind="results")["claims"]
    assert claim["data"] == data
    assert "no evidence" in capsys.readouterr().out
    assert cli.run([*command, "can-beats-products-of-pairs"]) == 1
    assert f"no made-up table '{data}'" in capsys.readouterr().err


def test_named_data_keeps_to_the_claims_that_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = "full rank, pairs met 49 times"
    out = tmp_path / "out"
    command = ["reproduce", "can", "--quick", "--claims", "can-beats-products-of-pairs"]
    assert cli.run([*command, "--data", table, "--out", str(out)]) == 0
    content = read_json(out / "results.json", kind="results")
    assert [claim["data"] for claim in content["claims"]] == [table]
    assert f"--data '{table}'" in content["command"]
    assert capsys.readouterr().out


def test_every_arm_of_a_claim_on_tables_reads_pairs_alone() -> None:
    for claim in claims_of("can", ["tables"]):
        for arm in claim.arms:
            assert "max_len" not in arm.settings
