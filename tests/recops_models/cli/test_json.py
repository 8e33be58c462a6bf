"""``--json``: metrics as one JSON object on one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recops.benchmarks import registry
from recops.files import read_json
from recops_models.cli import COMMANDS, run
from small_shop import write_shop

METRICS = {"bench", "diagnose", "evaluate", "quickstart", "reproduce", "tokenize", "train"}
"""Commands that print metrics."""
OTHERS = {"data", "export", "info", "recommend", "uic"}
"""Commands whose results are not metrics."""


def test_every_command_is_listed() -> None:
    assert set(COMMANDS) == METRICS | OTHERS


@pytest.mark.parametrize("command", sorted(METRICS))
def test_the_help_has_the_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert re.search(r"--json\s", capsys.readouterr().out)


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the object that is the only line on stdout."""
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    content: dict[str, Any] = json.loads(lines[0])
    return content


def test_tokenize_and_diagnose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "sids"
    with (shop / "interactions.csv").open("a") as file:
        file.write("1,,3,feed\n")  # A row that the import leaves out.
    sizes = ["--codes", "4", "--levels", "2"]
    assert run(["tokenize", "--data", str(shop), *sizes, "--out", str(out), "--json"]) == 0
    metrics = read_json(out / "metrics.json", kind="metrics")
    line = printed(capsys)
    assert {"items", "unique_sids", "collision_rate", "error_share"} <= set(line)
    assert {**metrics, **line} == {"out": str(out), **metrics}
    assert run(["diagnose", str(out), "--json"]) == 0
    diagnosis = read_json(out / "diagnosis.json", kind="sid-diagnosis")
    del diagnosis["versions"]
    assert printed(capsys) == {"out": str(out), **diagnosis}


def test_bench(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing() -> None: ...

    case = registry.Case(op="copy", shape="N=1", run=nothing, verify=nothing, flops=1.0)
    monkeypatch.setattr(registry, "_families", {"toy": lambda quick: [case]})
    monkeypatch.setattr(registry, "families", lambda: ["toy"])
    monkeypatch.setattr(registry, "_sweeps", {"toy": lambda: [registry.Point("N", 1, 1, case)]})
    for mode, file, kind in (
        ([], "bench.json", "recops-bench"),
        (["--scaling"], "scaling.json", "recops-scaling"),
    ):
        out = tmp_path / kind
        options = ["--seconds", "0.01", "--out", str(out), "--json"]
        assert run(["bench", "toy", *mode, *options]) == 0
        rows = read_json(out / file, kind=kind)["rows"]
        assert len(rows) == 1
        assert printed(capsys) == {"out": str(out), "rows": rows}


def test_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "popularity"
    assert run(["train", "popularity", "--data", str(shop), "--out", str(out)]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(out), "--json"]) == 0
    metrics = printed(capsys)
    assert metrics["test"] == read_json(out / "metrics.json", kind="metrics")["test"]
    for part in ("validation", "test"):
        assert set(metrics["beyond_accuracy"][part]) == {"novelty", "popularity_lift"}
        for groups in metrics["groups"][part].values():
            users = [group["users"] for group in groups.values()]
            assert len(users) == 3
            assert sum(users) == 39  # The last user has no events.
    assert run(["evaluate", str(out)]) == 0
    text = capsys.readouterr().out
    for name in ("coverage", "novelty", "popularity_lift", "head", "tail", "short"):
        assert name in text


def test_evaluate_a_click_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "rates"
    assert run(["train", "rates", "--data", str(shop), "--out", str(out)]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(out), "--json"]) == 0
    metrics = printed(capsys)
    assert set(metrics) == {"validation", "test", "groups"}
    examples = pa.parquet.read_table(out / "predictions.parquet").num_rows
    for groups in metrics["groups"]["test"].values():
        assert sum(group["examples"] for group in groups.values()) == examples
    assert run(["evaluate", str(out)]) == 0
    text = capsys.readouterr().out
    for name in ("test examples by", "head", "tail", "short", "gauc"):
        assert name in text
