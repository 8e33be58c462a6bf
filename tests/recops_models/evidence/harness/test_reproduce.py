"""Claims as experiments: budgets, pairing, verdicts, interruption. SASRec against popularity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recops.files import CorruptFileError, read_json
from recops_models import cli
from recops_models.claims import claims_of, papers
from recops_models.data import DataError
from recops_models.data.storage import read_table
from recops_models.evidence import Arm, Claim, reproduce
from recops_models.evidence.experiments.training import TRAINING
from recops_models.evidence.harness.experiment import Run
from recops_models.evidence.harness.page import page
from recops_models.evidence.harness.plan import Plan, seconds_left
from recops_models.evidence.harness.run_store import Record
from recops_models.evidence.harness.verdict import verdict
from synthetic_histories import write_ring

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[4]
SMALL = {"width": 8, "heads": 2, "history": 6, "epochs": 3, "dropout": 0.1}
SASREC = Arm("SASRec", "sasrec", SMALL, {"learning_rate": (0.0, 1e-2)})
POPULARITY = Arm("popularity", "popularity")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Users who walk along a ring of 30 items, which SASRec can learn and popularity cannot."""
    return write_ring(tmp_path_factory.mktemp("data") / "shop", users=90)


def claim(data: str, *arms: Arm, **changes: Any) -> Claim:
    content: dict[str, Any] = {"id": "ring", "text": "It does.", "source": "here"}
    content |= {"reported": "+.1", "metric": "ndcg@10", "experiment": TRAINING, **changes}
    return Claim(arms=arms, data=(data,), **content)


class Watch:
    """Notes the runs that begin; stops the one numbered ``stop_in`` half way."""

    def __init__(self, stop_in: int | None = None) -> None:
        self.begun: list[Run] = []
        self.ahead: list[int] = []
        self.stop_in = stop_in

    def start(self, run: Run, ahead: int, seconds: float | None) -> None:
        self.begun.append(run)
        self.ahead.append(ahead)

    def advance(self, share: float) -> None:
        if len(self.begun) == self.stop_in and share > 0.5:
            raise KeyboardInterrupt


def measure(out: Path, *claims: Claim, **options: Any) -> dict[str, Any]:
    options = {"command": "recops reproduce", "seeds": 3, "progress": Watch(), **options}
    return reproduce("a-paper", claims, out, **options)


def tuned(name: str, **settings: Any) -> Arm:
    return Arm(name, "sasrec", {**SMALL, **settings}, {"learning_rate": (0.0, 1e-2)})


