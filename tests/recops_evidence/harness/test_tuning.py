"""Selection of settings by trials: means over seeds, halving and grids that are widened."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from recops_evidence import Arm, Claim
from recops_evidence.experiments.training import TRAINING
from recops_evidence.harness.experiment import Run, Setting
from recops_evidence.harness.plan import Plan, figure
from recops_evidence.harness.run_store import Record
from recops_evidence.harness.tuning import Tuning, beyond

RATES = {"learning_rate": (0.001, 0.003, 0.01)}


def make_claim(*arms: Arm, **changes: Any) -> Claim:
    content: dict[str, Any] = {"id": "c", "text": "It does.", "source": "here", "data": ("x",)}
    content |= {"reported": "+.1", "metric": "ndcg@10", "experiment": TRAINING}
    return Claim(arms=arms, **{**content, **changes})


def score_of_rate(best: float) -> Callable[[Run], float]:
    """Return a score that falls with the distance of a run's learning rate from ``best``."""
    return lambda run: -abs(float(dict(run.settings)["learning_rate"]) - best)


def tune(claim: Claim, score: Callable[[Run], float]) -> tuple[Tuning, list[Run]]:
    """Run every requested trial; return the finished tuning and the trials in their order."""
    plan, records = Plan([claim]), {}
    while True:
        tuning = plan.tuning(claim, "x", records)
        missing = [run for run in tuning.runs if run not in records]
        assert bool(missing) is not bool(tuning.best)
        if not missing:
            return tuning, list(records)
        records |= {run: Record({claim.tuned_metric: score(run)}, {}, 1.0) for run in missing}


def rates(runs: list[Run], model: str) -> list[float]:
    return [float(dict(run.settings)["learning_rate"]) for run in runs if run.model == model]


A, B = Arm("a", "sasrec", grid=RATES), Arm("b", "popularity", grid=RATES)


def test_a_trial_is_scored_by_its_mean_over_tuning_seeds() -> None:
    outliers = {(0.001, 10_000): 0.9, (0.003, 10_001): 0.3, (0.003, 10_002): 0.9}

    def score(run: Run) -> float:
        rate = float(dict(run.settings)["learning_rate"])
        return outliers.get((rate, run.seed), 0.2)

    tuning, runs = tune(make_claim(A, B), score)
    assert dict(tuning.best["a"])["learning_rate"] == "0.003"
    assert rates(runs, "sasrec") == [0.001] * 3 + [0.003] * 3 + [0.01] * 3
    assert {run.seed for run in runs} == {10_000, 10_001, 10_002}


def test_a_diverged_trial_is_the_worst_for_any_metric() -> None:
    for metric in ("ndcg@10", "logloss"):
        claim = make_claim(A, B, metric=metric, tuning_seeds=1, widenings=0)
        records = {}
        for trial in Plan([claim]).tuning(claim, "x", {}).runs:
            diverged = dict(trial.settings)["learning_rate"] != "0.003"
            records[trial] = Record({} if diverged else {metric: 0.5}, {}, 1.0, diverged=diverged)
        best = Plan([claim]).tuning(claim, "x", records).best
        assert dict(best["a"])["learning_rate"] == "0.003"


def test_a_best_value_inside_the_grid_does_not_widen_it() -> None:
    tuning, runs = tune(make_claim(A, B), score_of_rate(0.003))
    assert tuning.trials == 3
    assert tuning.grids["a"] == {"learning_rate": [0.001, 0.003, 0.01]}
    assert tuning.edges == {"a": [], "b": []}
    assert len(runs) == 2 * 3 * 3


@pytest.mark.parametrize(
    ("metric", "best"), [("auc", "0.01"), ("logloss", "0.001"), ("nmse", "0.001")]
)
def test_errors_and_losses_are_minimized(metric: str, best: str) -> None:
    claim = make_claim(A, B, metric=metric, direction="lower", widenings=0)
    tuning, _ = tune(claim, lambda run: float(dict(run.settings)["learning_rate"]))
    assert dict(tuning.best["a"])["learning_rate"] == best


