"""Reproduction of claims: tuning budgets, paired seeds, verdicts and interruption."""

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
from recops_evidence.harness.page import render_page
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
    """Users who walk along a ring of 30 items: SASRec can learn the order, popularity cannot."""
    return write_ring(tmp_path_factory.mktemp("data") / "shop", users=90)


def make_claim(data: str, *arms: Arm, **changes: Any) -> Claim:
    content: dict[str, Any] = {"id": "ring", "text": "It does.", "source": "here"}
    content |= {"reported": "+.1", "metric": "ndcg@10", "experiment": TRAINING}
    content |= {"tuning_seeds": 1, "widenings": 0, **changes}
    return Claim(arms=arms, data=(data,), **content)


class RunRecorder(Callbacks):
    """Callbacks that record started runs and interrupt run number ``stop_at`` half way."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.started: list[Run] = []
        self.worker_threads: set[str | None] = set()
        self.ahead: list[int] = []
        self.notes: list[str] = []
        self.stop_at = stop_at

    def start(self, stage: str, **details: Any) -> None:
        self.started.append(details["run"])
        self.worker_threads.add(os.environ.get("OMP_NUM_THREADS"))
        self.ahead.append(details["ahead"])

    def log_message(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        if len(self.started) == self.stop_at and share > 0.5:
            raise KeyboardInterrupt


def measure(out: Path, *claims: Claim, **options: Any) -> dict[str, Any]:
    options = {"command": "recops reproduce", "seeds": 3, "callbacks": RunRecorder(), **options}
    return reproduce("a-paper", claims, out, **options)


def tuned_arm(name: str, **settings: Any) -> Arm:
    return Arm(name, "sasrec", {**SMALL, **settings}, {"learning_rate": (0.0, 1e-2)})


def test_a_claim_end_to_end(data: str, tmp_path: Path) -> None:
    one_trial = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    recorder = RunRecorder()
    measure(tmp_path, make_claim(data, one_trial, POPULARITY), callbacks=recorder)
    content: Any = read_results(tmp_path)
    assert set(content) == {"paper", "claims", "floors", "tables", "command", "seconds"}
    (result,) = content["claims"]
    assert set(result) == {
        *("id", "text", "source", "reported", "measured", "interval", "seeds", "data", "verdict"),
        "power",
    }
    assert (result["verdict"], result["seeds"], result["data"]) == ("holds", 3, data)

    # The reported differences are those of the stored test metrics, paired by seed.
    test_metrics = {
        (run.model, run.seed): read_json(
            tmp_path / "runs" / run.key / "metrics.json", kind="metrics"
        )["test"]["ndcg@10"]
        for run in recorder.started
        if run.test
    }
    differences = [
        test_metrics["sasrec", seed] - test_metrics["popularity", seed] for seed in range(3)
    ]
    assert content["tables"]["differences"][0]["per_seed"] == differences
    assert result["measured"] == pytest.approx(np.mean(differences))
    (difference,) = content["tables"]["differences"]
    low, high = difference["users_interval"]
    assert result["interval"][0] < low < result["measured"] < high < result["interval"][1]
    assert difference["p"] == difference["p_holm"] < 0.05
    assert 0 < result["power"] < 2 * result["measured"]
    assert 2 <= difference["seeds_needed"] <= 6

    assert set(content["floors"][data]) == {"popularity", "last item"}
    page_text = (tmp_path / "results.md").read_text()
    assert "| floor: last item |" in page_text
    assert f"{result['measured']:+.4f}" in page_text
    assert "**holds**" in page_text
    assert "Quick:" not in page_text


def test_trials_are_selected_on_validation_without_test_metrics(data: str, tmp_path: Path) -> None:
    recorder = RunRecorder()
    rival = tuned_arm("untrained", epochs=1)
    content = measure(tmp_path, make_claim(data, SASREC, rival), callbacks=recorder)
    trials = [run for run in recorder.started if not run.test]
    assert len(trials) == 4
    for trial in trials:
        folder = tmp_path / "runs" / trial.key
        assert read_json(folder / "metrics.json", kind="metrics")["test"] == {}
        assert not (folder / "predictions.parquet").exists()
    assert content["tables"]["arms"][0]["settings"]["learning_rate"] == "0.01"
    assert {run.seed for run in trials}.isdisjoint(run.seed for run in recorder.started if run.test)
    assert recorder.ahead == list(range(10, 0, -1))


@pytest.mark.slow
def test_an_interrupted_reproduction_resumes_to_the_same_results(data: str, tmp_path: Path) -> None:
    sasrec = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    narrow = Arm("narrow", "sasrec", {**SMALL, "width": 4})
    claim = make_claim(data, sasrec, narrow)
    expected = measure(tmp_path / "uninterrupted", claim, seeds=2)
    out = tmp_path / "interrupted"
    stopped, resumed, repeated = RunRecorder(stop_at=3), RunRecorder(), RunRecorder()
    with pytest.raises(KeyboardInterrupt):
        measure(out, claim, seeds=2, callbacks=stopped)
    assert not (out / "results.json").exists()
    result = measure(out, claim, seeds=2, callbacks=resumed, resume=True)
    assert stopped.started[:2] + resumed.started == list(
        dict.fromkeys(stopped.started + resumed.started)
    )
    assert (len(stopped.started), len(resumed.started)) == (3, 2)
    assert {**result, "seconds": 0} == {**expected, "seconds": 0}
    for run in resumed.started:
        name = f"runs/{run.key}/predictions.parquet"
        assert read_table(out / name).equals(read_table(tmp_path / "uninterrupted" / name))
    assert measure(out, claim, seeds=2, callbacks=repeated, resume=True) == result
    assert not repeated.started
    extended = RunRecorder()
    measure(out, claim, seeds=3, callbacks=extended, resume=True)
    assert [run.seed for run in extended.started] == [2, 2]
    restarted = RunRecorder()
    measure(out, claim, seeds=2, callbacks=restarted)
    assert len(restarted.started) == 4


def test_claims_share_their_common_runs(data: str, tmp_path: Path) -> None:
    sasrec = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2, "epochs": 12, "width": 16})
    recorder = RunRecorder()
    content = measure(
        tmp_path,
        make_claim(data, sasrec, POPULARITY),
        make_claim(data, POPULARITY, sasrec, id="mirrored", metric="hr@10"),
        make_claim(
            data, sasrec, Arm("itself", "sasrec", sasrec.settings), id="null", metric="coverage"
        ),
        seeds=2,
        callbacks=recorder,
    )
    assert len(recorder.started) == 4
    verdicts = [result["verdict"] for result in content["claims"]]
    assert verdicts == ["holds", "fails", "inconclusive"]
    assert content["tables"]["differences"][2]["users_interval"] is None


def test_the_page_names_data_on_which_no_arm_beats_the_floors(data: str, tmp_path: Path) -> None:
    """The last item predicts the next one on a ring; popularity does not."""
    claim = make_claim(data, POPULARITY, Arm("again", "popularity"))
    content = measure(tmp_path, claim)
    assert content["floors"][data]["last item"] > content["floors"][data]["popularity"]
    page_text = (tmp_path / "results.md").read_text()
    line = f"**On {data} no arm beats the floors in ndcg@10**: the floor last item has"
    assert line in page_text
    assert page_text.index(line) < page_text.index("## Verdicts")
    sasrec = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2, "epochs": 12, "width": 16})
    weak_floor = {"data": data, "label": "", "name": "nobody", "test": {"ndcg@10": 0.01}}
    content = measure(tmp_path / "b", make_claim(data, sasrec, POPULARITY), seeds=2)
    content["tables"]["floors"] = [weak_floor]
    assert "no arm beats" not in render_page(content)
    tables = content["tables"]
    tables["measured"].append({"seeds": 2, "mean": {"ndcg@10": 0.001}, "std": {"ndcg@10": 0.0}})
    worse = {"id": "other", "settings": {"width": "4"}, "measured": len(tables["measured"]) - 1}
    tables["arms"].append({**tables["arms"][0], **worse})  # Selected by another claim's metric.
    tables["arms"][1]["measured"] = worse["measured"]
    assert "no arm beats" not in render_page(content)


@pytest.mark.slow
def test_each_claim_has_its_own_number_of_seeds(data: str, tmp_path: Path) -> None:
    """Runs that two claims share are executed once."""
    sasrec = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    wide = Arm("wide", "sasrec", {**SMALL, "learning_rate": 1e-2, "width": 12})
    recorder = RunRecorder()
    content = measure(
        tmp_path,
        make_claim(data, sasrec, POPULARITY, seeds=3),
        make_claim(data, sasrec, wide, id="width", seeds=2),
        seeds=None,
        callbacks=recorder,
    )
    assert [result["seeds"] for result in content["claims"]] == [3, 2]
    assert len(recorder.started) == 3 + 3 + 2
    runs_of_wide = [run for run in recorder.started if dict(run.settings).get("width") == "12"]
    assert {run.seed for run in runs_of_wide} == {0, 1}


def test_a_quick_reproduction_skips_tuning(data: str, tmp_path: Path) -> None:
    recorder = RunRecorder()
    claim = make_claim(data, SASREC, tuned_arm("narrow", width=4))
    content = measure(tmp_path, claim, seeds=None, quick=True, callbacks=recorder)
    assert len(recorder.started) == 4
    assert content["claims"][0]["seeds"] == 2
    assert "not evidence" in (tmp_path / "results.md").read_text()
    rows = read_json(tmp_path / "runs" / recorder.started[0].key / "curves.json", kind="curves")[
        "rows"
    ]
    assert len(rows) == 2


@pytest.mark.slow
def test_a_claim_of_dien_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["reproduce", "dien", "--quick", "--out", str(out)]
    assert cli.run(command) == 0
    output = capsys.readouterr()
    assert "4 ahead: measured, dien on interleaved interests" in output.err
    assert "1 ahead, about" in output.err
    content = read_results(out)
    (claim,), (difference,) = content["claims"], content["tables"]["differences"]
    assert claim["id"] == "dien-reads-interests-that-are-interleaved"
    assert claim["verdict"] in output.out
    assert difference["metric"] == "auc"
    assert difference["users_interval"] is None
    models = [arm["model"] for arm in content["tables"]["arms"]]
    assert models == ["dien", "din"]
    assert "not evidence" in output.out
    stored = (out / "results.json").read_text()
    assert cli.run([*command, "--resume", "--json"]) == 0
    again = capsys.readouterr()
    assert "ahead" not in again.err
    assert json.loads(again.out) == {"out": str(out), **content}
    assert (out / "results.json").read_text() == stored


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
    assert verdict(make_claim("x", SASREC, tuned_arm("b"), **changes), measured, p) == expected


def test_p_values_are_adjusted_for_all_claims_of_a_page(data: str, tmp_path: Path) -> None:
    """Next to 40 null claims, the p value of a claim that holds alone is multiplied by 41."""
    sasrec = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    null_claims = [
        make_claim(data, sasrec, Arm("itself", "sasrec", sasrec.settings), id=f"null {number}")
        for number in range(40)
    ]
    alone = measure(tmp_path, make_claim(data, sasrec, POPULARITY))
    p_value = alone["tables"]["differences"][0]["p"]
    content = measure(tmp_path, make_claim(data, sasrec, POPULARITY), *null_claims, resume=True)
    effect, *nulls = content["tables"]["differences"]
    assert effect["p"] == p_value < 0.05
    assert effect["p_holm"] == pytest.approx(min(1, 41 * p_value))
    assert content["claims"][0]["power"] > alone["claims"][0]["power"]
    assert {null["p_holm"] for null in nulls} == {1.0}
    assert "(not decidable with 1,000 seeds)" in (tmp_path / "results.md").read_text()


def test_unfair_claims_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the same number of trials, got .*'fewer': 1"):
        make_claim("x", SASREC, Arm("fewer", "sasrec", {}, {"learning_rate": (1e-3,)}))
    make_claim("x", SASREC, POPULARITY)  # Popularity has no settings to tune.
    with pytest.raises(ValueError, match="with different names"):
        make_claim("x", SASREC, SASREC)
    with pytest.raises(ValueError, match="two or more"):
        make_claim("x", SASREC)
    with pytest.raises(ValueError, match="tuning_seeds must be ≥ 1, got 0"):
        make_claim("x", SASREC, tuned_arm("b"), tuning_seeds=0)
    with pytest.raises(ValueError, match="minimum"):
        make_claim("x", SASREC, tuned_arm("b"), minimum=-0.1)
    for changes in ({"allowance": -0.1}, {"allowance": 0.1, "minimum": 0.1}):
        with pytest.raises(ValueError, match="allowance"):
            make_claim("x", SASREC, tuned_arm("b"), **changes)


def test_the_remaining_time_is_estimated_from_similar_runs() -> None:
    plan = Plan([make_claim("x", POPULARITY, Arm("SASRec", "sasrec"), seeds=2)])
    first, second, *_ = plan.ahead({})
    assert seconds_left(plan.ahead({}), {}) is None
    records = {first: Record({"ndcg@10": 0.1}, {}, 1.0)}
    assert seconds_left(plan.ahead(records), records) == 3.0
    records[second] = Record({"ndcg@10": 0.1}, {}, 10.0)
    assert seconds_left(plan.ahead(records), records) == 11.0


def test_a_folder_with_other_files_is_refused(data: str, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    claim = make_claim(data, POPULARITY, Arm("again", "popularity"))
    with pytest.raises(ValueError, match="must be empty or hold a reproduction"):
        measure(tmp_path, claim)
    measure(tmp_path / "out", claim)
    with pytest.raises(ValueError, match="must hold runs of another, got those of a-paper"):
        reproduce("another", [claim], tmp_path / "out", command="", callbacks=RunRecorder())


def test_the_run_of_a_truncated_last_line_is_repeated(data: str, tmp_path: Path) -> None:
    claim = make_claim(data, POPULARITY, Arm("again", "popularity"))
    expected = measure(tmp_path, claim)
    runs = tmp_path / "runs.jsonl"
    stored = runs.read_bytes()
    lines = [json.loads(line) for line in stored.splitlines()]
    assert [line["seed"] for line in lines] == [0, 1, 2]
    runs.write_bytes(stored[:-20])
    recorder = RunRecorder()
    assert measure(tmp_path, claim, resume=True, callbacks=recorder)["claims"] == expected["claims"]
    assert [run.seed for run in recorder.started] == [2]
    assert recorder.notes == [f"{runs}: the last line is truncated; its run is repeated"]
    # The repeated run may store another duration.
    assert runs.read_bytes().splitlines()[:2] == stored.splitlines()[:2]
    recorder = RunRecorder()
    measure(tmp_path, claim, resume=True, callbacks=recorder)
    assert (recorder.started, recorder.notes) == ([], [])


def test_resuming_on_other_data_is_refused(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    write_shop(shop)
    claim = make_claim(str(shop), POPULARITY, Arm("again", "popularity"))
    out = tmp_path / "out"
    measure(out, claim)
    measure(out, claim, resume=True)
    write_shop(shop, events=10)
    with pytest.raises(ValueError, match=r"holds runs on other data named .*shop"):
        measure(out, claim, resume=True)
    measure(out, claim)


def test_a_reproduction_resumes_from_its_run_lines_alone(data: str, tmp_path: Path) -> None:
    """Without the folders of the runs, all metrics and intervals are the same."""
    sasrec = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    expected = measure(tmp_path / "a", make_claim(data, sasrec, POPULARITY), seeds=2)
    copy = tmp_path / "b"
    copy.mkdir()
    for name in ("runs.jsonl", "reproduction.json"):
        (copy / name).write_bytes((tmp_path / "a" / name).read_bytes())
    recorder = RunRecorder()
    resumed = measure(
        copy, make_claim(data, sasrec, POPULARITY), seeds=2, resume=True, callbacks=recorder
    )
    assert not recorder.started
    assert resumed == expected
    assert resumed["tables"]["differences"][0]["users_interval"] is not None


def test_a_damaged_line_is_named(data: str, tmp_path: Path) -> None:
    claim = make_claim(data, POPULARITY, Arm("again", "popularity"))
    measure(tmp_path, claim)
    runs = tmp_path / "runs.jsonl"
    stored = runs.read_text()
    offset = stored.index("0.")
    for damaged in (
        stored[:offset] + "1." + stored[offset + 2 :],
        stored.replace("seconds", "minutes"),
        "[]\n" + stored,
    ):
        runs.write_text(damaged)
        with pytest.raises(CorruptFileError, match=r"runs.jsonl, line \d: damaged"):
            measure(tmp_path, claim, resume=True)
    content = {**json.loads(stored.splitlines()[0]), "version": 2}
    runs.write_text(json.dumps(content) + "\n")
    with pytest.raises(CorruptFileError, match="line 1: runs format 2"):
        measure(tmp_path, claim, resume=True)


@pytest.mark.slow
def test_parallel_jobs_give_the_same_results(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    claim = make_claim(data, SASREC, tuned_arm("narrow", width=4))
    expected = measure(tmp_path / "one", claim, seeds=2)
    recorder = RunRecorder()
    parallel = measure(tmp_path / "two", claim, seeds=2, jobs=2, callbacks=recorder)
    assert {**parallel, "seconds": 0} == {**expected, "seconds": 0}
    assert len(recorder.started) == len(set(recorder.started)) == 8
    assert recorder.worker_threads == {str(threads_per_job(2))}
    assert re.fullmatch(r"2 jobs on \d+ cores: .* at most \d+ per job", recorder.notes[0])
    # All trials finish first, because they select the settings of the measured runs.
    assert [run.test for run in recorder.started] == [False] * 4 + [True] * 4


@pytest.mark.slow
def test_an_explicit_default_shares_runs_with_the_implicit_one(data: str, tmp_path: Path) -> None:
    arms = (
        Arm("implicit", "sasrec", SMALL),
        Arm("explicit", "sasrec", {**SMALL, "dropout": "0.10"}),
    )
    recorder = RunRecorder()
    result = measure(tmp_path, make_claim(data, *arms), seeds=2, jobs=2, callbacks=recorder)
    assert [run.seed for run in recorder.started] == [0, 1]
    assert recorder.ahead == [2, 1]
    assert result["claims"][0]["measured"] == 0
    records = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert result["seconds"] == pytest.approx(sum(run["seconds"] for run in records), abs=0.1)


def test_an_error_in_one_process_ends_both(data: str, tmp_path: Path) -> None:
    arms = (Arm("a", "unirec", {"attributes": "colour"}), Arm("b", "sasrec", SMALL))
    with pytest.raises(DataError, match="colour"):
        measure(tmp_path, make_claim(data, *arms), jobs=2)
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]


class InterruptingRecorder(RunRecorder):
    """Recorder that raises ``KeyboardInterrupt`` when run number ``stop_at`` starts."""

    def start(self, stage: str, **details: Any) -> None:
        super().start(stage, **details)
        if len(self.started) == self.stop_at:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_interrupted_parallel_jobs_resume_to_the_same_results(data: str, tmp_path: Path) -> None:
    claim = make_claim(data, tuned_arm("a"), tuned_arm("b", width=4))
    expected = measure(tmp_path / "uninterrupted", claim, seeds=2)
    out = tmp_path / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        measure(out, claim, seeds=2, jobs=2, callbacks=InterruptingRecorder(stop_at=4))
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]
    finished = len((out / "runs.jsonl").read_bytes().splitlines())
    assert finished >= 2
    recorder = RunRecorder()
    resumed = measure(out, claim, seeds=2, jobs=2, resume=True, callbacks=recorder)
    assert {**resumed, "seconds": 0} == {**expected, "seconds": 0}
    assert len(recorder.started) == 8 - finished


_KILLED = """
import os, signal, sys
from pathlib import Path
from recops_models.callbacks import Callbacks
from recops_evidence import Arm, Claim, reproduce
from recops_evidence.experiments.training import TRAINING, Training

