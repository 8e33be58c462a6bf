"""Claims as experiments: budgets, pairing, verdicts, interruption. SASRec against popularity."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recops.files import CorruptFileError, read_json
from recops_evidence import Arm, Claim, reproduce
from recops_evidence.claims import claims_of, papers
from recops_evidence.experiments.training import TRAINING, Training
from recops_evidence.harness.experiment import Metrics, Run
from recops_evidence.harness.finding import findings
from recops_evidence.harness.page import page
from recops_evidence.harness.plan import Plan, seconds_left
from recops_evidence.harness.run_store import Record, RunStore
from recops_evidence.harness.stored_results import read_results, read_seed_values
from recops_evidence.harness.verdict import verdict
from recops_models import cli
from recops_models.callbacks import Callbacks
from recops_models.data import DataError
from recops_models.data.storage import read_table
from recops_models.process import threads_per_job
from recops_models.training.diverged import DivergedError
from small_shop import write_shop
from synthetic_histories import write_ring

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[3]
SMALL = {"width": 8, "heads": 2, "history": 6, "epochs": 3, "dropout": 0.1}
SASREC = Arm("SASRec", "sasrec", SMALL, {"learning_rate": (0.0, 1e-2)})
POPULARITY = Arm("popularity", "popularity")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Users who walk along a ring of 30 items, which SASRec can learn and popularity cannot."""
    return write_ring(tmp_path_factory.mktemp("data") / "shop", users=90)


def claim(data: str, *arms: Arm, **changes: Any) -> Claim:
    content: dict[str, Any] = {"id": "ring", "text": "It does.", "source": "here"}
    content |= {"reported": "+.1", "metric": "ndcg@10", "experiment": TRAINING}
    content |= {"tuning_seeds": 1, "widenings": 0, **changes}
    return Claim(arms=arms, data=(data,), **content)


