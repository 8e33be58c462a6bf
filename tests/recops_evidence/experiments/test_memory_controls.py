"""What the claims of MIMN and HPMN ask of the harness: made-up clicks that need a memory, and users
with long histories.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jobs import job_of
from recops_evidence.claims import claims_of
from recops_evidence.experiments.click_runs import ClickRuns, MadeUp
from recops_evidence.experiments.memory_runs import MemoryRuns, usage_variance
from recops_evidence.experiments.synthetic_lags import SyntheticLags
from recops_evidence.experiments.synthetic_visits import SyntheticVisits
from recops_evidence.experiments.training import train, trained_model
from recops_evidence.harness.experiment import Run
from recops_models.callbacks import Callbacks
from recops_models.click.mimn import Mimn
from recops_models.data import Dataset
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.batch import Batch
from recops_models.examples.click import PARTS, ClickData

pytestmark = pytest.mark.usefixtures("one_thread")

LAWS = (SyntheticLags(1, examples=4000), SyntheticLags(32, 3, examples=4000))
VISITS = (SyntheticVisits(40, examples=4000), SyntheticVisits(100, 3, 3, examples=4000))


def everything(data: ClickData, part: str) -> Batch:
    return next(getattr(data, part).batches(100_000, seed=None))


def items(batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates, histories and labels; rows 0 and 1 of the table stand for no item."""
    item, history = (batch.features[name].numpy() - 2 for name in ("item", "history_item"))
    return item, history, batch.label.numpy() == 1


def last_that_tells(law: MadeUp, item: np.ndarray, history: np.ndarray) -> np.ndarray:
    """What the best reader reads of each history for its candidate."""
    if isinstance(law, SyntheticLags):
        tells = history < law.telling
    else:
        assert isinstance(law, SyntheticVisits)
        tells = history // law.items == (item // law.items)[:, None]
    place = history.shape[1] - 1 - tells[:, ::-1].argmax(1)
    return history[np.arange(len(item)), place]


@pytest.mark.parametrize("law", [*LAWS, *VISITS], ids=str)
def test_made_up_clicks_are_the_seeds(law: MadeUp) -> None:
    one, again, other = (everything(law.draw(seed), "train") for seed in (0, 0, 1))
    assert torch.equal(one.features["history_item"], again.features["history_item"])
    assert torch.equal(one.label, again.label)
    assert not torch.equal(one.label, other.label)
    assert [len(everything(law.draw(0), part).label) for part in PARTS] == [4000, 2000, 2000]


@pytest.mark.parametrize("law", [*LAWS, *VISITS], ids=str)
def test_the_best_auc_there_is_comes_to_what_is_sure(law: MadeUp) -> None:
    item, history, label = items(everything(law.draw(0), "train"))
    asked = item == last_that_tells(law, item, history)
    assert abs(asked.mean() - 0.5) < 0.03
    assert auc(asked.astype(float), label) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("law", [*LAWS, *VISITS], ids=str)
