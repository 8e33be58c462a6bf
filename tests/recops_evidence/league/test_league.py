"""The league from plan to results, with runs that need no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recops.files import CorruptFileError
from recops_evidence.experiments.training import job_of
from recops_evidence.harness.experiment import Experiment, Metrics, Run
from recops_evidence.harness.out_of_time import OutOfTimeError
from recops_evidence.harness.run_store import Record, RunStore
from recops_evidence.harness.runner import look_up, run_ahead
from recops_evidence.harness.user_values import UserValues
from recops_evidence.league import results as results_module
from recops_evidence.league.claims import LeagueClaim, claim_results
from recops_evidence.league.click_rows import CLICK_ROWS
from recops_evidence.league.comparison import RowValues
from recops_evidence.league.figures import LeagueResults
from recops_evidence.league.overview import END, START, overview, with_overview
from recops_evidence.league.page import league_page
from recops_evidence.league.paper_tables import league_blocks, with_league_tables
from recops_evidence.league.plan import Entry, LeaguePlan
from recops_evidence.league.protocol import faults
from recops_evidence.league.ranking_rows import RANKING_ROWS
from recops_evidence.league.reproduce import league_plan
from recops_evidence.league.results import league_results, user_values
from recops_evidence.league.row import LeagueRow
from recops_evidence.league.search import Effort
from recops_evidence.league.sets import LeagueSet, chosen_sets
from recops_evidence.league.stored import read_league, read_user_values, write_league
from recops_evidence.league.variants import VARIANTS, Variant
from recops_models.callbacks import Callbacks

USERS = 40
SET = LeagueSet("ranking", "beauty", tuning_seeds=2)
ROWS = (
    LeagueRow("popularity", "popularity", is_baseline=True, is_seeded=False),
    LeagueRow(
        "item-kNN", "item-knn", grid={"decay": (0.5, 0.7)}, limits={"decay": 1.0}, is_baseline=True
    ),
    LeagueRow("SASRec", "sasrec", {"epochs": 1}, {"learning_rate": (0.001, 0.003, 0.01)}),
)
VARIANT = Variant(
    "unirec", "SASRec", "SASRec (longer)", {"epochs": 2}, "Short is better.", SET.name
)
COUNTS = {"users": USERS, "items": 9, "events": 90, "train": 50, "validation": 20, "test": 20}
COUNTS |= {"context": 0, "test_users": USERS}
LEVEL = {"popularity": 0.2, "item-knn": 0.4, "sasrec": 0.5}


@dataclass(frozen=True)
class Drawn(Experiment[None]):
    """Runs whose figures are drawn by the seed around a level per model."""

    seconds: float = 1.0
    broken: str = ""
    may_fail = True

    def identity(self, run: Run) -> object:
        return [run.model, run.settings, run.seed, run.test]

    def config(self, run: Run) -> object:
        return self.identity(run)

    def load(self, data: str) -> None:
        return None

    def measure(
        self, run: Run, data: None, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        if run.model == self.broken and run.test:
            raise OutOfTimeError("the run exceeded 30 core-minutes")
        wrong = abs(float(run.setting("learning_rate") or 0.003) - 0.003)
        mean = float(self.values(run).mean()) - wrong
        return {"ndcg@10": mean}, {n: mean for n in ("ndcg@10", "hr@10", "hr@50") if run.test}

    def values(self, run: Run) -> np.ndarray:
        """Return one value per user, half of them the same for all models."""
        level = LEVEL[run.model] - (0.05 if run.setting("epochs") == "2" else 0)
        shared = np.random.default_rng(7).random(USERS)
        noise = np.random.default_rng((run.seed, len(run.model))).normal(0, 0.02, USERS)
        return level + 0.1 * shared + (0 if run.model == "popularity" else noise)

    def user_values(self, run: Run, folder: Path) -> UserValues:
        return UserValues.of(np.arange(USERS), {"ndcg@10": self.values(run)})

    def costs(self, run: Run, folder: Path) -> Metrics:
        return {"train_seconds": self.seconds, "parameters": 10, "request_ms": 0.5}


def league(tmp_path: Path, **changes: Any) -> tuple[LeaguePlan, dict[Run, Record]]:
    """Measure the league in ``tmp_path``, and return the plan and its finished runs."""
    hours = changes.pop("hours", 1.0)
    entries = [Entry(SET, row, Drawn(**changes)) for row in ROWS]
    variants = [(entries[2], VARIANT)]
    plan = LeaguePlan(entries, Effort(trials=3, continued=2), most_seeds=4, variants=variants)
    store = RunStore(tmp_path, "league", resume=True)
    run_ahead(plan, store, Callbacks(), hours=hours)
    finished: dict[Run, Record] = {}
    look_up(plan, store, finished)
    return plan, finished


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_module, "describe", lambda _: dict(COUNTS))


def content(plan: LeaguePlan, finished: Mapping[Run, Record]) -> LeagueResults:
    return league_results(plan, finished, {"beauty": "digest"}, command="recops")


def test_rows_are_tuned_measured_and_compared(tmp_path: Path) -> None:
    plan, finished = league(tmp_path)
    (result,) = content(plan, finished)["sets"]
    assert result["missing"] == {}
    rows = {row["row"]: row for row in result["rows"]}
    assert result["baseline"] == "item-kNN"
    assert [len(rows[row.name]["seeds"]) for row in ROWS] == [1, 4, 4]
    assert rows["SASRec"]["settings"] == {"epochs": "1", "learning_rate": "0.003"}
    gain = rows["SASRec"]["gains"]["baseline"]
    assert gain["interval"][0] < gain["mean"] < gain["interval"][1]
    assert gain["mean"] == pytest.approx(0.1, abs=0.02)
    assert gain["p"] is not None
    assert gain["p"] < 0.01
    assert set(rows["item-kNN"]["gains"]) == {"plain"}
    assert set(rows["popularity"]["gains"]) == {"baseline", "plain"}


def test_finished_runs_are_not_repeated(tmp_path: Path) -> None:
    plan, finished = league(tmp_path)
    lines = (tmp_path / "runs.jsonl").read_text()
    assert content(*league(tmp_path)) == content(plan, finished)
    assert (tmp_path / "runs.jsonl").read_text() == lines


def test_no_run_starts_after_the_time(tmp_path: Path) -> None:
    plan, finished = league(tmp_path, hours=0.0)
    assert not finished
    (result,) = content(plan, finished)["sets"]
    assert result["missing"] == dict.fromkeys(("popularity", "item-kNN", "SASRec"), "not started")
    assert "- Next items: beauty: not started\n" in league_page(content(plan, finished))


def test_long_runs_have_fewer_seeds(tmp_path: Path) -> None:
    plan, finished = league(tmp_path)
    entry = plan.entries[2]
    for seconds, seeds in ((0, 4), (130, 4), (601, 3)):
        costs: Metrics = {"core_seconds": float(seconds)}
        slow = {
            run: Record(each.validation, each.test, 1.0, costs=costs)
            for run, each in finished.items()
        }
        assert len(plan.measured(entry, slow)) == seeds


def test_trials_of_a_shortened_row_use_half_of_the_users_and_two_seeds(tmp_path: Path) -> None:
    plan, finished = league(tmp_path)
    of_set = replace(SET, tuning_seeds=3)
    short = Entry(of_set, replace(ROWS[2], shortened=(SET.name,)), Drawn())
    usual = Entry(of_set, ROWS[2], Drawn())
    large = Entry(replace(of_set, tuning_share=0.3), short.row, Drawn())
    figures = [(each.tuning_seeds, each.tuning_share) for each in (short, usual, large)]
    assert figures == [(2, 0.5), (3, 1.0), (2, 0.3)]
    assert {run.share for run in plan.search(short, finished).runs} == {0.5}
    best = (("learning_rate", "0.003"),)
    (trial,) = (run for run in plan.search(short, {}).runs if run.settings[1:] == best)
    record = Record({"ndcg@10": 0.5}, {}, 1.0, costs={"core_seconds": 61.0})
    assert plan.timed_seconds(short, best, {trial: record}) == 122.0


def test_a_row_takes_the_settings_of_another_one_and_tunes_its_rate(tmp_path: Path) -> None:
    plan, _ = league(tmp_path)
    source = Entry(SET, replace(ROWS[2], grid={**ROWS[2].grid, "dropout": (0.5,)}), Drawn())
    row = LeagueRow("close", "sasrec", {"negatives": 8}, tuned_as=source.row.name)
    entry = Entry(SET, row, Drawn(), source=source)
    assert plan.search(entry, {}).runs == ()  # The other row is not tuned yet.
    assert plan.measured(entry, {}) == []
    tuned = (("dropout", "0.5"), ("learning_rate", "0.003"))
    tried = dict.fromkeys(plan.search(source, {}).runs, 0.5)

    def records() -> dict[Run, Record]:
        return {
            run: Record({"ndcg@10": value}, {}, 1.0, costs={"core_seconds": 1.0})
            for run, value in tried.items()
        }

    for each in tried:
        tried[each] += dict(each.settings)["learning_rate"] == "0.003"
    while plan.search(source, records()).best is None:
        tried |= dict.fromkeys(set(plan.search(source, records()).runs) - set(tried), 0.4)
    assert plan.search(source, records()).best == tuned
    runs = plan.search(entry, records()).runs
    assert [dict(run.settings) for run in runs] == [
        {"dropout": "0.5", "learning_rate": rate, "negatives": "8"}
        for rate in ("0.001", "0.003", "0.009")
    ]
    tried |= dict(zip(runs, (0.5, 0.6, 0.55), strict=True))
    chosen = plan.search(entry, records())
    assert chosen.best == tuned
    assert (chosen.trials, chosen.edges) == (3, ())
    assert {run.settings for run in plan.measured(entry, records())} == {runs[1].settings}


def test_rows_bring_the_rows_whose_settings_they_take() -> None:
    plan = league_plan(chosen_sets(("ranking:ml-100k", "ranking:toys")), ["UniRec"])
    entries = [(entry.of_set.name, entry.row.name) for entry in plan.entries]
    assert entries == [
        (name, row)
        for name in ("ranking:ml-100k", "ranking:toys")
        for row in ("UniRec", "UniRec (all item scores)")
    ]
    assert [entry.source is None for entry in plan.entries] == [False, True] * 2


def test_rows_bring_the_set_and_row_whose_settings_they_take() -> None:
    plan = league_plan(chosen_sets(("clicks:grocery",)), ["DIEN"])
    entries = {(entry.of_set.name, entry.row.name): entry for entry in plan.entries}
    released = "DIEN (released gate)"
    chain = [("clicks:grocery", "DIEN"), ("clicks:grocery", released)]
    chain += [("clicks:toys-ctr", released), ("clicks:toys-ctr", "DIN")]
    assert set(entries) == set(chain)
    for first, second in pairwise(chain):
        source = entries[first].source
        assert source is not None
        assert (source.of_set.name, source.row.name) == second
    assert entries[chain[-1]].source is None
    of_grocery, of_toys, din = (entries[key] for key in chain[1:])
    tried: dict[Run, Record] = {}

    def finish(entry: Entry) -> dict[str, str]:
        """Finish the trials, of which the first is the best one, and return its settings."""
        while (tuned := plan.search(entry, tried)).best is None:
            for run in tuned.runs:
                tried.setdefault(run, Record({"gauc": 1 / (2 + len(tried))}, {}, 1.0))
        return dict(tuned.best)

    assert plan.search(of_toys, tried).runs == ()  # DIN is not tuned yet.
    shared = finish(din)
    assert {"dropout", "table_std", "weight_decay"} < set(shared)
    rate = float(shared.pop("learning_rate"))
    trials = [dict(run.settings) for run in plan.search(of_toys, tried).runs]
    assert all(shared.items() <= trial.items() for trial in trials)
    assert sorted(float(trial["learning_rate"]) for trial in trials) == pytest.approx(
        [rate / 3, rate, rate * 3], rel=0.05
    )
    assert sorted(trial["auxiliary_weight"] for trial in trials) == ["0.1", "0.3", "1.0"]
    own = finish(of_toys)
    assert own.pop("auxiliary_weight") in ("0.1", "0.3", "1.0")
    weights = {run.setting("auxiliary_weight") for run in plan.search(of_grocery, tried).runs}
    assert weights == {finish(of_toys)["auxiliary_weight"]}


def test_a_row_that_exceeds_its_time_is_missing(tmp_path: Path) -> None:
    plan, finished = league(tmp_path, broken="sasrec")
    (result,) = content(plan, finished)["sets"]
    assert result["missing"] == {"SASRec": "a run diverged or exceeded its time"}
    assert [row["gains"].keys() for row in result["rows"]] == [{"baseline"}, set()]


def test_a_difference_can_be_computed_by_hand(tmp_path: Path) -> None:
    plan, finished = league(tmp_path)
    results = content(plan, finished)
    write_league(tmp_path, results, user_values(plan, finished))
    stored, users = read_league(tmp_path), read_user_values(tmp_path, SET.name)
    rows = {row["row"]: row for row in stored["sets"][0]["rows"]}
    first, second = (np.array(rows[name]["per_seed"]["ndcg@10"]) for name in ("SASRec", "item-kNN"))
    gain = rows["SASRec"]["gains"]["baseline"]
    assert gain["mean"] == pytest.approx((first - second).mean(), abs=1e-12)
    difference = users["SASRec"].values["ndcg@10"].astype(float) - users["item-kNN"].values[
        "ndcg@10"
    ].astype(float)
    error = difference.std() / USERS**0.5
    low, high = gain["users"]
    assert (low, high) == pytest.approx(
        (gain["mean"] - 1.96 * error, gain["mean"] + 1.96 * error), abs=0.2 * error
    )
    (tmp_path / "users" / "ranking-beauty.jsonl.xz").write_bytes(b"")
    with pytest.raises(CorruptFileError, match="ranking-beauty"):
        read_user_values(tmp_path, SET.name)


def test_the_page_and_the_overview_show_every_row(tmp_path: Path) -> None:
    results = content(*league(tmp_path))
    page = league_page(results)
    rows = [line for line in page.splitlines() if line.startswith("| SASRec |")]
    assert "**+0.1" in rows[0]
    assert "Clicks: ml-100k" not in page.partition("## Missing")[0]
    assert "- clicks:ml-100k: not started" in page
    results["sets"][0]["missing"] = {"DIN": "2 of 10 seeds measured", "CAN": "not started"}
    expected = "beauty: DIN (2 of 10 seeds measured); not started: CAN\n"
    assert expected in league_page(results)
    text = overview(results)
    assert "| **0.5" in next(line for line in text.splitlines() if "SASRec" in line)
    assert "item-kNN (baseline)" in text
    marked = f"before\n{START}\nstale figures\n{END}\nafter"
    again = with_overview(marked, text, name="README.md")
    assert with_overview(again, text, name="README.md") == again
    assert again.startswith("before\n")
    assert again.endswith("\nafter")
    assert "stale" not in again
    with pytest.raises(ValueError, match=r"README.md must have the markers"):
        with_overview("nothing", text, name="README.md")


def test_a_variant_tunes_its_rate_and_is_compared_with_its_row(tmp_path: Path) -> None:
    plan, finished = league(tmp_path)
    (result,) = content(plan, finished)["sets"]
    (variant,) = result["variants"]
    assert result["missing_variants"] == {}
    assert (variant["row"], variant["of"]) == ("SASRec (longer)", "SASRec")
    assert variant["settings"] == {"epochs": "2", "learning_rate": "0.003"}
    assert (variant["trials"], variant["edges"], variant["seeds"]) == (3, [], [0, 1, 2, 3])
    row = next(row for row in result["rows"] if row["row"] == "SASRec")
    by_hand = np.subtract(row["per_seed"]["ndcg@10"], variant["per_seed"]["ndcg@10"])
    assert variant["difference"]["mean"] == pytest.approx(by_hand.mean(), abs=1e-12)
    assert variant["difference"]["mean"] == pytest.approx(0.05, abs=1e-9)
    tuned = {run.setting("learning_rate") for run in finished if run.setting("epochs") == "2"}
    assert tuned == {"0.001", "0.003", "0.009"}


def test_a_variant_waits_for_its_row(tmp_path: Path) -> None:
    plan, finished = league(tmp_path)
    untuned = {run: record for run, record in finished.items() if run.model != "sasrec"}
    assert plan.variant_entries(untuned) == []
    (result,) = content(plan, untuned)["sets"]
    assert result["variants"] == []
    assert result["missing_variants"] == {"unirec": ["SASRec (longer)"]}
    broken = league(tmp_path / "broken", broken="sasrec")
    assert content(*broken)["sets"][0]["variants"] == []


def test_a_paper_page_shows_claims_rows_and_variants(tmp_path: Path) -> None:
    results = content(*league(tmp_path))
    (each,) = results["sets"]
    claims = [LeagueClaim(SET.name, "SASRec", "item-kNN", "Attention ranks better.")]
    results["papers"] = {"unirec": claim_results(*values_and_metrics(tmp_path), claims)}
    kinds = ("headline", "rows", "ablation")
    page = "# Page\n" + "".join(
        f"\n<!-- league {kind} -->\nstale\n<!-- end of league -->\n" for kind in kinds
    )
    filled = with_league_tables(page, "unirec", results)
    assert "stale" not in filled
    assert with_league_tables(filled, "unirec", results) == filled
    assert league_blocks(filled) == list(kinds)
    assert "| Attention ranks better. | ranking:beauty | +0.1" in filled
    assert "Not measured yet: UniRec and SASRec on ml-100k, beauty, toys" in filled
    assert "| beauty | SASRec | 0.5" in filled
    assert "| Short is better. | beauty | SASRec − SASRec (longer) | +0.05" in filled
    assert "**discovery** |" in filled
    each["variants"], each["missing_variants"] = [], {"unirec": ["SASRec (longer)"]}
    assert "Not measured yet: SASRec (longer)." in with_league_tables(page, "unirec", results)
    with pytest.raises(ValueError, match="league tables must be among"):
        with_league_tables("<!-- league praise -->\n<!-- end of league -->", "unirec", results)
    with pytest.raises(ValueError, match="age must have claims in the league"):
        with_league_tables(page, "age", results)


def test_variants_change_rows_of_the_league() -> None:
    plan = league_plan(chosen_sets(()))
    assert [variant for _, variant in plan.variants] == list(VARIANTS)
    names = [variant.name for variant in VARIANTS]
    names += [row.name for row in (*CLICK_ROWS, *RANKING_ROWS)]
    assert len({*names}) == len(names)
    assert not any("," in name for name in names)  # Commas separate names on the command line.
    for parent, variant in plan.variants:
        best = (parent.source or parent).row.draw(1)[0]
        row = variant.row(parent.row, best)
        entry = replace(parent, row=row, variant=variant)
        (first, *_) = row.draw(3)
        settings = entry.settings(first)
        assert settings != parent.settings(best)
        run = Run(parent.experiment, row.model, parent.of_set.data, settings, 0, True, False)
        assert job_of(run).recipe.name == row.model


def test_a_page_by_the_protocol_has_no_faults(tmp_path: Path) -> None:
    plan, finished = league(tmp_path)
    results = league_results(
        replace(plan, most_seeds=10), finished, {"beauty": "digest"}, command="recops"
    )
    assert {"SASRec", "item-kNN"} == results["sets"][0]["missing"].keys()
    assert faults(results, league_page(results)) == []


def test_violations_of_the_protocol_are_reported(tmp_path: Path) -> None:
    results = content(*league(tmp_path))
    (each,) = results["sets"]
    each["rows"][2]["edges"] = ["learning_rate"]
    each["rows"][2]["per_seed"]["hr@10"][0] = float("nan")
    each["description"]["train"] = 40
    each["rows"][1]["timed_seconds"] = 700.0
    results["quick"] = True
    reported = "\n".join(faults(results, "word " * 801))
    for part in (
        "runs must be whole",
        "all 90 events must be in a part",
        "at an edge: ['learning_rate']",
        "hr@10 must be finite",
        "seeds must be 10 or more for runs of this length, got 4",
        "item-kNN: few seeds need runs that are as long as the trial, 700 s",
        "at most 800 words before the appendix, got 801",
    ):
        assert part in reported


def values_and_metrics(
    tmp_path: Path,
) -> tuple[dict[str, dict[str, RowValues]], dict[str, str]]:
    """Return the values by set and row, and the headline metric by set."""
    plan, finished = league(tmp_path)
    values = {
        entry.row.name: RowValues(
            {run.seed: finished[run] for run in plan.measured(entry, finished)},
            is_seeded=entry.row.is_seeded,
        )
        for entry in plan.entries
    }
    return {SET.name: values}, {SET.name: "ndcg@10"}


def test_claims_are_corrected_for_their_number(tmp_path: Path) -> None:
    claims = [
        LeagueClaim(SET.name, "SASRec", "item-kNN", "Better."),
        LeagueClaim(SET.name, "popularity", "SASRec", "Better."),
        LeagueClaim("clicks:ml-1m", "DIN", "rates", "Not measured."),
    ]
    first, second = claim_results(*values_and_metrics(tmp_path), claims)
    assert (first["verdict"], second["verdict"]) == ("holds", "fails")
    assert first["adjusted_p"] >= (first["difference"]["p"] or 0.0)
    with pytest.raises(ValueError, match="claims must be at most 6, got 7"):
        claim_results({}, {}, [claims[0]] * 7)


def test_rows_tested_on_different_users_are_not_compared() -> None:
    def values(ids: np.ndarray) -> RowValues:
        users = UserValues.of(ids, {"gauc": np.ones(3)})
        records = {seed: Record({}, {"gauc": 1.0}, 1.0, users=users) for seed in (0, 1)}
        return RowValues(records, is_seeded=True)

    with pytest.raises(ValueError, match="tested on the same users"):
        values(np.arange(3)).difference(values(np.arange(1, 4)), "gauc")
