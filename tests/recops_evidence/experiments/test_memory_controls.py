"""Experiments of MIMN's and HPMN's claims: synthetic clicks that need a memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs import job_of
from recops_evidence.claims import claims_of
from recops_evidence.experiments.click_runs import ClickLaw
from recops_evidence.experiments.synthetic_lags import SyntheticLags
from recops_evidence.experiments.synthetic_visits import SyntheticVisits
from recops_evidence.experiments.training import train
from recops_models.callbacks import Callbacks
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.batch import Batch
from recops_models.examples.click import PARTS, ClickData

pytestmark = pytest.mark.usefixtures("one_thread")

LAWS = (SyntheticLags(1, examples=4000), SyntheticLags(32, 3, examples=4000))
VISITS = (SyntheticVisits(40, examples=4000), SyntheticVisits(100, 3, 3, examples=4000))


def full_batch(data: ClickData, part: str) -> Batch:
    return next(getattr(data, part).batches(100_000, seed=None))


def item_arrays(batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return candidates, histories and labels; ids are shifted so that −1 and −2 are no items."""
    item, history = (batch.features[name].numpy() - 2 for name in ("item", "history_item"))
    return item, history, batch.label.numpy() == 1


def last_informative_item(law: ClickLaw, item: np.ndarray, history: np.ndarray) -> np.ndarray:
    """Return the last item of each history that is informative about the candidate."""
    if isinstance(law, SyntheticLags):
        is_informative = history < law.telling
    else:
        assert isinstance(law, SyntheticVisits)
        is_informative = history // law.items == (item // law.items)[:, None]
    position = history.shape[1] - 1 - is_informative[:, ::-1].argmax(1)
    return history[np.arange(len(item)), position]


@pytest.mark.parametrize("law", [*LAWS, *VISITS], ids=str)
def test_synthetic_clicks_depend_on_their_seed(law: ClickLaw) -> None:
    one, same, other = (full_batch(law.draw(seed), "train") for seed in (0, 0, 1))
    assert torch.equal(one.features["history_item"], same.features["history_item"])
    assert torch.equal(one.label, same.label)
    assert not torch.equal(one.label, other.label)
    assert [len(full_batch(law.draw(0), part).label) for part in PARTS] == [4000, 2000, 2000]


@pytest.mark.parametrize("law", [*LAWS, *VISITS], ids=str)
def test_the_best_possible_auc_is_the_certainty_of_clicks(law: ClickLaw) -> None:
    item, history, label = item_arrays(full_batch(law.draw(0), "train"))
    is_last = item == last_informative_item(law, item, history)
    assert abs(is_last.mean() - 0.5) < 0.03
    assert auc(is_last.astype(float), label) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("law", [*LAWS, *VISITS], ids=str)
def test_a_history_without_order_does_not_predict_clicks(law: ClickLaw) -> None:
    """Sum pooling and attention without order see only the counts of items in a history.

    The candidate and its rivals have equal counts, and every candidate is clicked equally often.
    """
    item, history, label = item_arrays(full_batch(law.draw(0), "train"))
    if isinstance(law, SyntheticLags):
        first = np.zeros_like(item)
        rivals = law.telling
    else:
        assert isinstance(law, SyntheticVisits)
        first = item // law.items * law.items
        rivals = law.items
    counts = np.stack([(history == (first + i)[:, None]).sum(1) for i in range(rivals)])
    assert (counts == counts[0]).all()
    rate = np.bincount(item, label) / np.bincount(item)
    assert abs(rate - 0.5).max() < 0.06


@pytest.mark.parametrize("lag", [1, 8, 32])
def test_informative_events_are_as_far_back_as_configured(lag: int) -> None:
    law = SyntheticLags(lag, examples=2000)
    _, history, _ = item_arrays(full_batch(law.draw(0), "train"))
    is_informative = history < law.telling
    distance = 1 + is_informative[:, ::-1].argmax(1)
    assert (distance.min(), distance.max()) == (lag, lag + lag // 4)
    assert (is_informative.sum(1) == law.telling).all()


@pytest.mark.parametrize("law", VISITS, ids=str)
def test_visits_of_the_least_visited_interest_end_early(law: SyntheticVisits) -> None:
    _, history, _ = item_arrays(full_batch(law.draw(0), "train"))
    interest = history // law.items
    visits = np.stack([(interest == number).sum(1) for number in range(law.interests)], 1)
    assert (np.sort(visits, 1)[:, ::-1] == law.visits).all()
    assert law.visits[0] == pytest.approx(law.interests * law.visits[-1], rel=0.5)
    assert law.events <= law.visits.sum() < law.events + law.interests * law.items
    least = visits.argmin(1)
    last = history.shape[1] - (interest == least[:, None])[:, ::-1].argmax(1)
    assert np.quantile(last, 0.9) < 0.35 * law.events
    # Each history draws its least visited interest uniformly.
    assert np.bincount(least, minlength=law.interests).min() > 0.8 * 4000 / law.interests


@pytest.mark.full
@pytest.mark.parametrize(
    ("paper", "claim"), [("hpmn", "periods-reach-back"), ("mimn", "slots-reach-back")]
)
def test_memories_reach_back_and_their_rivals_do_not(
    paper: str, claim: str, tmp_path: Path
) -> None:
    """One learning rate and seed 0 give AUC .90 (memory) and .50 (rival)."""
    (reaching_back,) = claims_of(paper, [claim])
    data = SyntheticLags(28).draw(0)
    aucs = []
    for arm in reaching_back.arms[:2]:
        settings = {name: str(value) for name, value in arm.settings.items()}
        job = job_of(arm.model, "lags", {**settings, "learning_rate": "0.003"}, seed=0, quick=False)
        folder = tmp_path / arm.name
        folder.mkdir()
        _, test = train(job, data, folder, test=True, callbacks=Callbacks())
        aucs.append(test["auc"] or 0.0)
    memory, rival = aucs
    assert rival < 0.55
    assert memory > 0.85
