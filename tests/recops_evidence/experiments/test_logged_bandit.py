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
        pytest.skip("open-bandit is not here: `recops data get open-bandit`, or set RECOPS_DATA")
    return RUNS.load("open-bandit")


def run(model: str, seed: int = 0, *, test: bool = True, **settings: Any) -> Run:
    words = tuple(sorted((name, str(value)) for name, value in settings.items()))
    return Run(RUNS, model, "open-bandit", words, seed, test, True)


def test_parts_are_in_time_and_none_is_in_two(logs: Any) -> None:
    assert np.bincount(logs.part).tolist() == [42_000, 6_000, 12_000]
    times = np.sort(load("open-bandit").interactions["timestamp"].to_numpy())
    assert len(times) == 60_000
    last = np.flatnonzero(logs.part == 2)
    assert last.min() > np.flatnonzero(logs.part == 1).max(), "rows are in the order of time"
    for campaign, items in ((0, 80), (1, 34), (2, 46)):
        mine = (logs.part > 0) & (logs.campaign[0] == campaign)
        np.testing.assert_allclose(logs.propensity[mine], 1 / items, rtol=1e-6)
        assert (logs.campaign[1][logs.item[logs.campaign[0] == campaign]] == campaign).all()


def test_a_random_policy_is_worth_its_rate_of_clicks(logs: Any, tmp_path: Path) -> None:
    _, test = RUNS.measure(run("random"), logs, tmp_path, Callbacks())
    last = logs.part == 2
    assert test["snips"] == pytest.approx(1000 * logs.label[last].mean(), rel=1e-5)
    assert test["effective"] == pytest.approx(last.sum(), rel=1e-5)


def test_runs_follow_their_seed_and_tell_of_users(logs: Any, tmp_path: Path) -> None:
    found, draws = {}, {}
    for model in ("greedy", "age-ts"):
        folder = tmp_path / model
        folder.mkdir()
        of = run(model, strength=0.3)
        _, found[model] = RUNS.measure(of, logs, folder, Callbacks())
        draws[model] = RUNS.user_draws(of, folder, found[model])
    assert found["greedy"] != found["age-ts"]
    assert all(0 < figure["effective"] < 12_000 for figure in found.values())
    validation, none = RUNS.measure(run("greedy", test=False), logs, tmp_path, Callbacks())
    assert not none
    assert validation["snips"] != found["greedy"]["snips"]
    drawn = user_difference("snips", [draws["age-ts"]], [draws["greedy"]])
    assert drawn is not None
    difference = found["age-ts"]["snips"] - found["greedy"]["snips"]
    assert drawn.min() < difference < drawn.max()
    assert drawn.std() > 0
    assert user_difference("dr", [draws["age-ts"]], [draws["greedy"]]) is None
    again = RUNS.measure(run("age-ts", strength=0.3), logs, tmp_path, Callbacks())[1]
    assert again == found["age-ts"]


def test_settings_are_part_of_a_run() -> None:
    assert run("ts", strength=1).key != run("ts", strength=2).key
    assert run("ts").key != run("ts", seed=1).key
    assert RUNS.takes("open-bandit")
    assert not RUNS.takes("ml-1m")
