"""Which trials tell the best settings: means over seeds, halving, and grids that grow."""

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


def claim(*arms: Arm, **changes: Any) -> Claim:
    content: dict[str, Any] = {"id": "c", "text": "It does.", "source": "here", "data": ("x",)}
    content |= {"reported": "+.1", "metric": "ndcg@10", "experiment": TRAINING}
    return Claim(arms=arms, **{**content, **changes})


def worth_of_rate(best: float) -> Callable[[Run], float]:
    """Validation falls with the distance from ``best``, by the last of the arm's settings."""
    return lambda run: -abs(float(dict(run.settings)["learning_rate"]) - best)


def tune(asked: Claim, worth: Callable[[Run], float]) -> tuple[Tuning, list[Run]]:
    """All of a tuning, and its trials in the order in which they were asked for."""
    plan, done = Plan([asked]), {}
    while True:
        found = plan.tuning(asked, "x", done)
        missing = [run for run in found.runs if run not in done]
        assert bool(missing) is not bool(found.best)
        if not missing:
            return found, list(done)
        done |= {run: Record({asked.tuned_metric: worth(run)}, {}, 1.0) for run in missing}


def rates(runs: list[Run], model: str) -> list[float]:
    return [float(dict(run.settings)["learning_rate"]) for run in runs if run.model == model]


A, B = Arm("a", "sasrec", grid=RATES), Arm("b", "popularity", grid=RATES)


def test_a_trial_counts_by_its_mean_over_tuning_seeds() -> None:
    luck = {(0.001, 10_000): 0.9, (0.003, 10_001): 0.3, (0.003, 10_002): 0.9}

    def worth(run: Run) -> float:
        rate = float(dict(run.settings)["learning_rate"])
        return luck.get((rate, run.seed), 0.2)

    found, runs = tune(claim(A, B), worth)
    assert dict(found.best["a"])["learning_rate"] == "0.003"
    assert rates(runs, "sasrec") == [0.001] * 3 + [0.003] * 3 + [0.01] * 3
    assert {run.seed for run in runs} == {10_000, 10_001, 10_002}


def test_a_trial_that_diverged_is_the_worst_whatever_is_measured() -> None:
    for metric in ("ndcg@10", "logloss"):
        asked = claim(A, B, metric=metric, tuning_seeds=1, widenings=0)
        done = {}
        for trial in Plan([asked]).tuning(asked, "x", {}).runs:
            bold = dict(trial.settings)["learning_rate"] != "0.003"
            done[trial] = Record({} if bold else {metric: 0.5}, {}, 1.0, diverged=bold)
        best = Plan([asked]).tuning(asked, "x", done).best
        assert dict(best["a"])["learning_rate"] == "0.003"


def test_a_best_value_within_the_grid_leaves_it() -> None:
    found, runs = tune(claim(A, B), worth_of_rate(0.003))
    assert found.trials == 3
    assert found.grids["a"] == {"learning_rate": [0.001, 0.003, 0.01]}
    assert found.edges == {"a": [], "b": []}
    assert len(runs) == 2 * 3 * 3


@pytest.mark.parametrize(
    ("metric", "best"), [("auc", "0.01"), ("logloss", "0.001"), ("nmse", "0.001")]
)
def test_errors_and_losses_are_chosen_small(metric: str, best: str) -> None:
    asked = claim(A, B, metric=metric, direction="lower", widenings=0)
    found, _ = tune(asked, lambda run: float(dict(run.settings)["learning_rate"]))
    assert dict(found.best["a"])["learning_rate"] == best


def test_a_best_value_at_an_edge_widens_the_grid_of_all_arms() -> None:
    def worth(run: Run) -> float:
        return worth_of_rate(0.03 if run.model == "sasrec" else 0.003)(run)

    found, runs = tune(claim(A, B, tuning_seeds=1), worth)
    assert dict(found.best["a"])["learning_rate"] == "0.033"
    assert dict(found.best["b"])["learning_rate"] == "0.003"
    for model in ("sasrec", "popularity"):
        assert rates(runs, model) == [0.001, 0.003, 0.01, 0.033, 0.11]
    assert found.grids["a"] == found.grids["b"]
    assert found.edges == {"a": [], "b": []}
    assert found.trials == 5


