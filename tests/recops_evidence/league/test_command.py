"""The command ``recops reproduce league`` on small runs of real data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recops_evidence.league.stored import read_league, read_user_values
from recops_models import cli
from recops_models.data import Dataset


@pytest.mark.slow
def test_a_quick_league_trains_measures_and_resumes(
    ml_100k: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--sets", "ml-100k", "--models", "rates,sum-pool,popularity,item-kNN"]
    command = ["reproduce", "league", "--quick", *options, "--out", str(tmp_path / "league")]
    assert cli.run(command) == 0
    clicks, ranking = read_league(tmp_path / "league")["sets"]
    assert clicks["missing"] == ranking["missing"] == {}
    rows = {row["row"]: row for row in (*clicks["rows"], *ranking["rows"])}
    assert rows.keys() == {"rates", "sum-pool", "popularity", "item-kNN"}
    for name in ("gauc", "gauc_frozen", "auc_known"):
        assert all(0.3 < value < 1 for value in rows["sum-pool"]["per_seed"][name])
    assert set(rows["sum-pool"]["costs"]) >= {"train_seconds", "parameters", "request_ms"}
    users = read_user_values(tmp_path / "league", "clicks:ml-100k")["sum-pool"]
    assert len(users.values["gauc"]) == 60
    lines = (tmp_path / "league" / "runs.jsonl").read_text()
    capsys.readouterr()
    assert cli.run([*command, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"] == [clicks, ranking]
    assert (tmp_path / "league" / "runs.jsonl").read_text() == lines


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["league", "--claims", "headline"], "league takes --sets, --models and --hours"),
        (["league", "--sets", "nowhere"], "sets must be among clicks:ml-100k"),
        (["league", "--models", "nobody"], "models must be among"),
        (["dien", "--hours", "1"], "only league takes --sets, --models and --hours"),
    ],
)
def test_wrong_options_are_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["reproduce", *options, "--out", str(tmp_path / "out")]) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