class KillAtThirdRun(Callbacks):
    started = 0

    def start(self, stage, **details):
        self.started += 1
        if self.started == 3:
            os.kill(os.getpid(), signal.SIGKILL)

data, out = sys.argv[1:]
arms = Arm("a", "sasrec", {"width": 8, "epochs": 2}), Arm("b", "popularity")
claim = Claim("ring", "It does.", "here", "+.1", arms, (data,), "ndcg@10", TRAINING)
reproduce("ring", (claim,), Path(out), command="", seeds=3, jobs=2, callbacks=KillAtThirdRun())
"""


@pytest.mark.slow
def test_a_killed_reproduction_leaves_no_process(data: str, tmp_path: Path) -> None:
    """Reading the output to its end would time out while a child process holds it open."""
    command = [sys.executable, "-c", _KILLED, data, str(tmp_path / "out")]
    killed = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


def test_unavailable_data_is_skipped_or_refused(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path / "nowhere"))
    arms = (POPULARITY, Arm("again", "popularity"))
    with pytest.raises(DataError, match="RECOPS_DATA"):
        measure(tmp_path / "a", make_claim("beauty", *arms))
    content = measure(tmp_path / "b", make_claim(data, *arms), make_claim("beauty", *arms))
    assert content["tables"]["skipped"] == ["beauty: the data is not available"]
    assert len(content["claims"]) == 1


class DivergingTraining(Training):
    """Training that diverges at the higher learning rate."""

    def measure(
        self, run: Run, data: Any, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        if dict(run.settings).get("learning_rate") == "0.01":
            raise DivergedError("training: the loss became nan in epoch 1; lower learning_rate")
        return super().measure(run, data, folder, callbacks)


def test_a_diverged_trial_loses_and_is_not_repeated(data: str, tmp_path: Path) -> None:
    claim = make_claim(data, SASREC, POPULARITY, experiment=DivergingTraining())
    content = measure(tmp_path, claim)
    (arm,) = (arm for arm in content["tables"]["arms"] if arm["arm"] == "SASRec")
    assert arm["settings"]["learning_rate"] == "0.0"
    resumed = RunRecorder()
    assert measure(tmp_path, claim, resume=True, callbacks=resumed)["claims"] == content["claims"]
    assert not resumed.started


def test_a_measured_run_that_diverges_ends_the_reproduction(data: str, tmp_path: Path) -> None:
    untuned = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 0.01})
    with pytest.raises(DivergedError, match="the loss became nan"):
        measure(tmp_path, make_claim(data, untuned, POPULARITY, experiment=DivergingTraining()))


def test_a_metric_that_the_model_lacks_is_refused(data: str, tmp_path: Path) -> None:
    claim = make_claim(data, POPULARITY, Arm("again", "popularity"), metric="auc")
    with pytest.raises(ValueError, match="popularity has no 'auc'; it has hr@10"):
        measure(tmp_path, claim)


RESULTS = ROOT / "docs" / "results"
OTHERS = ("league", "memory")
"""Folders whose results have another form, and tests of their own."""


@pytest.mark.parametrize(
    "path",
    sorted(path for path in RESULTS.rglob("results.json") if path.parent.name not in OTHERS),
    ids=lambda path: str(path.parent.relative_to(RESULTS)),
)
def test_committed_results_are_complete_and_match_declared_claims(path: Path) -> None:
    content = read_results(path.parent)
    assert content["paper"] == path.relative_to(RESULTS).parts[0]
    ids = [result["id"] for result in content["claims"]]
    declared = {declared.id: declared for declared in claims_of(content["paper"], ids)}
    for result in content["claims"]:
        assert result["text"] == declared[result["id"]].text
        assert result["data"] in declared[result["id"]].data
    assert path.with_name("results.md").read_text() == render_page(content)
    assert len(read_seed_values(path.parent)) == len(content["tables"]["measured"])


def test_some_results_are_committed() -> None:
    assert len(list(RESULTS.rglob("results.json"))) >= 10


@pytest.mark.parametrize("paper", papers())
def test_declared_claims_are_complete(paper: str) -> None:
    claims = claims_of(paper)
    assert len({declared.id for declared in claims}) == len(claims) > 0
    for declared in claims:
        assert claims_of(paper, [declared.id]) == (declared,)
        assert declared.text.endswith(".")
        assert declared.source
        assert declared.reported
        json.dumps(declared.reported)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "alexnet"], "no claims of 'alexnet'; available: age, can"),
        (["reproduce", "dien", "--claims", "nothing"], "dien has no claim 'nothing'"),
        (["reproduce", "dien", "--seeds", "1"], "--seeds"),
        (["reproduce", "rocket", "--data", "nowhere"], "no data set and no folder 'nowhere'"),
    ],
)
def test_bad_usage(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("paper", papers())
def test_every_claim_produces_a_finding(paper: str) -> None:
    """Runs report only the metric of their claim, and trials only the metric that selects them."""
    for declared in claims_of(paper, []):
        quick = declared.quick()
        plan, records = Plan([quick]), {}
        while ready := plan.ready(records):
            for run in ready:
                test = {quick.metric: 1.0 + run.seed} if run.test else {}
                validation = {} if run.test else {quick.tuned_metric: 1.0}
                records[run] = Record(validation, test, 1.0, False, None)
        (finding,) = findings(plan, records)
        assert finding.measured == 0


def test_an_undefined_metric_is_refused_and_its_runs_are_stored(data: str, tmp_path: Path) -> None:
    class Undefined(Training):
        def measure(self, run: Run, *arguments: Any) -> tuple[Metrics, Metrics]:
            return {"ndcg@10": float("nan")}, {"ndcg@10": float("nan")} if run.test else {}

        def user_draws(self, run: Run, folder: Path, test: Metrics) -> None:
            return None

    claim = make_claim(
        data, POPULARITY, Arm("again", "popularity", {}), experiment=Undefined(), seeds=2
    )
    with pytest.raises(ValueError, match="claim ring: ndcg@10 of popularity is not defined in one"):
        reproduce("sasrec", [claim], tmp_path, command="", callbacks=RunRecorder())
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) >= 2


def test_the_error_of_a_diverged_run_names_the_run(data: str, tmp_path: Path) -> None:
    class DivergingTraining(Training):
        def measure(self, run: Run, *arguments: Any) -> tuple[Metrics, Metrics]:
            raise DivergedError("the loss became nan")

    claim = make_claim(
        data, POPULARITY, Arm("again", "popularity", {}), experiment=DivergingTraining(), seeds=2
    )
    with pytest.raises(DivergedError, match=r"popularity on .*shop, seed 0, : the loss became nan"):
        reproduce("sasrec", [claim], tmp_path, command="", callbacks=RunRecorder())


def test_measured_seeds_must_be_below_those_of_trials(data: str, tmp_path: Path) -> None:
    claim = make_claim(data, POPULARITY, Arm("again", "popularity", {}), seeds=2)
    with pytest.raises(ValueError, match="seeds must be below 10,000, the first seed of trials"):
        reproduce("sasrec", [claim], tmp_path, command="", first_seed=9999, callbacks=RunRecorder())


def test_a_restart_deletes_the_old_page(data: str, tmp_path: Path) -> None:
    (tmp_path / "reproduction.json").unlink(missing_ok=True)
    claim = make_claim(data, POPULARITY, Arm("again", "popularity", {}), seeds=2)
    reproduce("sasrec", [claim], tmp_path, command="", callbacks=RunRecorder())
    assert (tmp_path / "results.md").exists()
    RunStore(tmp_path, "sasrec", resume=True)
    assert (tmp_path / "results.md").exists()
    RunStore(tmp_path, "sasrec", resume=False)
    assert not (tmp_path / "results.md").exists()
    assert not (tmp_path / "results.json").exists()
