"""Stored reports: a diagnosis of semantic IDs and the results of a reproduction."""

from __future__ import annotations

import tempfile
from pathlib import Path

from recops.files import read_json
from recops_evidence import Arm, Claim, reproduce
from recops_evidence.experiments.training import TRAINING
from recops_evidence.harness.page import render_page
from recops_evidence.harness.stored_results import (
    RESULTS,
    SEEDS,
    read_results,
    read_seed_values,
)
from recops_models.callbacks import Callbacks
from stored_fixtures.fixture import StoredFixture, Values, newest, run_command
from stored_fixtures.tokenizers import tokenize

_DIAGNOSIS, _DIAGNOSIS_KIND = "diagnosis.json", "sid-diagnosis"


def _write_diagnosis(folder: Path) -> None:
    tokenize(folder, "rq-kmeans")
    run_command("diagnose", str(folder))
    (folder / "diagnosis.html").unlink()


def _read_diagnosis(folder: Path) -> Values:
    """Read the stored diagnosis, and diagnose the same semantic IDs again."""
    with tempfile.TemporaryDirectory() as out:
        run_command("diagnose", str(folder), "--out", out)
        again = read_json(Path(out) / _DIAGNOSIS, kind=_DIAGNOSIS_KIND)
    del again["versions"]
    stored = read_json(folder / _DIAGNOSIS, kind=_DIAGNOSIS_KIND)
    return {_DIAGNOSIS: stored, "diagnosed again": again}


def _write_results(folder: Path) -> None:
    """Compare DIN with sum pooling, in two small runs of each."""
    small = {"width": 4, "hidden": "8,4", "max_len": 6, "epochs": 1}
    claim = Claim(
        id="din-beats-sum-pooling",
        text="DIN has a higher AUC than sum pooling.",
        source="Stored fixtures",
        reported="none",
        arms=(
            Arm("DIN", "din", small, {"learning_rate": (0.001, 0.01)}),
            Arm("sum pooling", "sum-pool", small, {"learning_rate": (0.001, 0.01)}),
        ),
        data=(str(newest("shop")),),
        metric="auc",
        experiment=TRAINING,
        tuning_seeds=1,
        widenings=0,
    )
    with tempfile.TemporaryDirectory() as out:
        reproduce(
            *("fixtures", [claim], Path(out)),
            command="python tools/write_fixtures.py results",
            seeds=2,
            callbacks=Callbacks(),
        )
        for name in (RESULTS, SEEDS):
            (folder / name).write_bytes((Path(out) / name).read_bytes())


def _read_results(folder: Path) -> Values:
    """Read the results in their own format and in the current one, and render their page."""
    content = read_results(folder)
    text = render_page(content)
    return {
        RESULTS: read_json(folder / RESULTS, kind="results", version=2),
        "current format": content,
        "values per seed": read_seed_values(folder),
        "claims on the page": [claim["text"] in text for claim in content["claims"]],
    }


REPORTS = {
    "diagnosis": StoredFixture(_write_diagnosis, _read_diagnosis),
    "results": StoredFixture(_write_results, _read_results),
}
