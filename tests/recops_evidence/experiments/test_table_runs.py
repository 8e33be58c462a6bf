"""What Res-embedding's claims ask of the harness: delays made up, gaps, radii, new items."""

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


def everything(data: ClickData, part: str) -> Batch:
    return next(getattr(data, part).batches(100_000, seed=None))


def domains(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    item, history = (batch.features[name].numpy() - 2 for name in ("item", "history_item"))
    return LAW.domain()[item], LAW.domain()[history]


def test_delays_are_the_seeds() -> None:
    one, again, other = (everything(LAW.draw(seed), "train") for seed in (0, 0, 1))
    assert torch.equal(one.features["history_item"], again.features["history_item"])
    assert torch.equal(one.label, again.label)
    assert not torch.equal(one.label, other.label)
    assert [len(everything(LAW.draw(0), part).label) for part in PARTS] == [3000, 1500, 1500]


def test_interests_last_and_are_few() -> None:
    _, history = domains(everything(LAW.draw(0), "train"))
    assert max(len(set(row)) for row in history.tolist()) == LAW.interests
    stays = (history[:, 1:] == history[:, :-1]).mean()
    # It goes on with 1 − 1/τ, or is drawn again.
    assert stays == pytest.approx(1 - (1 / LAW.dwell) * (1 - 1 / LAW.interests), abs=0.01)


def test_half_of_the_candidates_are_of_a_domain_that_was_met_and_are_clicked_on() -> None:
    batch = everything(LAW.draw(0), "train")
    candidate, history = domains(batch)
    met = (history == candidate[:, None]).any(1)
    assert met.mean() == pytest.approx(0.5, abs=0.03)
    label = batch.label.numpy() == 1
    assert label[met].mean() > 0.75
    assert label[~met].mean() < 0.25
    score = met.astype(np.float64)
    assert auc(score, label) > 0.75  # Who knows the domains ranks; it is the table's to find out.


def test_new_items_are_met_a_few_times_and_in_no_example_of_training() -> None:
    new, known = LAW.draw_new(0), LAW.domains * LAW.items
    assert new.number == LAW.domains * LAW.new
    rows = everything(LAW.draw(0), "train").features["history_item"]
    assert int(rows.max()) < known + 2
    met = new.histories.items - 2 - known
    assert (met >= 0).sum() == new.number * LAW.meetings
    shown = next(new.shown.batches(100_000, seed=None)).features
    assert int(shown["item"].min()) >= known + 2
    assert int(shown["history_item"].max()) < known + 2
    # They are met among items of their own domain more often than among others.
    histories = met.reshape(-1, LAW.events)
    place = (histories >= 0).argmax(1)
    each = np.arange(len(histories))
    mine = histories[each, place] // LAW.new
    beside = histories[each, np.where(place == 0, 1, place - 1)] + known
    same = beside // LAW.items == mine
    assert same.mean() > 0.6


def test_the_radius_is_one_by_hand_and_knows_no_scale() -> None:
    vectors = np.array([[0, 1], [0, -1], [4, 1], [4, -1], [9, 9], [7, 7]], dtype=np.float32)
    category = np.array([0, 0, 1, 1, -1, 2])  # No category; a category of one.
    assert radius_ratio(vectors, category) == pytest.approx(1 / 4)
    assert radius_ratio(5 * vectors, category) == pytest.approx(1 / 4)
    assert np.isnan(radius_ratio(vectors, np.zeros(6, dtype=np.int64)))


def test_categories_are_by_row_of_the_table(small: Dataset) -> None:
    data = click_data(small)
    found = categories(small, data)
    assert len(found) == data.fitted.cardinality("item")
    assert (found[:2] == -1).all()
    column = next(
        name for name in reversed(small.items.column_names) if name in data.fitted.lookups
    )
    names = small.items[column].to_pylist()
    rows = data.fitted.lookup("item").rows(small.items["item_id"].to_numpy())
    by_category: dict[int, set[object]] = {}
    for row, name in zip(rows.tolist(), names, strict=True):
        if row > 1 and name is not None:
            by_category.setdefault(int(found[row]), set()).add(name)
    assert -1 not in by_category
    assert all(len(each) == 1 for each in by_category.values())


@pytest.mark.parametrize("model", ["din", "res-embedding"])
def test_a_run_tells_of_its_table(model: str, small: Dataset, tmp_path: Path) -> None:
    net = "" if model == "din" else "base."
    settings = ((f"{net}hidden", "8"), (f"{net}attention_hidden", "4"), ("epochs", "1"))
    run = Run(TableRuns(), model, "small", settings, 0, True, False)
    _, test = run.experiment.measure(run, small, tmp_path, Callbacks())
    assert {"auc", "gap", "auc_gap", "radius_ratio", "auc_seldom"} <= test.keys()
    made = DelayRuns((("law", LAW),))
    run = Run(made, model, "law", settings, 0, True, False)
    (tmp_path / "made-up").mkdir()
    _, test = made.measure(run, None, tmp_path / "made-up", Callbacks())
    assert {"gap", "auc_gap", "radius_ratio", "auc_new"} <= test.keys()
    tuned = Run(made, model, "law", settings, 0, False, False)
    (tmp_path / "trial").mkdir()
    assert made.measure(tuned, None, tmp_path / "trial", Callbacks())[1] == {}


@pytest.mark.parametrize("model", ["din", "res-embedding"])
def test_items_without_a_row_are_asked_for_apart(
    model: str, small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = "" if model == "din" else "base."
    # Half of the catalogue is too rare for a row.
    settings = ((f"{net}hidden", "8"), ("epochs", "1"), ("rare_count", "9"))
    experiment = TableRuns()
    run = Run(experiment, model, "small", settings, 0, True, False)
    experiment.measure(run, small, tmp_path, Callbacks())
    made, trained = experiment.examples(run, small), trained_model(tmp_path)
    every = experiment.examples(run, small, every_item(small, made.fitted))
    lacks = np.setdiff1d(small.item_vocabulary.ids, made.fitted.lookup("item").keys.ids)
    assert 10 < len(lacks) < 80
    seen: list[torch.Tensor] = []

    def watched(self: ClickMetrics, scores: torch.Tensor, *rest: torch.Tensor) -> None:
        seen.append(scores)

    with monkeypatch.context() as patch:
        patch.setattr(ClickMetrics, "update", watched)
        patch.setattr(ClickMetrics, "compute", lambda self: {"auc": 0.5})
        assert seldom_figures(tmp_path, trained, every) == {"auc_seldom": 0.5}
    asked = [everything(data, "test") for data in (made, every)]
    assert torch.equal(asked[0].label, asked[1].label)
    has_row = asked[0].features["item"] > 1
    kept = (asked[0].label == 0) | ~has_row
    assert len(torch.cat(seen)) == int(kept.sum()) < len(kept)
    with torch.no_grad():
        plain = trained(asked[0])[kept]
    same = torch.isclose(torch.cat(seen), plain, atol=1e-6)
    assert bool(same.all()) is (model == "din")  # As the unknown, or at their centres.


def test_the_control_is_measured(tmp_path: Path) -> None:
    """A quick look at two claims, by the command line."""
    ids = ["decay-shrinks-the-radius", "new-items-begin-at-their-centre"]
    assert {claim.id for claim in claims_of("res-embedding", ids)} == {*ids}
    command = ["reproduce", "res-embedding", "--quick", "--out", str(tmp_path / "out")]
    assert cli.run([*command, "--claims", ids[0], "--claims", ids[1]]) == 0
    page = (tmp_path / "out" / "results.md").read_text()
    assert all(name in page for name in (*ids, "radius_ratio", "auc_new", "auc_gap"))