class Watch(Callbacks):
    """Notes the runs that begin; stops the one numbered ``stop_in`` half way."""

    def __init__(self, stop_in: int | None = None) -> None:
        self.begun: list[Run] = []
        self.worker_threads: set[str | None] = set()
        self.ahead: list[int] = []
        self.notes: list[str] = []
        self.stop_in = stop_in

    def start(self, stage: str, **details: Any) -> None:
        self.begun.append(details["run"])
        self.worker_threads.add(os.environ.get("OMP_NUM_THREADS"))
        self.ahead.append(details["ahead"])

    def log_message(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        if len(self.begun) == self.stop_in and share > 0.5:
            raise KeyboardInterrupt


def measure(out: Path, *claims: Claim, **options: Any) -> dict[str, Any]:
    options = {"command": "recops reproduce", "seeds": 3, "callbacks": Watch(), **options}
    return reproduce("a-paper", claims, out, **options)


def tuned(name: str, **settings: Any) -> Arm:
    return Arm(name, "sasrec", {**SMALL, **settings}, {"learning_rate": (0.0, 1e-2)})


def test_a_claim_end_to_end(data: str, tmp_path: Path) -> None:
    one_trial = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    watch = Watch()
    measure(tmp_path, claim(data, one_trial, POPULARITY), callbacks=watch)
    content: Any = read_results(tmp_path)
    assert set(content) == {"paper", "claims", "floors", "tables", "command", "seconds"}
    (found,) = content["claims"]
    assert set(found) == {
        *("id", "text", "source", "reported", "measured", "interval", "seeds", "data", "verdict"),
        "power",
    }
    assert (found["verdict"], found["seeds"], found["data"]) == ("holds", 3, data)

    # What it says is what the runs left: paired by seed, on test.
    figures = {
        (run.model, run.seed): read_json(
            tmp_path / "runs" / run.key / "metrics.json", kind="metrics"
        )["test"]["ndcg@10"]
        for run in watch.begun
        if run.test
    }
    differences = [figures["sasrec", seed] - figures["popularity", seed] for seed in range(3)]
    assert content["tables"]["differences"][0]["per_seed"] == differences
    assert found["measured"] == pytest.approx(np.mean(differences))
    (difference,) = content["tables"]["differences"]
    low, high = difference["users_interval"]
    assert found["interval"][0] < low < found["measured"] < high < found["interval"][1]
    assert difference["p"] == difference["p_holm"] < 0.05
    assert 0 < found["power"] < 2 * found["measured"]
    assert 2 <= difference["seeds_needed"] <= 6

    assert set(content["floors"][data]) == {"popularity", "last item"}
    told = (tmp_path / "results.md").read_text()
    assert "| floor: last item |" in told
    assert f"{found['measured']:+.4f}" in told
    assert "**holds**" in told
    assert "Quick:" not in told


def test_trials_are_chosen_on_validation_and_never_see_test(data: str, tmp_path: Path) -> None:
    watch = Watch()
    rival = tuned("untrained", epochs=1)
    content = measure(tmp_path, claim(data, SASREC, rival), callbacks=watch)
    trials = [run for run in watch.begun if not run.test]
    assert len(trials) == 4
    for trial in trials:
        folder = tmp_path / "runs" / trial.key
        assert read_json(folder / "metrics.json", kind="metrics")["test"] == {}
        assert not (folder / "predictions.parquet").exists()
    assert content["tables"]["arms"][0]["settings"]["learning_rate"] == "0.01"
    assert {run.seed for run in trials}.isdisjoint(run.seed for run in watch.begun if run.test)
    assert watch.ahead == list(range(10, 0, -1))


def test_an_interrupted_reproduction_goes_on_to_the_same_results(data: str, tmp_path: Path) -> None:
    one = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    narrow = Arm("narrow", "sasrec", {**SMALL, "width": 4})
    asked = claim(data, one, narrow)
    expected = measure(tmp_path / "whole", asked, seeds=2)
    out, stopped, resumed, again = tmp_path / "parts", Watch(stop_in=3), Watch(), Watch()
    with pytest.raises(KeyboardInterrupt):
        measure(out, asked, seeds=2, callbacks=stopped)
    assert not (out / "results.json").exists()
    found = measure(out, asked, seeds=2, callbacks=resumed, resume=True)
    assert stopped.begun[:2] + resumed.begun == list(dict.fromkeys(stopped.begun + resumed.begun))
    assert (len(stopped.begun), len(resumed.begun)) == (3, 2)
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    for run in resumed.begun:
        name = f"runs/{run.key}/predictions.parquet"
        assert read_table(out / name).equals(read_table(tmp_path / "whole" / name))
    assert measure(out, asked, seeds=2, callbacks=again, resume=True) == found
    assert not again.begun
    more = Watch()
    measure(out, asked, seeds=3, callbacks=more, resume=True)
    assert [run.seed for run in more.begun] == [2, 2]
    fresh = Watch()
    measure(out, asked, seeds=2, callbacks=fresh)
    assert len(fresh.begun) == 4


def test_claims_share_the_runs_they_have_in_common(data: str, tmp_path: Path) -> None:
    one = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2, "epochs": 12, "width": 16})
    watch = Watch()
    content = measure(
        tmp_path,
        claim(data, one, POPULARITY),
        claim(data, POPULARITY, one, id="mirrored", metric="hr@10"),
        claim(data, one, Arm("itself", "sasrec", one.settings), id="null", metric="coverage"),
        seeds=2,
        callbacks=watch,
    )
    assert len(watch.begun) == 4
    verdicts = [found["verdict"] for found in content["claims"]]
    assert verdicts == ["holds", "fails", "inconclusive"]
    assert content["tables"]["differences"][2]["users_interval"] is None


def test_a_page_says_where_counting_is_enough(data: str, tmp_path: Path) -> None:
    """What comes next on a ring the last item tells, popularity does not."""
    asked = claim(data, POPULARITY, Arm("again", "popularity"))
    content = measure(tmp_path, asked)
    assert content["floors"][data]["last item"] > content["floors"][data]["popularity"]
    told = (tmp_path / "results.md").read_text()
    line = f"**On {data} no arm beats the floors in ndcg@10**: the floor last item has"
    assert line in told
    assert told.index(line) < told.index("## Verdicts")
    one = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2, "epochs": 12, "width": 16})
    beaten = {"data": data, "label": "", "name": "nobody", "test": {"ndcg@10": 0.01}}
    content = measure(tmp_path / "b", claim(data, one, POPULARITY), seeds=2)
    content["tables"]["floors"] = [beaten]
    assert "no arm beats" not in page(content)
    tables = content["tables"]
    tables["measured"].append({"seeds": 2, "mean": {"ndcg@10": 0.001}, "std": {"ndcg@10": 0.0}})
    worse = {"id": "other", "settings": {"width": "4"}, "measured": len(tables["measured"]) - 1}
    tables["arms"].append({**tables["arms"][0], **worse})  # Selected by another claim's metric.
    tables["arms"][1]["measured"] = worse["measured"]
    assert "no arm beats" not in page(content)