def test_a_claim_end_to_end(data: str, tmp_path: Path) -> None:
    one_trial = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    watch = Watch()
    measure(tmp_path, claim(data, one_trial, POPULARITY), progress=watch)
    content = read_json(tmp_path / "results.json", kind="results")
    assert set(content) == {"paper", "claims", "tables", "command", "seconds"}
    (found,) = content["claims"]
    assert set(found) == {
        *("id", "text", "source", "reported", "measured", "interval", "seeds", "data", "verdict")
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
    low, high = content["tables"]["differences"][0]["users_interval"]
    assert low < found["measured"] < high

    told = (tmp_path / "results.md").read_text()
    assert f"{found['measured']:+.4f}" in told
    assert "**holds**" in told
    assert "no evidence" not in told


def test_trials_are_chosen_on_validation_and_never_see_test(data: str, tmp_path: Path) -> None:
    watch = Watch()
    rival = tuned("untrained", epochs=1)
    content = measure(tmp_path, claim(data, SASREC, rival), progress=watch)
    trials = [run for run in watch.begun if not run.test]
    assert len(trials) == 4
    for trial in trials:
        folder = tmp_path / "runs" / trial.key
        assert read_json(folder / "metrics.json", kind="metrics")["test"] == {}
        assert not (folder / "predictions.parquet").exists()
    assert content["tables"]["arms"][0]["settings"]["learning_rate"] == "0.01"
    assert {run.seed for run in trials}.isdisjoint(run.seed for run in watch.begun if run.test)
    assert watch.ahead == list(range(10, 0, -1))


def test_a_trial_counts_by_its_mean_over_tuning_seeds() -> None:
    asked = claim("x", SASREC, tuned("b"), tuning_seeds=2)
    plan = Plan([asked], seeds=range(5))
    trials = plan.trials(asked, SASREC, "x")
    assert [(dict(run.settings)["learning_rate"], run.seed) for run in trials] == [
        ("0.0", 10_000),
        ("0.0", 10_001),
        ("0.01", 10_000),
        ("0.01", 10_001),
    ]
    done = {
        run: Record({"ndcg@10": value}, {}, 1.0)
        for run, value in zip(trials, (0.5, 0.1, 0.4, 0.3), strict=True)
    }
    best = plan.best(asked, SASREC, "x", done)
    assert best is not None
    assert dict(best)["learning_rate"] == "0.01"
    assert plan.best(asked, SASREC, "x", dict(list(done.items())[:3])) is None


def test_an_interrupted_reproduction_goes_on_to_the_same_results(data: str, tmp_path: Path) -> None:
    one = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    narrow = Arm("narrow", "sasrec", {**SMALL, "width": 4})
    asked = claim(data, one, narrow)
    expected = measure(tmp_path / "whole", asked, seeds=2)
    out, stopped, resumed, again = tmp_path / "parts", Watch(stop_in=3), Watch(), Watch()
    with pytest.raises(KeyboardInterrupt):
        measure(out, asked, seeds=2, progress=stopped)
    assert not (out / "results.json").exists()
    found = measure(out, asked, seeds=2, progress=resumed, resume=True)
    assert stopped.begun[:2] + resumed.begun == list(dict.fromkeys(stopped.begun + resumed.begun))
    assert (len(stopped.begun), len(resumed.begun)) == (3, 2)
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    for run in resumed.begun:
        name = f"runs/{run.key}/predictions.parquet"
        assert read_table(out / name).equals(read_table(tmp_path / "whole" / name))
    assert measure(out, asked, seeds=2, progress=again, resume=True) == found
    assert not again.begun
    more = Watch()
    measure(out, asked, seeds=3, progress=more, resume=True)
    assert [run.seed for run in more.begun] == [2, 2]
    fresh = Watch()
    measure(out, asked, seeds=2, progress=fresh)
    assert len(fresh.begun) == 4


def test_claims_share_the_runs_they_have_in_common(data: str, tmp_path: Path) -> None:
    one = Arm("SASRec", "sasrec", {**SMALL, "learning_rate": 1e-2})
    watch = Watch()
    content = measure(
        tmp_path,
        claim(data, one, POPULARITY),
        claim(data, POPULARITY, one, id="mirrored", metric="hr@10"),
        claim(data, one, Arm("itself", "sasrec", one.settings), id="null", metric="coverage"),
        seeds=2,
        progress=watch,
    )
    assert len(watch.begun) == 4
    verdicts = [found["verdict"] for found in content["claims"]]
    assert verdicts == ["holds", "fails", "inconclusive"]
    assert content["tables"]["differences"][2]["users_interval"] is None


def test_quick_tunes_nothing(data: str, tmp_path: Path) -> None:
    watch = Watch()
    asked = claim(data, SASREC, tuned("narrow", width=4))
    content = measure(tmp_path, asked, seeds=None, quick=True, progress=watch)
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
    assert "10 ahead: measured, din on" in said.err
    assert "1 ahead, about" in said.err
    content = read_json(out / "results.json", kind="results")
    assert content["claims"][0]["id"] == "din-beats-sum-pooling"
    for found, difference in zip(content["claims"], content["tables"]["differences"], strict=True):
        assert found["verdict"] in said.out
        assert difference["metric"] == "auc"
        assert len(difference["users_interval"]) == 2
    models = [arm["model"] for arm in content["tables"]["arms"]]
    assert models == ["din", "sum-pool", "din", "din", "dien", "din"]
    assert "no evidence" in said.out
    written = (out / "results.json").read_text()
    assert cli.run([*command, "--resume"]) == 0
    assert "ahead" not in capsys.readouterr().err
    assert (out / "results.json").read_text() == written


@pytest.mark.parametrize(
    ("interval", "direction", "minimum", "expected"),
    [
        ((0.01, 0.03), "higher", 0.0, "holds"),
        ((0.01, 0.03), "higher", 0.02, "inconclusive"),
        ((0.01, 0.03), "higher", 0.04, "fails"),
        ((-0.01, 0.03), "higher", 0.0, "inconclusive"),
        ((-0.03, -0.01), "higher", 0.0, "fails"),
        ((-0.03, -0.01), "lower", 0.0, "holds"),
        ((-0.03, -0.01), "lower", 0.02, "inconclusive"),
        ((0.01, 0.03), "lower", 0.0, "fails"),
        ((0.0, 0.0), "higher", 0.0, "inconclusive"),
    ],
)
def test_verdicts(
    interval: tuple[float, float], direction: Any, minimum: float, expected: str
) -> None:
    asked = claim("x", SASREC, tuned("b"), direction=direction, minimum=minimum)
    assert verdict(asked, interval) == expected


@pytest.mark.parametrize(
    ("interval", "direction", "expected"),
    [
        ((-0.01, 0.03), "higher", "holds"),
        ((-0.03, 0.03), "higher", "inconclusive"),
        ((-0.04, -0.03), "higher", "fails"),
        ((0.01, 0.015), "lower", "holds"),
        ((0.01, 0.03), "lower", "inconclusive"),
        ((0.03, 0.04), "lower", "fails"),
    ],
)
def test_an_arm_that_need_not_win_may_fall_short_by_so_much(
    interval: tuple[float, float], direction: Any, expected: str
) -> None:
    asked = claim("x", SASREC, tuned("b"), direction=direction, allowance=0.02)
    assert verdict(asked, interval) == expected


def test_unfair_claims_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equally many trials, got .*'popularity': 1"):
        claim("x", SASREC, POPULARITY)
    with pytest.raises(ValueError, match="its own name"):
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
    plan = Plan([claim("x", POPULARITY, Arm("SASRec", "sasrec"))], seeds=range(2))
    first, second, *_ = plan.ahead({})
    assert seconds_left(plan.ahead({}), {}) is None
    done = {first: Record({"ndcg@10": 0.1}, {}, 1.0)}
    assert seconds_left(plan.ahead(done), done) == 3.0
    done[second] = Record({"ndcg@10": 0.1}, {}, 10.0)
    assert seconds_left(plan.ahead(done), done) == 11.0


def test_other_peoples_files_are_left_alone(data: str, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    asked = claim(data, POPULARITY, Arm("again", "popularity"))
    with pytest.raises(ValueError, match="holds files, but no reproduction"):
        measure(tmp_path, asked)
    measure(tmp_path / "out", asked)
    with pytest.raises(ValueError, match="holds a-paper, not another"):
        reproduce("another", [asked], tmp_path / "out", command="", progress=Watch())


def test_a_damaged_record_is_named(data: str, tmp_path: Path) -> None:
    asked = claim(data, POPULARITY, Arm("again", "popularity"))
    measure(tmp_path, asked)
    record = next(tmp_path.glob("runs/*/record.json"))
    record.write_text(record.read_text().replace("seconds", "minutes"))
    with pytest.raises(CorruptFileError, match="damaged"):
        measure(tmp_path, asked, resume=True)


def test_data_that_is_not_at_hand(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path / "nowhere"))
    arms = (POPULARITY, Arm("again", "popularity"))
    with pytest.raises(DataError, match="RECOPS_DATA"):
        measure(tmp_path / "a", claim("beauty", *arms))
    content = measure(tmp_path / "b", claim(data, *arms), claim("beauty", *arms))
    assert content["tables"]["skipped"] == ["beauty: its data is not at hand"]
    assert len(content["claims"]) == 1


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
    content = read_json(path, kind="results")
    assert content["paper"] == path.relative_to(RESULTS).parts[0]
    ids = [found["id"] for found in content["claims"]]
    declared = {declared.id: declared for declared in claims_of(content["paper"], ids)}
    for found in content["claims"]:
        assert found["text"] == declared[found["id"]].text
        assert found["data"] in declared[found["id"]].data
    assert path.with_name("results.md").read_text() == page(content)


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
        (["reproduce", "alexnet"], "no claims of 'alexnet'; there are those of can, dien"),
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