def test_it_is_widened_a_bounded_number_of_times_and_the_edge_told() -> None:
    found, runs = tune(claim(A, B, tuning_seeds=1, widenings=1), worth_of_rate(0.0))
    assert rates(runs, "sasrec") == [0.001, 0.003, 0.01, 0.00033]
    assert found.edges == {"a": ["learning_rate"], "b": ["learning_rate"]}
    assert dict(found.best["a"])["learning_rate"] == "0.00033"
    found, runs = tune(claim(A, B, tuning_seeds=1, widenings=0), worth_of_rate(0.0))
    assert len(rates(runs, "sasrec")) == 3
    assert found.edges["a"] == ["learning_rate"]


def test_no_arm_is_widened_beyond_the_limit_of_one() -> None:
    limited = dataclasses.replace(B, limits={"learning_rate": 0.04})
    found, runs = tune(claim(A, limited, tuning_seeds=1), worth_of_rate(1.0))
    for model in ("sasrec", "popularity"):
        assert rates(runs, model) == [0.001, 0.003, 0.01, 0.033]
    assert found.edges == {"a": ["learning_rate"], "b": []}


def test_arms_widen_at_the_same_place_whatever_they_tune_there() -> None:
    rocket = Arm("rocket", "rocket", grid={"hint_weight": (0.1, 1.0)})
    alone = Arm("alone", "sum-pool", grid={"learning_rate": (0.003, 0.01)})

    def worth(run: Run) -> float:
        settings = dict(run.settings)
        return float(settings.get("hint_weight", settings.get("learning_rate", 0)))

    found, _ = tune(claim(rocket, alone, tuning_seeds=1, widenings=1), worth)
    assert found.grids["rocket"] == {"hint_weight": [0.1, 1.0, 10.0]}
    assert found.grids["alone"] == {"learning_rate": [0.003, 0.01, 0.033]}


def test_halving_gives_more_seeds_to_the_best_trials_alone() -> None:
    many = {"learning_rate": (1e-3, 2e-3, 3e-3, 4e-3), "dropout": (0.0, 0.3)}
    arms = [Arm("a", "sasrec", grid=many), Arm("b", "popularity", grid=many)]
    asked = claim(*arms, halving=2, widenings=0, tuning_share=0.25)
    found, runs = tune(asked, worth_of_rate(0.003))
    of_a = [run for run in runs if run.model == "sasrec"]
    assert [run.seed for run in of_a] == [10_000] * 8 + [10_001, 10_002] * 2
    assert {dict(run.settings)["learning_rate"] for run in of_a[8:]} == {"0.003"}
    assert {run.share for run in runs} == {0.25}
    plan = Plan([asked])
    assert {run.share for run in plan.measured(asked, arms[0], "x", found.best["a"])} == {1.0}


def test_what_went_on_still_competes_when_the_grid_has_grown() -> None:
    """By its first seed alone the best one would no longer be among the two."""
    found_by = {"0.001": (0.5, 0.5, 0.5), "0.002": (0.70, 0.64, 0.64), "0.004": (0.69, 0.7, 0.7)}
    found_by["0.008"] = (0.71, 0.62, 0.62)

    def worth(run: Run) -> float:
        return found_by[dict(run.settings)["learning_rate"]][run.seed - 10_000]

    grid = {"learning_rate": (0.001, 0.002, 0.004)}
    arms = [Arm("a", "sasrec", grid=grid), Arm("b", "popularity", grid=grid)]
    found, _ = tune(claim(*arms, halving=2, widenings=1), worth)
    assert found.grids["a"]["learning_rate"] == [0.001, 0.002, 0.004, 0.008]
    assert dict(found.best["a"])["learning_rate"] == "0.004"


