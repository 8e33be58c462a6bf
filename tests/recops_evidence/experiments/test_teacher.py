"""Experiments of Rocket's claims: the closed share of a gap, and teachers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recops.files import read_json
from recops_evidence import Arm, Claim, reproduce
from recops_evidence.experiments.teacher import FIRST, TeacherFirst
from recops_evidence.experiments.training import TRAINING
from recops_evidence.harness.experiment import Run
from recops_evidence.harness.stored_results import read_results, read_seed_values
from recops_models import cli
from recops_models.callbacks import Callbacks
from recops_models.evaluation.paired_ratio import paired_ratio
from synthetic_histories import write_ring

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_ring(tmp_path_factory.mktemp("data") / "shop", users=40)


class RunRecorder(Callbacks):
    """Callbacks that record started runs and check the range of the progress."""

    def __init__(self) -> None:
        self.started: list[Run] = []

    def start(self, stage: str, **details: Any) -> None:
        self.started.append(details["run"])

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        assert 0 <= share <= 1


SMALL = {"epochs": 2, "batch": 64, "max_len": 5}
LIGHT = {"width": 2, "hidden": "4", "dropout": 0.0}


def make_arm(name: str, **settings: Any) -> Arm:
    nets = {"light": "sum-pool", **{f"light.{key}": value for key, value in LIGHT.items()}}
    return Arm(name, "rocket", {**SMALL, **nets, **settings})


def make_claim(data: str, *arms: Arm, **changes: Any) -> Claim:
    content: dict[str, Any] = {"id": "gap", "text": "It does.", "source": "here"}
    content |= {"reported": "nothing", "metric": "auc", "experiment": TRAINING, **changes}
    return Claim(arms=arms, data=(data,), **content)


def test_teachers_are_trained_once_per_seed_and_never_tested(data: str, tmp_path: Path) -> None:
    teacher = (("hidden", "8"), *((key, str(value)) for key, value in SMALL.items()))
    experiment = TeacherFirst("din", tuple(sorted(teacher)))
    alone = Arm("alone", "sum-pool", {**SMALL, **LIGHT})
    heavy = Arm("heavy", "din", {**SMALL, "hidden": "8"})
    kd = make_arm("KD", booster="none", teacher=FIRST)
    strong = make_arm("strong KD", booster="none", teacher=FIRST, teacher_weight=100.0)
    claim = make_claim(data, kd, alone, heavy, strong, ceiling="heavy", experiment=experiment)
    recorder = RunRecorder()
    options = {"command": "recops", "seeds": 2, "callbacks": recorder}
    content = reproduce("a-paper", [claim], tmp_path, **options)
    assert len(recorder.started) == 8
    teachers = sorted((tmp_path / "runs").glob("teacher-*"))
    assert len(teachers) == 2, "both arms share one teacher per seed"
    for folder in teachers:
        assert read_json(folder / "metrics.json", kind="metrics")["test"] == {}
        assert not (folder / "predictions.parquet").exists()
    aucs = {row["arm"]: np.array(row["test"]["auc"]) for row in read_seed_values(tmp_path)}
    assert (aucs["KD"] != aucs["strong KD"]).all()
    gap = content["tables"]["differences"][0]["gap"]
    assert gap["to"] == "heavy"
    expected = paired_ratio(aucs["KD"] - aucs["alone"], aucs["heavy"] - aucs["alone"])
    assert gap["closed"] == pytest.approx(expected.value)
    assert f"{100 * gap['closed']:.0f} % of that to heavy".replace("-", "−") in (
        tmp_path / "results.md"
    ).read_text(encoding="utf-8")
    modified = [(folder / "model.safetensors").stat().st_mtime_ns for folder in teachers]
    resumed = reproduce("a-paper", [claim], tmp_path, resume=True, **options)
    assert resumed == content
    assert modified == [(folder / "model.safetensors").stat().st_mtime_ns for folder in teachers]


@pytest.mark.slow
def test_parallel_jobs_give_the_same_results_with_a_shared_teacher(
    data: str, tmp_path: Path
) -> None:
    teacher = (("hidden", "4"), *((name, str(value)) for name, value in SMALL.items()))
    experiment = TeacherFirst("din", tuple(sorted(teacher)))
    arms = [
        make_arm(f"KD {weight}", booster="none", teacher=FIRST, teacher_weight=weight)
        for weight in (1.0, 10.0)
    ]
    claim = make_claim(data, *arms, experiment=experiment)
    options = {"command": "recops", "seeds": 2, "callbacks": RunRecorder()}
    sequential, parallel = (
        reproduce("a-paper", [claim], tmp_path / str(jobs), jobs=jobs, **options) for jobs in (1, 2)
    )
    assert parallel["tables"] == sequential["tables"]


def test_the_settings_of_a_teacher_are_part_of_the_key(data: str) -> None:
    def key(hidden: str, teacher: str) -> str:
        experiment = TeacherFirst("din", (("hidden", hidden),))
        settings = (("booster", "none"), ("light", "sum-pool"), ("teacher", teacher))
        return Run(experiment, "rocket", data, settings, 0, True, False).key

    assert key("8", FIRST) != key("9", FIRST)
    assert key("8", "a file") == key("9", "a file")


def test_the_ceiling_must_be_an_arm(data: str) -> None:
    first, second = make_arm("a"), make_arm("b", hint_weight=0.5)
    with pytest.raises(ValueError, match="ceiling must be an arm, got 'c'"):
        make_claim(data, first, second, ceiling="c")


def test_claims_of_rocket_from_the_command_line(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    ids = "shared-tables-lift-a-wide-light-net,the-block-guards-the-booster"
    command = ["reproduce", "rocket", "--quick", "--claims", ids, "--data", data]
    assert cli.run([*command, "--out", str(out)]) == 0
    assert "not evidence" in capsys.readouterr().out
    content = read_results(out)
    differences = content["tables"]["differences"]
    assert [difference["metric"] for difference in differences] == ["auc", "booster_auc"]
    assert [("gap" in difference) for difference in differences] == [True, False]
    served = content["tables"]["arms"][0]["settings"]
    assert served["light.hidden"] == "8"