def test_a_best_value_at_an_edge_widens_the_grid_of_all_arms() -> None:
    def score(run: Run) -> float:
        return score_of_rate(0.03 if run.model == "sasrec" else 0.003)(run)

    tuning, runs = tune(make_claim(A, B, tuning_seeds=1), score)
    assert dict(tuning.best["a"])["learning_rate"] == "0.033"
    assert dict(tuning.best["b"])["learning_rate"] == "0.003"
    for model in ("sasrec", "popularity"):
        assert rates(runs, model) == [0.001, 0.003, 0.01, 0.033, 0.11]
    assert tuning.grids["a"] == tuning.grids["b"]
    assert tuning.edges == {"a": [], "b": []}
    assert tuning.trials == 5


def test_widening_is_bounded_and_remaining_edges_are_reported() -> None:
    tuning, runs = tune(make_claim(A, B, tuning_seeds=1, widenings=1), score_of_rate(0.0))
    assert rates(runs, "sasrec") == [0.001, 0.003, 0.01, 0.00033]
    assert tuning.edges == {"a": ["learning_rate"], "b": ["learning_rate"]}
    assert dict(tuning.best["a"])["learning_rate"] == "0.00033"
    tuning, runs = tune(make_claim(A, B, tuning_seeds=1, widenings=0), score_of_rate(0.0))
    assert len(rates(runs, "sasrec")) == 3
    assert tuning.edges["a"] == ["learning_rate"]


def test_the_limit_of_one_arm_bounds_the_grids_of_all() -> None:
    limited = dataclasses.replace(B, limits={"learning_rate": 0.04})
    tuning, runs = tune(make_claim(A, limited, tuning_seeds=1), score_of_rate(1.0))
    for model in ("sasrec", "popularity"):
        assert rates(runs, model) == [0.001, 0.003, 0.01, 0.033]
    assert tuning.edges == {"a": ["learning_rate"], "b": []}


def test_arms_with_different_settings_widen_at_the_same_position() -> None:
    rocket = Arm("rocket", "rocket", grid={"hint_weight": (0.1, 1.0)})
    alone = Arm("alone", "sum-pool", grid={"learning_rate": (0.003, 0.01)})

    def score(run: Run) -> float:
        settings = dict(run.settings)
        return float(settings.get("hint_weight", settings.get("learning_rate", 0)))

    tuning, _ = tune(make_claim(rocket, alone, tuning_seeds=1, widenings=1), score)
    assert tuning.grids["rocket"] == {"hint_weight": [0.1, 1.0, 10.0]}
    assert tuning.grids["alone"] == {"learning_rate": [0.003, 0.01, 0.033]}


def test_halving_gives_more_seeds_to_the_best_trials_only() -> None:
    grid = {"learning_rate": (1e-3, 2e-3, 3e-3, 4e-3), "dropout": (0.0, 0.3)}
    arms = [Arm("a", "sasrec", grid=grid), Arm("b", "popularity", grid=grid)]
    claim = make_claim(*arms, halving=2, widenings=0, tuning_share=0.25)
    tuning, runs = tune(claim, score_of_rate(0.003))
    runs_of_a = [run for run in runs if run.model == "sasrec"]
    assert [run.seed for run in runs_of_a] == [10_000] * 8 + [10_001, 10_002] * 2
    assert {dict(run.settings)["learning_rate"] for run in runs_of_a[8:]} == {"0.003"}
    assert {run.share for run in runs} == {0.25}
    plan = Plan([claim])
    assert {run.share for run in plan.measured(claim, arms[0], "x", tuning.best["a"])} == {1.0}


def test_promoted_trials_still_compete_after_the_grid_is_widened() -> None:
    """The first seed alone ranks the best trial third, where halving would drop it."""
    scores = {"0.001": (0.5, 0.5, 0.5), "0.002": (0.70, 0.64, 0.64), "0.004": (0.69, 0.7, 0.7)}
    scores["0.008"] = (0.71, 0.62, 0.62)

    def score(run: Run) -> float:
        return scores[dict(run.settings)["learning_rate"]][run.seed - 10_000]

    grid = {"learning_rate": (0.001, 0.002, 0.004)}
    arms = [Arm("a", "sasrec", grid=grid), Arm("b", "popularity", grid=grid)]
    tuning, _ = tune(make_claim(*arms, halving=2, widenings=1), score)
    assert tuning.grids["a"]["learning_rate"] == [0.001, 0.002, 0.004, 0.008]
    assert dict(tuning.best["a"])["learning_rate"] == "0.004"