def test_a_bounded_number_of_trials_is_the_same_draw_of_every_grid() -> None:
    wide = {"learning_rate": (1e-3, 2e-3, 3e-3), "dropout": (0.0, 0.3, 0.6)}
    other = {"hint_weight": (1.0, 2.0, 3.0), "light.dropout": (0.0, 0.3, 0.6)}
    arms = [Arm("a", "sasrec", grid=wide), Arm("b", "rocket", grid=other)]
    asked = claim(*arms, most_trials=4)
    ours, theirs = (asked.trials(arm) for arm in arms)
    assert len(ours) == len(theirs) == 4

    def places(trials: Any, grid: dict[str, tuple[Setting, ...]]) -> list[list[int]]:
        return [[v.index(type(v[0])(dict(t)[n])) for n, v in grid.items()] for t in trials]

    assert places(ours, wide) == places(theirs, other)


@pytest.mark.parametrize(
    ("name", "values", "high", "expected"),
    [
        ("learning_rate", (1e-3, 3e-3, 1e-2), True, 0.033),
        ("learning_rate", (1e-3, 3e-3, 1e-2), False, 0.00033),
        ("weight_decay", (0.0, 0.01), False, None),
        ("neighbours", (5, 20, 50), False, 1),
        ("neighbours", (1, 5, 20), False, None),  # 0.2 is no number of neighbours.
        ("weight_decay", (0.0, 0.01), True, 0.02),
        ("dropout", (0.0, 0.3), True, 0.6),
        ("dropout", (0.0, 0.3, 0.6), True, None),
        ("light.dropout", (0.3, 0.6), True, None),
        ("orders", (1, 2), True, 4),
        ("epochs", (3,), True, None),
        ("auxiliary", ("inner", "mlp"), True, None),
    ],
)
def test_what_lies_beyond_an_end(name: str, values: Any, high: bool, expected: Any) -> None:
    assert beyond(name, values, high=high) == expected


def test_grids_that_are_not_widened_may_have_other_shapes() -> None:
    square = Arm("b", "sasrec", grid={"dropout": (0.1,), "learning_rate": (0.001, 0.002, 0.004)})
    found, _ = tune(claim(A, square, tuning_seeds=1, widenings=0), worth_of_rate(1.0))
    assert found.edges == {"a": ["learning_rate"], "b": ["learning_rate"]}


def test_unfair_tuning_is_refused() -> None:
    square = Arm("b", "sasrec", grid={"learning_rate": (0.1,), "dropout": (0.0, 0.1, 0.2)})
    with pytest.raises(ValueError, match="must have the same shape"):
        claim(A, square)
    claim(A, square, widenings=0)
    with pytest.raises(ValueError, match=r"tuning_share must be in \(0, 1\], got 0"):
        claim(A, B, tuning_share=0)


def test_a_claim_may_be_tuned_by_another_figure_than_its_own() -> None:
    asked = claim(A, B, metric="gap", chosen_by="ndcg@10", direction="lower")
    found, _ = tune(asked, worth_of_rate(0.003))
    assert dict(found.best["a"])["learning_rate"] == "0.003"
    assert asked.tuned_metric == "ndcg@10"
    assert claim(A, B).tuned_metric == "ndcg@10"
    with pytest.raises(ValueError, match="popularity has no 'gap'; it has ndcg@10"):
        figure({"ndcg@10": 1.0}, asked, B)


def test_what_has_no_grid_is_not_tried_and_widens_nothing() -> None:
    found, runs = tune(claim(A, Arm("floor", "popularity")), worth_of_rate(0.03))
    assert {run.model for run in runs} == {"sasrec"}
    assert found.best["floor"] == ()
    assert dict(found.best["a"])["learning_rate"] == "0.033"
    assert found.trials == 5
    assert found.grids["floor"] == {}
