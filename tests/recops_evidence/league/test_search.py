"""Tuning of a row: draws from its grid, continued trials, and widening."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from recops_evidence.harness.experiment import ArmSettings, Run
from recops_evidence.harness.run_store import Record
from recops_evidence.league.click_league import ClickLeague
from recops_evidence.league.row import LeagueRow
from recops_evidence.league.search import Effort, TrialSearch, search

GRID = {"learning_rate": (0.001, 0.003, 0.01), "dropout": (0.0, 0.3), "base": ("din", "dien")}
ROW = LeagueRow("DIN", "din", {"width": 32}, GRID)


def trial(settings: ArmSettings, draw: int) -> Run:
    return Run(ClickLeague(), "din", "x", settings, draw, False, False)


def tune(
    row: LeagueRow, score: Callable[[Mapping[str, str], int], float], effort: Effort, seeds: int = 3
) -> tuple[TrialSearch, list[Run]]:
    """Run every requested trial; return the finished search and the trials in their order."""
    records: dict[Run, Record] = {}

    def value(record: Record) -> float:
        return -math.inf if record.diverged else record.validation["gauc"] or 0.0

    while True:
        state = search(row, effort, seeds, trial, value, records)
        missing = [run for run in state.runs if run not in records]
        assert bool(missing) is (state.best is None)
        if not missing:
            return state, list(records)
        for run in missing:
            gauc = score(dict(run.settings), run.seed)
            failed = gauc == -math.inf
            records[run] = Record({} if failed else {"gauc": gauc}, {}, 1.0, failed)


def test_draws_are_even_distinct_and_repeatable() -> None:
    drawn = ROW.draw(6)
    assert drawn == ROW.draw(6)
    assert len(set(drawn)) == 6
    for name, values in GRID.items():
        counts = Counter(dict(settings)[name] for settings in drawn)
        assert counts.keys() == {str(value) for value in values}
        assert max(counts.values()) - min(counts.values()) <= 2
    assert len(set(ROW.draw(100))) == 12


def test_the_best_trials_continue_under_all_seeds() -> None:
    def score(settings: Mapping[str, str], seed: int) -> float:
        lucky = settings["learning_rate"] == "0.001" and seed == 0
        return 0.7 if lucky else 0.6 if settings["learning_rate"] == "0.003" else 0.5

    row = LeagueRow("DIN", "din", grid={"learning_rate": (0.0003, 0.001, 0.003, 0.01)})
    state, runs = tune(row, score, Effort(trials=4, continued=2))
    assert dict(state.best or ())["learning_rate"] == "0.003"
    rates = Counter(dict(run.settings)["learning_rate"] for run in runs)
    assert rates == {"0.001": 3, "0.003": 3, "0.0003": 1, "0.01": 1}


def test_a_grid_grows_until_the_best_value_is_inside() -> None:
    def score(settings: Mapping[str, str], seed: int) -> float:
        return -abs(math.log(float(settings["learning_rate"]) / 0.09))

    row = LeagueRow("DIN", "din", grid={"learning_rate": (0.001, 0.003, 0.01)})
    state, _ = tune(row, score, Effort(trials=3, continued=2))
    assert state.edges == ()
    assert state.grid["learning_rate"] == [0.001, 0.003, 0.01, 0.033, 0.11, 0.37]
    assert dict(state.best or ())["learning_rate"] == "0.11"
    assert state.trials == 6


def test_values_beyond_an_edge_continue_only_if_they_are_better_under_the_first_seed() -> None:
    row = LeagueRow("DIN", "din", grid={"learning_rate": (0.001, 0.003)})
    state, runs = tune(
        row,
        lambda settings, _: -abs(math.log(float(settings["learning_rate"]) / 0.01)),
        Effort(trials=2, continued=1),
    )
    assert dict(state.best or ())["learning_rate"] == "0.009"
    rates = Counter(dict(run.settings)["learning_rate"] for run in runs)
    assert rates == {"0.001": 1, "0.003": 3, "0.009": 3, "0.027": 1}


def test_natural_bounds_and_texts_do_not_grow() -> None:
    row = LeagueRow("DIN", "din", grid={"dropout": (0.0, 0.3), "base": ("din", "dien")})
    state, _ = tune(row, lambda settings, _: -float(settings["dropout"]), Effort(), 1)
    assert state.grid["dropout"] == [0.0, 0.3]
    row = LeagueRow("kNN", "item-knn", grid={"decay": (0.6, 0.9)}, limits={"decay": 1.0})
    state, _ = tune(row, lambda settings, _: float(settings["decay"]), Effort(), 1)
    assert state.grid["decay"] == [0.6, 0.9]


def test_remaining_edges_are_reported() -> None:
    row = LeagueRow("DIN", "din", grid={"learning_rate": (0.001, 0.01)})
    state, _ = tune(row, lambda settings, _: float(settings["learning_rate"]), Effort(widenings=1))
    assert state.edges == ("learning_rate",)


def test_failed_trials_rank_last() -> None:
    row = LeagueRow("DIN", "din", grid={"learning_rate": (0.001, 0.01, 0.1)})
    state, _ = tune(
        row,
        lambda settings, _: -math.inf if settings["learning_rate"] != "0.01" else 0.1,
        Effort(),
    )
    assert dict(state.best or ())["learning_rate"] == "0.01"


def test_a_row_refuses_descending_grids_and_settings_of_two_origins() -> None:
    with pytest.raises(ValueError, match="learning_rate must have ascending values"):
        LeagueRow("DIN", "din", grid={"learning_rate": (0.1, 0.01)})
    with pytest.raises(ValueError, match="grid must be empty with tuned_as"):
        LeagueRow("a", "din", grid={"dropout": (0.1, 0.2)}, tuned_as="b")
    with pytest.raises(ValueError, match="dropout must be fixed or tuned, got both"):
        LeagueRow("DIN", "din", {"dropout": 0.1}, {"dropout": (0.0, 0.1)})