def test_limited_trials_have_the_same_positions_in_every_grid() -> None:
    wide = {"learning_rate": (1e-3, 2e-3, 3e-3), "dropout": (0.0, 0.3, 0.6)}
    other = {"hint_weight": (1.0, 2.0, 3.0), "light.dropout": (0.0, 0.3, 0.6)}
    arms = [Arm("a", "sasrec", grid=wide), Arm("b", "rocket", grid=other)]
    claim = make_claim(*arms, most_trials=4)
    first, second = (claim.trials(arm) for arm in arms)
    assert len(first) == len(second) == 4

    def positions(trials: Any, grid: dict[str, tuple[Setting, ...]]) -> list[list[int]]:
        return [[v.index(type(v[0])(dict(t)[n])) for n, v in grid.items()] for t in trials]

    assert positions(first, wide) == positions(second, other)


@pytest.mark.parametrize(
    ("name", "values", "high", "expected"),
    [
        ("learning_rate", (1e-3, 3e-3, 1e-2), True, 0.033),
        ("learning_rate", (1e-3, 3e-3, 1e-2), False, 0.00033),
        ("weight_decay", (0.0, 0.01), False, None),
        ("neighbours", (5, 20, 50), False, 1),
        ("neighbours", (1, 5, 20), False, None),  # 0.2 is not a number of neighbours.
        ("weight_decay", (0.0, 0.01), True, 0.02),
        ("dropout", (0.0, 0.3), True, 0.6),
        ("dropout", (0.0, 0.3, 0.6), True, None),
        ("light.dropout", (0.3, 0.6), True, None),
        ("orders", (1, 2), True, 4),
        ("epochs", (3,), True, None),
        ("auxiliary", ("inner", "mlp"), True, None),
    ],
)
def test_the_next_value_beyond_an_end_of_a_grid(
    name: str, values: Any, high: bool, expected: Any
) -> None:
    assert beyond(name, values, high=high) == expected


def test_grids_without_widening_may_differ_in_shape() -> None:
    square = Arm("b", "sasrec", grid={"dropout": (0.1,), "learning_rate": (0.001, 0.002, 0.004)})
    tuning, _ = tune(make_claim(A, square, tuning_seeds=1, widenings=0), score_of_rate(1.0))
    assert tuning.edges == {"a": ["learning_rate"], "b": ["learning_rate"]}


def test_unfair_tuning_is_refused() -> None:
    square = Arm("b", "sasrec", grid={"learning_rate": (0.1,), "dropout": (0.0, 0.1, 0.2)})
    with pytest.raises(ValueError, match="must have the same shape"):
        make_claim(A, square)
    make_claim(A, square, widenings=0)
    with pytest.raises(ValueError, match=r"tuning_share must be in \(0, 1\], got 0"):
        make_claim(A, B, tuning_share=0)


def test_a_claim_may_be_tuned_by_another_metric_than_its_own() -> None:
    claim = make_claim(A, B, metric="gap", chosen_by="ndcg@10", direction="lower")
    tuning, _ = tune(claim, score_of_rate(0.003))
    assert dict(tuning.best["a"])["learning_rate"] == "0.003"
    assert claim.tuned_metric == "ndcg@10"
    assert make_claim(A, B).tuned_metric == "ndcg@10"
    with pytest.raises(ValueError, match="popularity has no 'gap'; it has ndcg@10"):
        figure({"ndcg@10": 1.0}, claim, B)


def test_an_arm_without_a_grid_is_not_tuned_and_widens_nothing() -> None:
    tuning, runs = tune(make_claim(A, Arm("floor", "popularity")), score_of_rate(0.03))
    assert {run.model for run in runs} == {"sasrec"}
    assert tuning.best["floor"] == ()
    assert dict(tuning.best["a"])["learning_rate"] == "0.033"
    assert tuning.trials == 5
    assert tuning.grids["floor"] == {}