def test_each_claim_has_its_own_number_of_seeds(data: str, tmp_path: Path) -> None:
    """What two claims share is run once."""
    one = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    wide = Arm("wide", "sasrec", {**SMALL, "learning_rate": 1e-2, "width": 12})
    watch = Watch()
    content = measure(
        tmp_path,
        claim(data, one, POPULARITY, seeds=3),
        claim(data, one, wide, id="width", seeds=2),
        seeds=None,
        callbacks=watch,
    )
    assert [found["seeds"] for found in content["claims"]] == [3, 2]
    assert len(watch.begun) == 3 + 3 + 2
    assert {run.seed for run in watch.begun if dict(run.settings).get("width") == "12"} == {0, 1}


def test_quick_tunes_nothing(data: str, tmp_path: Path) -> None:
    watch = Watch()
    asked = claim(data, SASREC, tuned("narrow", width=4))
    content = measure(tmp_path, asked, seeds=None, quick=True, callbacks=watch)
    assert len(watch.begun) == 4
    assert content["claims"][0]["seeds"] == 2
    assert "no evidence" in (tmp_path / "results.md").read_text()
    rows = read_json(tmp_path / "runs" / watch.begun[0].key / "curves.json", kind="curves")["rows"]
    assert len(rows) == 2


def test_the_first_claim_of_dien(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the command line, on people who like either half of the items, and always will."""
    rng = np.random.default_rng(0)
    rows = ["user_id,item_id,timestamp,label"]
    for step in range(40):
        for user, item in enumerate(rng.integers(20, size=30)):
            rows.append(f"{user},{item},{1000 * step + user},{int(item % 2 == user % 2)}")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "interactions.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out"
    command = ["reproduce", "dien", "--quick", "--data", str(tmp_path / "shop"), "--out", str(out)]
    assert cli.run(command) == 0
    said = capsys.readouterr()
    assert "6 ahead: measured, dien on" in said.err
    assert "1 ahead, about" in said.err
    content = read_results(out)
    assert content["claims"][0]["id"] == "dien-beats-din"
    for found, difference in zip(content["claims"], content["tables"]["differences"], strict=True):
        assert found["verdict"] in said.out
        assert difference["metric"] == "auc"
        assert len(difference["users_interval"]) == 2
    models = [arm["model"] for arm in content["tables"]["arms"]]
    assert models == ["dien", "din", "din", "sum-pool"]
    assert "no evidence" in said.out
    written = (out / "results.json").read_text()
    assert cli.run([*command, "--resume"]) == 0
    assert "ahead" not in capsys.readouterr().err
    assert (out / "results.json").read_text() == written


@pytest.mark.parametrize(
    ("measured", "direction", "minimum", "allowance", "p", "expected"),
    [
        (0.03, "higher", 0.0, 0.0, 0.04, "holds"),
        (0.03, "higher", 0.0, 0.0, 0.05, "inconclusive"),
        (0.03, "higher", 0.04, 0.0, 0.04, "fails"),
        (-0.03, "higher", 0.0, 0.0, 0.04, "fails"),
        (-0.03, "lower", 0.0, 0.0, 0.04, "holds"),
        (0.03, "lower", 0.0, 0.0, 0.04, "fails"),
        (-0.01, "higher", 0.0, 0.02, 0.04, "holds"),
        (-0.03, "higher", 0.0, 0.02, 0.04, "fails"),
        (0.01, "lower", 0.0, 0.02, 0.04, "holds"),
        (0.03, "lower", 0.0, 0.02, 0.04, "fails"),
    ],
)
def test_verdicts(
    measured: float, direction: Any, minimum: float, allowance: float, p: float, expected: str
) -> None:
    changes = {"direction": direction, "minimum": minimum, "allowance": allowance}
    assert verdict(claim("x", SASREC, tuned("b"), **changes), measured, p) == expected


def test_verdicts_count_the_claims_of_their_page(data: str, tmp_path: Path) -> None:
    """A claim that holds alone does not beside many that cannot."""
    one = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    again = [
        claim(data, one, Arm("itself", "sasrec", one.settings), id=f"null {number}")
        for number in range(40)
    ]
    alone = measure(tmp_path, claim(data, one, POPULARITY))
    p_value = alone["tables"]["differences"][0]["p"]
    content = measure(tmp_path, claim(data, one, POPULARITY), *again, resume=True)
    found, *nulls = content["tables"]["differences"]
    assert found["p"] == p_value < 0.05
    assert found["p_holm"] == pytest.approx(min(1, 41 * p_value))
    assert content["claims"][0]["power"] > alone["claims"][0]["power"]
    assert {null["p_holm"] for null in nulls} == {1.0}
    assert "(not decidable with 1,000 seeds)" in (tmp_path / "results.md").read_text()


def test_unfair_claims_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the same number of trials, got .*'fewer': 1"):
        claim("x", SASREC, Arm("fewer", "sasrec", {}, {"learning_rate": (1e-3,)}))
    claim("x", SASREC, POPULARITY)  # There is nothing to tune about it.
    with pytest.raises(ValueError, match="with different names"):
        claim("x", SASREC, SASREC)
    with pytest.raises(ValueError, match="two or more"):
        claim("x", SASREC)
    with pytest.raises(ValueError, match="tuning_seeds must be ≥ 1, got 0"):
        claim("x", SASREC, tuned("b"), tuning_seeds=0)
    with pytest.raises(ValueError, match="minimum"):
        claim("x", SASREC, tuned("b"), minimum=-0.1)
    for changes in ({"allowance": -0.1}, {"allowance": 0.1, "minimum": 0.1}):
        with pytest.raises(ValueError, match="allowance"):
            claim("x", SASREC, tuned("b"), **changes)


def test_the_time_left_goes_by_the_runs_most_alike() -> None:
    plan = Plan([claim("x", POPULARITY, Arm("SASRec", "sasrec"), seeds=2)])
    first, second, *_ = plan.ahead({})
    assert seconds_left(plan.ahead({}), {}) is None
    done = {first: Record({"ndcg@10": 0.1}, {}, 1.0)}
    assert seconds_left(plan.ahead(done), done) == 3.0
    done[second] = Record({"ndcg@10": 0.1}, {}, 10.0)
    assert seconds_left(plan.ahead(done), done) == 11.0


def test_other_peoples_files_are_left_alone(data: str, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    asked = claim(data, POPULARITY, Arm("again", "popularity"))
    with pytest.raises(ValueError, match="must be empty or hold a reproduction"):
        measure(tmp_path, asked)
    measure(tmp_path / "out", asked)
    with pytest.raises(ValueError, match="must hold runs of another, got those of a-paper"):
        reproduce("another", [asked], tmp_path / "out", command="", callbacks=Watch())


def test_runs_are_lines_of_which_a_torn_last_one_is_made_again(data: str, tmp_path: Path) -> None:
    asked = claim(data, POPULARITY, Arm("again", "popularity"))
    expected = measure(tmp_path, asked)
    runs = tmp_path / "runs.jsonl"
    whole = runs.read_bytes()
    lines = [json.loads(line) for line in whole.splitlines()]
    assert [line["seed"] for line in lines] == [0, 1, 2]
    runs.write_bytes(whole[:-20])
    watch = Watch()
    assert measure(tmp_path, asked, resume=True, callbacks=watch)["claims"] == expected["claims"]
    assert [run.seed for run in watch.begun] == [2]
    assert watch.notes == [f"{runs}: the last line is truncated; its run is repeated"]
    # The last run took another time.
    assert runs.read_bytes().splitlines()[:2] == whole.splitlines()[:2]
    watch = Watch()
    measure(tmp_path, asked, resume=True, callbacks=watch)
    assert (watch.begun, watch.notes) == ([], [])


def test_runs_on_other_data_are_not_gone_on_with(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    write_shop(shop)
    asked = claim(str(shop), POPULARITY, Arm("again", "popularity"))
    out = tmp_path / "out"
    measure(out, asked)
    measure(out, asked, resume=True)
    write_shop(shop, events=10)
    with pytest.raises(ValueError, match=r"holds runs on other data named .*shop"):
        measure(out, asked, resume=True)
    measure(out, asked)


def test_lines_alone_are_enough_to_go_on(data: str, tmp_path: Path) -> None:
    """Committed, and taken up elsewhere: figures and their intervals are the same."""
    one = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    expected = measure(tmp_path / "a", claim(data, one, POPULARITY), seeds=2)
    elsewhere = tmp_path / "b"
    elsewhere.mkdir()
    for name in ("runs.jsonl", "reproduction.json"):
        (elsewhere / name).write_bytes((tmp_path / "a" / name).read_bytes())
    watch = Watch()
    found = measure(elsewhere, claim(data, one, POPULARITY), seeds=2, resume=True, callbacks=watch)
    assert not watch.begun
    assert found == expected
    assert found["tables"]["differences"][0]["users_interval"] is not None


def test_a_damaged_line_is_named(data: str, tmp_path: Path) -> None:
    asked = claim(data, POPULARITY, Arm("again", "popularity"))
    measure(tmp_path, asked)
    runs = tmp_path / "runs.jsonl"
    whole = runs.read_text()
    first = whole.index("0.")
    for broken in (
        whole[:first] + "1." + whole[first + 2 :],
        whole.replace("seconds", "minutes"),
        "[]\n" + whole,
    ):
        runs.write_text(broken)
        with pytest.raises(CorruptFileError, match=r"runs.jsonl, line \d: damaged"):
            measure(tmp_path, asked, resume=True)
    content = {**json.loads(whole.splitlines()[0]), "version": 2}
    runs.write_text(json.dumps(content) + "\n")
    with pytest.raises(CorruptFileError, match="line 1: runs format 2"):
        measure(tmp_path, asked, resume=True)


def test_runs_side_by_side_give_the_same_bits(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    asked = claim(data, SASREC, tuned("narrow", width=4))
    expected = measure(tmp_path / "one", asked, seeds=2)
    watch = Watch()
    found = measure(tmp_path / "two", asked, seeds=2, jobs=2, callbacks=watch)
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    assert len(watch.begun) == len(set(watch.begun)) == 8
    assert watch.worker_threads == {str(threads_per_job(2))}
    assert re.fullmatch(r"2 jobs on \d+ cores: .* at most \d+ per job", watch.notes[0])
    # No arm is measured before its trials have told by which settings.
    assert [run.test for run in watch.begun] == [False] * 4 + [True] * 4


def test_what_names_a_default_is_run_and_timed_once(data: str, tmp_path: Path) -> None:
    arms = (Arm("as it is", "sasrec", SMALL), Arm("said", "sasrec", {**SMALL, "dropout": "0.10"}))
    watch = Watch()
    found = measure(tmp_path, claim(data, *arms), seeds=2, jobs=2, callbacks=watch)
    assert [run.seed for run in watch.begun] == [0, 1]
    assert watch.ahead == [2, 1]
    assert found["claims"][0]["measured"] == 0
    kept = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert found["seconds"] == pytest.approx(sum(run["seconds"] for run in kept), abs=0.1)


def test_an_error_in_one_of_two_processes_ends_both(data: str, tmp_path: Path) -> None:
    arms = (Arm("a", "unirec", {"attributes": "colour"}), Arm("b", "sasrec", SMALL))
    with pytest.raises(DataError, match="colour"):
        measure(tmp_path, claim(data, *arms), jobs=2)
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]


class InterruptedBy(Watch):
    """As Ctrl-C, once so many runs have begun."""

    def start(self, stage: str, **details: Any) -> None:
        super().start(stage, **details)
        if len(self.begun) == self.stop_in:
            raise KeyboardInterrupt


def test_interrupted_side_by_side_it_goes_on_to_the_same(data: str, tmp_path: Path) -> None:
    asked = claim(data, tuned("a"), tuned("b", width=4))
    expected = measure(tmp_path / "whole", asked, seeds=2)
    out = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        measure(out, asked, seeds=2, jobs=2, callbacks=InterruptedBy(stop_in=4))
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]
    kept = len((out / "runs.jsonl").read_bytes().splitlines())
    assert kept >= 2
    watch = Watch()
    found = measure(out, asked, seeds=2, jobs=2, resume=True, callbacks=watch)
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    assert len(watch.begun) == 8 - kept


_KILLED = """
import os, signal, sys
from pathlib import Path
from recops_models.callbacks import Callbacks
from recops_evidence import Arm, Claim, reproduce
from recops_evidence.experiments.training import TRAINING, Training

class Killed(Callbacks):
    begun = 0

    def start(self, stage, **details):
        self.begun += 1
        if self.begun == 3:
            os.kill(os.getpid(), signal.SIGKILL)

data, out = sys.argv[1:]
arms = Arm("a", "sasrec", {"width": 8, "epochs": 2}), Arm("b", "popularity")
asked = Claim("ring", "It does.", "here", "+.1", arms, (data,), "ndcg@10", TRAINING)
reproduce("ring", (asked,), Path(out), command="", seeds=3, jobs=2, callbacks=Killed())
"""


def test_killed_it_leaves_no_process_behind(data: str, tmp_path: Path) -> None:
    """Whoever has its output open is still there: reading to the end would wait for them."""
    command = [sys.executable, "-c", _KILLED, data, str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def test_data_that_is_not_at_hand(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path / "nowhere"))
    arms = (POPULARITY, Arm("again", "popularity"))
    with pytest.raises(DataError, match="RECOPS_DATA"):
        measure(tmp_path / "a", claim("beauty", *arms))
    content = measure(tmp_path / "b", claim(data, *arms), claim("beauty", *arms))
    assert content["tables"]["skipped"] == ["beauty: the data is not available"]
    assert len(content["claims"]) == 1


class Bold(Training):
    """At the higher rate every training ends in infinity."""

    def measure(
        self, run: Run, data: Any, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        if dict(run.settings).get("learning_rate") == "0.01":
            raise DivergedError("training: the loss became nan in epoch 1; lower learning_rate")
        return super().measure(run, data, folder, callbacks)


def test_a_trial_that_diverges_loses_and_is_not_made_again(data: str, tmp_path: Path) -> None:
    asked = claim(data, SASREC, POPULARITY, experiment=Bold())
    content = measure(tmp_path, asked)
    (arm,) = (arm for arm in content["tables"]["arms"] if arm["arm"] == "SASRec")
    assert arm["settings"]["learning_rate"] == "0.0"
    again = Watch()
    assert measure(tmp_path, asked, resume=True, callbacks=again)["claims"] == content["claims"]
    assert not again.begun


def test_a_measured_run_that_diverges_ends_the_reproduction(data: str, tmp_path: Path) -> None:
    untuned = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 0.01})
    with pytest.raises(DivergedError, match="the loss became nan"):
        measure(tmp_path, claim(data, untuned, POPULARITY, experiment=Bold()))


def test_a_metric_the_model_lacks(data: str, tmp_path: Path) -> None:
    asked = claim(data, POPULARITY, Arm("again", "popularity"), metric="auc")
    with pytest.raises(ValueError, match="popularity has no 'auc'; it has hr@10"):
        measure(tmp_path, asked)


RESULTS = ROOT / "docs" / "results"


@pytest.mark.parametrize(
    "path",
    sorted(RESULTS.rglob("results.json")),
    ids=lambda path: str(path.parent.relative_to(RESULTS)),
)
def test_committed_results_are_whole_and_of_declared_claims(path: Path) -> None:
    content = read_results(path.parent)
    assert content["paper"] == path.relative_to(RESULTS).parts[0]
    ids = [found["id"] for found in content["claims"]]
    declared = {declared.id: declared for declared in claims_of(content["paper"], ids)}
    for found in content["claims"]:
        assert found["text"] == declared[found["id"]].text
        assert found["data"] in declared[found["id"]].data
    assert path.with_name("results.md").read_text() == page(content)
    assert len(read_seed_values(path.parent)) == len(content["tables"]["measured"])


def test_some_results_are_committed() -> None:
    assert len(list(RESULTS.rglob("results.json"))) >= 10


@pytest.mark.parametrize("paper", papers())
def test_declared_claims_are_whole(paper: str) -> None:
    claims = claims_of(paper)
    assert len({claim.id for claim in claims}) == len(claims) > 0
    for declared in claims:
        assert claims_of(paper, [declared.id]) == (declared,)
        assert declared.text.endswith(".")
        assert declared.source
        assert declared.reported
        json.dumps(declared.reported)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reproduce", "alexnet"], "no claims of 'alexnet'; there are those of age, can"),
        (["reproduce", "dien", "--claims", "nothing"], "dien has no claim 'nothing'"),
        (["reproduce", "dien", "--seeds", "1"], "--seeds"),
        (["reproduce", "dien", "--data", "nowhere"], "no data set and no folder 'nowhere'"),
    ],
)
def test_bad_usage(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("paper", papers())
def test_every_claim_comes_to_a_finding(paper: str) -> None:
    """Of runs that tell what their claims ask for on test, and what trials are chosen by."""
    for declared in claims_of(paper, []):
        quick = declared.quick()
        plan, done = Plan([quick]), {}
        while ahead := plan.ready(done):
            for run in ahead:
                test = {quick.metric: 1.0 + run.seed} if run.test else {}
                told = {} if run.test else {quick.tuned_metric: 1.0}
                done[run] = Record(told, test, 1.0, False, None)
        (found,) = findings(plan, done)
        assert found.measured == 0


def test_a_figure_that_is_not_defined_is_told_and_kept(data: str, tmp_path: Path) -> None:
    class Undefined(Training):
        def measure(self, run: Run, *rest: Any) -> tuple[Metrics, Metrics]:
            return {"ndcg@10": float("nan")}, {"ndcg@10": float("nan")} if run.test else {}

        def user_draws(self, run: Run, folder: Path, test: Metrics) -> None:
            return None

    asked = claim(data, POPULARITY, Arm("again", "popularity", {}), experiment=Undefined(), seeds=2)
    with pytest.raises(ValueError, match="claim ring: ndcg@10 of popularity is not defined in one"):
        reproduce("sasrec", [asked], tmp_path, command="", callbacks=Watch())
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) >= 2


def test_a_run_that_diverges_is_named(data: str, tmp_path: Path) -> None:
    class Bold(Training):
        def measure(self, run: Run, *rest: Any) -> tuple[Metrics, Metrics]:
            raise DivergedError("the loss became nan")

    asked = claim(data, POPULARITY, Arm("again", "popularity", {}), experiment=Bold(), seeds=2)
    with pytest.raises(DivergedError, match=r"popularity on .*shop, seed 0, : the loss became nan"):
        reproduce("sasrec", [asked], tmp_path, command="", callbacks=Watch())


def test_seeds_of_trials_are_not_measured(data: str, tmp_path: Path) -> None:
    asked = claim(data, POPULARITY, Arm("again", "popularity", {}), seeds=2)
    with pytest.raises(ValueError, match="seeds must be below 10,000, the first seed of trials"):
        reproduce("sasrec", [asked], tmp_path, command="", first_seed=9999, callbacks=Watch())


def test_a_new_start_takes_the_old_page_away(data: str, tmp_path: Path) -> None:
    (tmp_path / "reproduction.json").unlink(missing_ok=True)
    asked = claim(data, POPULARITY, Arm("again", "popularity", {}), seeds=2)
    reproduce("sasrec", [asked], tmp_path, command="", callbacks=Watch())
    assert (tmp_path / "results.md").exists()
    RunStore(tmp_path, "sasrec", resume=True)
    assert (tmp_path / "results.md").exists()
    RunStore(tmp_path, "sasrec", resume=False)
    assert not (tmp_path / "results.md").exists()
    assert not (tmp_path / "results.json").exists()
