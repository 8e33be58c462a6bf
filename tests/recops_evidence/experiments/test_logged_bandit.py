"""Off-policy runs on the Open Bandit logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recops_evidence.experiments.logged_bandit import LoggedBandit
from recops_evidence.harness.experiment import Run
from recops_evidence.harness.user_draws import user_difference
from recops_models.callbacks import Callbacks
from recops_models.data import load
from recops_models.data.wheels import OPEN_BANDIT

RUNS = LoggedBandit()


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


@pytest.fixture(scope="module")
def logs() -> Any:
    if not (OPEN_BANDIT.local or OPEN_BANDIT.cached.exists()):
        pytest.skip(
            "open-bandit is not available: `recops data get open-bandit`, or set RECOPS_DATA"
        )
    return RUNS.load("open-bandit")


def make_run(model: str, seed: int = 0, *, test: bool = True, **settings: Any) -> Run:
    words = tuple(sorted((name, str(value)) for name, value in settings.items()))
    return Run(RUNS, model, "open-bandit", words, seed, test, True)


def test_parts_are_consecutive_in_time(logs: Any) -> None:
    assert np.bincount(logs.part).tolist() == [42_000, 6_000, 12_000]
    times = np.sort(load("open-bandit").interactions["timestamp"].to_numpy())
    assert len(times) == 60_000
    last = np.flatnonzero(logs.part == 2)
    assert last.min() > np.flatnonzero(logs.part == 1).max(), "rows are in the order of time"
    for campaign, items in ((0, 80), (1, 34), (2, 46)):
        in_campaign = (logs.part > 0) & (logs.campaign[0] == campaign)
        np.testing.assert_allclose(logs.propensity[in_campaign], 1 / items, rtol=1e-6)
        assert (logs.campaign[1][logs.item[logs.campaign[0] == campaign]] == campaign).all()


def test_the_value_of_the_random_policy_is_its_click_rate(logs: Any, tmp_path: Path) -> None:
    _, test = RUNS.measure(make_run("random"), logs, tmp_path, Callbacks())
    last = logs.part == 2
    assert test["snips"] == pytest.approx(1000 * logs.label[last].mean(), rel=1e-5)
    assert test["effective"] == pytest.approx(last.sum(), rel=1e-5)


def test_runs_are_deterministic_and_have_user_draws(logs: Any, tmp_path: Path) -> None:
    metrics, draws = {}, {}
    for model in ("greedy", "age-ts"):
        folder = tmp_path / model
        folder.mkdir()
        run = make_run(model, strength=0.3)
        _, metrics[model] = RUNS.measure(run, logs, folder, Callbacks())
        draws[model] = RUNS.user_draws(run, folder, metrics[model])
    assert metrics["greedy"] != metrics["age-ts"]
    assert all(0 < values["effective"] < 12_000 for values in metrics.values())
    validation, test = RUNS.measure(make_run("greedy", test=False), logs, tmp_path, Callbacks())
    assert not test
    assert validation["snips"] != metrics["greedy"]["snips"]
    difference_draws = user_difference("snips", [draws["age-ts"]], [draws["greedy"]])
    assert difference_draws is not None
    difference = metrics["age-ts"]["snips"] - metrics["greedy"]["snips"]
    assert difference_draws.min() < difference < difference_draws.max()
    assert difference_draws.std() > 0
    assert user_difference("dr", [draws["age-ts"]], [draws["greedy"]]) is None
    repeated = RUNS.measure(make_run("age-ts", strength=0.3), logs, tmp_path, Callbacks())[1]
    assert repeated == metrics["age-ts"]


def test_settings_and_seed_are_part_of_the_key() -> None:
    assert make_run("ts", strength=1).key != make_run("ts", strength=2).key
    assert make_run("ts").key != make_run("ts", seed=1).key
    assert RUNS.takes("open-bandit")
    assert not RUNS.takes("ml-1m")
