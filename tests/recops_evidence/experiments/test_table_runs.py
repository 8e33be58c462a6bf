"""Experiments of Res-embedding's claims: synthetic delays, gaps, radii and new items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recops_evidence.claims import claims_of
from recops_evidence.experiments.synthetic_delays import SyntheticDelays
from recops_evidence.experiments.table_figures import (
    categories,
    every_item,
    radius_ratio,
    seldom_figures,
)
from recops_evidence.experiments.table_runs import DelayRuns, TableRuns
from recops_evidence.experiments.training import trained_model
from recops_evidence.harness.experiment import Run
from recops_models import cli
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.batch import Batch
from recops_models.examples.click import PARTS, ClickData, click_data

pytestmark = pytest.mark.usefixtures("one_thread")

LAW = SyntheticDelays(domains=8, items=10, examples=3000, new=3)


def full_batch(data: ClickData, part: str) -> Batch:
    return next(getattr(data, part).batches(100_000, seed=None))


def domains_of(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    item, history = (batch.features[name].numpy() - 2 for name in ("item", "history_item"))
    return LAW.domain()[item], LAW.domain()[history]


def test_synthetic_delays_depend_on_their_seed() -> None:
    one, same, other = (full_batch(LAW.draw(seed), "train") for seed in (0, 0, 1))
    assert torch.equal(one.features["history_item"], same.features["history_item"])
    assert torch.equal(one.label, same.label)
    assert not torch.equal(one.label, other.label)
    assert [len(full_batch(LAW.draw(0), part).label) for part in PARTS] == [3000, 1500, 1500]


def test_interests_are_few_and_persist() -> None:
    _, history = domains_of(full_batch(LAW.draw(0), "train"))
    assert max(len(set(row)) for row in history.tolist()) == LAW.interests
    stays = (history[:, 1:] == history[:, :-1]).mean()
    # A domain persists with probability 1 − 1/τ; otherwise it is drawn again.
    assert stays == pytest.approx(1 - (1 / LAW.dwell) * (1 - 1 / LAW.interests), abs=0.01)


def test_half_of_the_candidates_are_of_a_domain_in_the_history() -> None:
    batch = full_batch(LAW.draw(0), "train")
    candidate, history = domains_of(batch)
    in_history = (history == candidate[:, None]).any(1)
    assert in_history.mean() == pytest.approx(0.5, abs=0.03)
    label = batch.label.numpy() == 1
    assert label[in_history].mean() > 0.75
    assert label[~in_history].mean() < 0.25
    score = in_history.astype(np.float64)
    assert auc(score, label) > 0.75  # Knowing the domains is enough to rank.


def test_new_items_occur_in_a_few_histories_but_not_in_training() -> None:
    new, known = LAW.draw_new(0), LAW.domains * LAW.items
    assert new.number == LAW.domains * LAW.new
    train_history = full_batch(LAW.draw(0), "train").features["history_item"]
    assert int(train_history.max()) < known + 2
    new_ids = new.histories.items - 2 - known
    assert (new_ids >= 0).sum() == new.number * LAW.meetings
    shown = next(new.shown.batches(100_000, seed=None)).features
    assert int(shown["item"].min()) >= known + 2
    assert int(shown["history_item"].max()) < known + 2
    # Most new items are next to items of the same domain.
    histories = new_ids.reshape(-1, LAW.events)
    position = (histories >= 0).argmax(1)
    rows = np.arange(len(histories))
    domain = histories[rows, position] // LAW.new
    neighbour = histories[rows, np.where(position == 0, 1, position - 1)] + known
    is_same_domain = neighbour // LAW.items == domain
    assert is_same_domain.mean() > 0.6


def test_the_radius_ratio_is_independent_of_scale() -> None:
    vectors = np.array([[0, 1], [0, -1], [4, 1], [4, -1], [9, 9], [7, 7]], dtype=np.float32)
    category = np.array([0, 0, 1, 1, -1, 2])  # Item 4 has no category; category 2 has one item.
    assert radius_ratio(vectors, category) == pytest.approx(1 / 4)
    assert radius_ratio(5 * vectors, category) == pytest.approx(1 / 4)
    assert np.isnan(radius_ratio(vectors, np.zeros(6, dtype=np.int64)))


def test_categories_are_indexed_by_table_row(small: Dataset) -> None:
    data = click_data(small)
    category_of_row = categories(small, data)
    assert len(category_of_row) == data.fitted.cardinality("item")
    assert (category_of_row[:2] == -1).all()
    column = next(
        name for name in reversed(small.items.column_names) if name in data.fitted.lookups
    )
    names = small.items[column].to_pylist()
    rows = data.fitted.lookup("item").rows(small.items["item_id"].to_numpy())
    by_category: dict[int, set[object]] = {}
    for row, name in zip(rows.tolist(), names, strict=True):
        if row > 1 and name is not None:
            by_category.setdefault(int(category_of_row[row]), set()).add(name)
    assert -1 not in by_category
    assert all(len(group) == 1 for group in by_category.values())


@pytest.mark.parametrize("model", ["din", "res-embedding"])
def test_a_run_reports_metrics_of_its_table(model: str, small: Dataset, tmp_path: Path) -> None:
    net = "" if model == "din" else "base."
    settings = ((f"{net}hidden", "8"), (f"{net}attention_hidden", "4"), ("epochs", "1"))
    run = Run(TableRuns(), model, "small", settings, 0, True, False)
    _, test = run.experiment.measure(run, small, tmp_path, Callbacks())
    assert {"auc", "gap", "auc_gap", "radius_ratio", "auc_seldom"} <= test.keys()
    experiment = DelayRuns((("law", LAW),))
    run = Run(experiment, model, "law", settings, 0, True, False)
    (tmp_path / "synthetic").mkdir()
    _, test = experiment.measure(run, None, tmp_path / "synthetic", Callbacks())
    assert {"gap", "auc_gap", "radius_ratio", "auc_new"} <= test.keys()
    trial = Run(experiment, model, "law", settings, 0, False, False)
    (tmp_path / "trial").mkdir()
    assert experiment.measure(trial, None, tmp_path / "trial", Callbacks())[1] == {}


@pytest.mark.parametrize("model", ["din", "res-embedding"])
def test_items_without_a_row_are_measured_separately(
    model: str, small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = "" if model == "din" else "base."
    # Half of the catalogue is too rare for a row.
    settings = ((f"{net}hidden", "8"), ("epochs", "1"), ("rare_count", "9"))
    experiment = TableRuns()
    run = Run(experiment, model, "small", settings, 0, True, False)
    experiment.measure(run, small, tmp_path, Callbacks())
    regular, trained = experiment.examples(run, small), trained_model(tmp_path)
    every = experiment.examples(run, small, every_item(small, regular.fitted))
    missing = np.setdiff1d(small.item_vocabulary.ids, regular.fitted.lookup("item").keys.ids)
    assert 10 < len(missing) < 80
    recorded: list[torch.Tensor] = []

    def record(self: ClickMetrics, scores: torch.Tensor, *arguments: torch.Tensor) -> None:
        recorded.append(scores)

    with monkeypatch.context() as patch:
        patch.setattr(ClickMetrics, "update", record)
        patch.setattr(ClickMetrics, "compute", lambda self: {"auc": 0.5})
        assert seldom_figures(tmp_path, trained, every) == {"auc_seldom": 0.5}
    batches = [full_batch(data, "test") for data in (regular, every)]
    assert torch.equal(batches[0].label, batches[1].label)
    has_row = batches[0].features["item"] > 1
    is_measured = (batches[0].label == 0) | ~has_row
    assert len(torch.cat(recorded)) == int(is_measured.sum()) < len(is_measured)
    with torch.no_grad():
        plain = trained(batches[0])[is_measured]
    is_equal = torch.isclose(torch.cat(recorded), plain, atol=1e-6)
    assert bool(is_equal.all()) is (model == "din")  # Without a row: unknown (DIN) or the centre.


@pytest.mark.slow
def test_claims_on_synthetic_delays_from_the_command_line(tmp_path: Path) -> None:
    """A quick reproduction of two claims."""
    ids = ["decay-shrinks-the-radius", "new-items-begin-at-their-centre"]
    assert {claim.id for claim in claims_of("res-embedding", ids)} == {*ids}
    command = ["reproduce", "res-embedding", "--quick", "--out", str(tmp_path / "out")]
    assert cli.run([*command, "--claims", ids[0], "--claims", ids[1]]) == 0
    page = (tmp_path / "out" / "results.md").read_text()
    assert all(name in page for name in (*ids, "radius_ratio", "auc_new", "auc_gap"))