def test_a_history_as_a_set_says_nothing(law: MadeUp) -> None:
    """How often the candidate was met is no different in clicks, nor do its rivals' counts differ
    from its own: what sum pooling, or attention without order, could see.
    """
    item, history, label = items(everything(law.draw(0), "train"))
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
def test_what_tells_lies_as_far_back_as_said(lag: int) -> None:
    law = SyntheticLags(lag, examples=2000)
    _, history, _ = items(everything(law.draw(0), "train"))
    tells = history < law.telling
    back = 1 + tells[:, ::-1].argmax(1)
    assert (back.min(), back.max()) == (lag, lag + lag // 4)
    assert (tells.sum(1) == law.telling).all()


@pytest.mark.parametrize("law", VISITS, ids=str)
def test_the_least_visited_interest_is_left_early(law: SyntheticVisits) -> None:
    _, history, _ = items(everything(law.draw(0), "train"))
    interest = history // law.items
    visits = np.stack([(interest == each).sum(1) for each in range(law.interests)], 1)
    assert (np.sort(visits, 1)[:, ::-1] == law.visits).all()
    assert law.visits[0] == pytest.approx(law.interests * law.visits[-1], rel=0.5)
    assert law.events <= law.visits.sum() < law.events + law.interests * law.items
    least = visits.argmin(1)
    last = history.shape[1] - (interest == least[:, None])[:, ::-1].argmax(1)
    assert np.quantile(last, 0.9) < 0.35 * law.events
    # Whom it is, is drawn anew; and it is asked for as often as others.
    assert np.bincount(least, minlength=law.interests).min() > 0.8 * 4000 / law.interests


@pytest.mark.full
@pytest.mark.parametrize(
    ("paper", "claim"), [("hpmn", "periods-reach-back"), ("mimn", "slots-reach-back")]
)
def test_memories_reach_back_where_their_rivals_do_not(
    paper: str, claim: str, tmp_path: Path
) -> None:
    """The positive controls at one rate, under seed 0: .90 against .50."""
    (far,) = claims_of(paper, [claim])
    made = SyntheticLags(28).draw(0)
    found = []
    for arm in far.arms[:2]:
        settings = {name: str(value) for name, value in arm.settings.items()}
        job = job_of(arm.model, "lags", {**settings, "learning_rate": "0.003"}, seed=0, quick=False)
        folder = tmp_path / arm.name
        folder.mkdir()
        _, test = train(job, made, folder, test=True, callbacks=Callbacks())
        found.append(test["auc"] or 0.0)
    ours, rival = found
    assert rival < 0.55
    assert ours > 0.85


def test_users_with_few_events_are_left_out_and_the_last_ones_held_out(small: Dataset) -> None:
    settings = (("max_len", "50"), ("running_rates", "false"))
    experiment = ClickRuns(least_events=15, held_out=3)
    made = experiment.examples(Run(experiment, "din", "small", settings, 0, True, False), small)
    counts = {
        user: sum(other == user for other in small.interactions["user_id"].to_pylist())
        for user in small.interactions["user_id"].unique().to_pylist()
    }
    many = sorted(count for count in counts.values() if count >= 15)
    assert 0 < len(many) < len(counts)
    test, validation, train_part = (
        np.bincount(everything(made, part).group.numpy())
        for part in ("test", "validation", "train")
    )
    for part in (test, validation):
        assert (part[part > 0] == 3).all()
        assert (part > 0).sum() == len(many)
    assert sorted(train_part[train_part > 0]) == [count - 6 for count in many]
    # What is held out comes after all that is not.
    assert everything(made, "test").lengths["history_item"].min() >= 12
    assert experiment.label == (
        "users with 15 events or more, the last 3 events of each user held out"
    )


def test_the_spread_of_writes_is_the_variance_of_shares(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (("hidden", "8"), ("epochs", "1"), ("slots", "4"))
    experiment = MemoryRuns(held_out=3)
    run = Run(experiment, "mimn", "small", settings, 0, True, False)
    _, told = experiment.measure(run, small, tmp_path, Callbacks())
    made, model = experiment.examples(run, small), trained_model(tmp_path)
    assert isinstance(model, Mimn)
    found = usage_variance(model, made.test)
    assert told["usage_variance"] == found
    assert 0 < found < 3 / 16

    def written(usage: list[float]) -> float:
        def write(events: torch.Tensor, lengths: torch.Tensor) -> tuple[None, SimpleNamespace]:
            return None, SimpleNamespace(usage=torch.tensor([usage]).expand(len(lengths), 4))

        with monkeypatch.context() as patch:
            patch.setattr(model, "write", write)
            return usage_variance(model, made.test)

    assert written([5.0, 5.0, 5.0, 5.0]) == 0
    assert written([0.0, 0.0, 7.0, 0.0]) == pytest.approx(3 / 16)
    assert written([2.0, 6.0, 2.0, 6.0]) == pytest.approx(1 / 64)


def test_a_trial_and_a_model_without_slots_tell_nothing_of_writes(
    small: Dataset, tmp_path: Path
) -> None:
    experiment = MemoryRuns(held_out=3)
    for model, test in (("mimn", False), ("hpmn", True)):
        run = Run(experiment, model, "small", (("hidden", "8"), ("epochs", "1")), 0, test, False)
        folder = tmp_path / model
        folder.mkdir()
        _, told = experiment.measure(run, small, folder, Callbacks())
        assert "usage_variance" not in told


@pytest.mark.parametrize("paper", ["mimn", "hpmn"])
def test_trials_and_epochs_follow_the_data(paper: str) -> None:
    """A quarter of assist2017's users choose another rate than all; six epochs of nyc-checkins are
    too few.
    """
    claims = claims_of(paper, ["headline", "lengths", "months"])
    shares = {claim.data: claim.tuning_share for claim in claims}
    assert shares == {("ml-1m",): 0.25, ("assist2017",): 1.0, ("nyc-checkins",): 1.0}
    for claim in claims:
        epochs = 24 if claim.group == "months" else 6
        assert all(arm.settings["epochs"] == epochs for arm in claim.arms)
