"""Runs of the memory question and the summary of their figures."""

from __future__ import annotations

import numpy as np
import pytest

from recops_evidence.experiments.recent_labels import register_recipes
from recops_evidence.experiments.training import job_of
from recops_evidence.harness.run_store import Record
from recops_evidence.harness.user_values import UserValues
from recops_evidence.league.memory_page import memory_page
from recops_evidence.league.memory_question import (
    METRICS,
    RIVAL,
    ROWS,
    FixedPlan,
    memory_runs,
    summary,
)
from recops_models.recipes import registry


def record(level: float, per_user: np.ndarray) -> Record:
    users = UserValues.of(
        np.arange(len(per_user)), {"gauc": per_user, "gauc_frozen": per_user - 0.1}
    )
    costs = {"core_seconds": 2.0}
    return Record({}, dict.fromkeys(METRICS, level), 1.0, users=users, costs=costs)


def test_rows_have_valid_settings_and_one_run_per_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RECIPES", dict(registry._RECIPES))
    register_recipes()
    runs = memory_runs(0.5, seeds=2)
    assert {name: len(some) for name, some in runs.items()} == {
        row.name: 2 if row.is_seeded else 1 for row in ROWS
    }
    jobs = [job_of(run) for some in runs.values() for run in some]
    assert len({repr(job) for job in jobs}) == len(jobs)


def test_the_plan_leaves_out_finished_runs() -> None:
    runs = [run for some in memory_runs(1.0, seeds=1).values() for run in some]
    plan, done = FixedPlan(runs), record(0.5, np.zeros(3))
    assert plan.ahead({}) == runs
    assert plan.ready({runs[0]: done, runs[2]: done}) == [runs[1], *runs[3:]]


def test_gains_are_paired_by_user() -> None:
    runs = memory_runs(1.0, seeds=1)
    rng = np.random.default_rng(0)
    base = rng.random(400)
    better = base + 0.1 + rng.normal(0, 0.01, 400)
    finished = {runs[RIVAL][0]: record(0.5, base), runs["MIMN"][0]: record(0.6, better)}
    rival, mimn = summary(runs, finished)
    assert isinstance(rival, dict)
    assert isinstance(mimn, dict)
    assert rival["gain_over_din"] == {}
    assert mimn["test"]["auc"] == 0.6
    gain = mimn["gain_over_din"]["gauc"]
    assert gain["mean"] == pytest.approx((better - base).mean(), abs=1e-3)
    low, high = gain["users"]
    assert low < gain["mean"] < high < low + 0.005
    assert mimn["gain_over_din"]["gauc_frozen"]["mean"] == pytest.approx(gain["mean"], abs=1e-3)


def test_the_page_states_the_decomposition_of_the_lead() -> None:
    runs, rng = memory_runs(0.5, seeds=1), np.random.default_rng(0)
    base = rng.random(50)
    levels = {RIVAL: 0.0, "MIMN": 0.09, "MIMN, labels hidden": -0.01, "DIN + recent rates": 0.05}
    finished = {some[0]: record(0.5, base + levels.get(name, -0.02)) for name, some in runs.items()}
    page = memory_page({"share": 0.5, "rows": summary(runs, finished)})
    for text in ("is +0.0900 in GAUC", "gains +0.0500", "differs from DIN by -0.0100", "50% of"):
        assert text in page
    assert "from a DIN that does not see them either by +0.0100." in page
    assert page.count("\n| ") == 2 + len(ROWS)
    assert "**Labels are the signal.** A memory that does not see labels keeps 0% of" in page
    levels["MIMN, labels hidden"] = 0.06
    finished = {some[0]: record(0.5, base + levels.get(name, -0.02)) for name, some in runs.items()}
    page = memory_page({"share": 0.5, "rows": summary(runs, finished)})
    assert "**The sequence of items is a signal too.**" in page
    assert "keeps 67% of the lead" in page
    del finished[runs["MIMN"][0]]
    with pytest.raises(ValueError, match=r"rows must be finished, missing \['MIMN'\]"):
        memory_page({"share": 0.5, "rows": summary(runs, finished)})
