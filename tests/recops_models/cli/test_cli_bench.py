"""``recops bench``: measured rows, the final report, and interruption by Ctrl-C."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

pytest.importorskip("typer", reason="needs recops[models]")

from recops.benchmarks import registry
from recops.benchmarks.cuda import cases, report, runner, timer
from recops.files import read_json
from recops_models.cli import run
from recops_models.training import device as training_device


def case(op, action):
    return registry.Case(op=op, shape="N=1", run=action, verify=action, flops=1.0)


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture
def family(monkeypatch):
    def cases(quick):
        yield case("first", lambda: None)
        yield case("second", (lambda: None) if quick else interrupt)

    monkeypatch.setattr(registry, "_families", {"toy": cases})
    monkeypatch.setattr(registry, "families", lambda: ["toy"])


def measured(out):
    return [row["op"] for row in read_json(out / "bench.json", kind="recops-bench")["rows"]]


def test_measures_every_case(family, tmp_path, capsys):
    assert run(["bench", "toy", "--quick", "--seconds", "0.01", "--out", str(tmp_path)]) == 0
    assert measured(tmp_path) == ["first", "second"]
    assert "2 rows in" in capsys.readouterr().out


def test_ctrl_c_keeps_the_measured_rows(family, tmp_path):
    assert run(["bench", "--seconds", "0.01", "--out", str(tmp_path)]) == 1
    assert measured(tmp_path) == ["first"]


@pytest.mark.parametrize("arguments", [["nope"], ["--device", "tpu"], ["--seconds", "0"]])
def test_bad_usage(family, arguments, capsys):
    assert run(["bench", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_one_line(capsys):
    assert run(["bench", "--device", "cuda"]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "device must be available, got cuda" in text


@pytest.fixture
def gpu(monkeypatch):
    """Let ``--device cuda`` select the CPU. A call takes one second, or two with cold caches."""

    class Clock:
        def __init__(self, device):
            self.device = device

        def seconds(self, run, *, cold):
            run()
            return 1.0 + cold

    monkeypatch.setattr(training_device, "resolve_device", lambda name: name)
    monkeypatch.setattr(timer, "cuda_device", lambda name: torch.device("cpu"))
    monkeypatch.setattr(timer, "CudaTimer", Clock)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(runner, "measure_ceilings", lambda *_: runner.Ceilings(1.0, 1.0))
    monkeypatch.setattr(report, "environment", lambda device: {"card": "none"})


def test_scaling_is_for_the_cpu(gpu, capsys):
    assert run(["bench", "toy", "--scaling", "--device", "cuda"]) == 2
    assert "--scaling requires --device cpu" in capsys.readouterr().err


def test_a_gpu_is_timed_by_its_own_cases(gpu, tmp_path, monkeypatch, capsys):
    def toy(device, quick):
        yield case("first", lambda: None)
        yield case("second", lambda: None)

    monkeypatch.setattr(cases, "families", lambda name: [toy])
    assert run(["bench", "toy", "--device", "cuda", "--out", str(tmp_path)]) == 0
    content = read_json(tmp_path / "bench.json", kind="recops-bench-cuda")
    assert [row["op"] for row in content["rows"]] == ["first", "second"]
    assert content["environment"] == {"card": "none"}
    assert "first N=1 float32: 1 s warm, 2 s cold" in capsys.readouterr().out


def test_scaling_measures_and_draws_each_point(family, tmp_path, monkeypatch, capsys):
    def points():
        for value in (1, 10):
            with_peer = replace(case("op", lambda: None), peers={"faiss": lambda: None})
            yield registry.Point("N", value, value, with_peer, facts="exact")

    monkeypatch.setattr(registry, "_sweeps", {"toy": points})
    arguments = ["bench", "toy", "--scaling", "--seconds", "0.01", "--out", str(tmp_path)]
    assert run(arguments) == 0
    assert "2 points in" in capsys.readouterr().out
    rows = read_json(tmp_path / "scaling.json", kind="recops-scaling")["rows"]
    assert [(row["size"], row["value"], row["rows"]) for row in rows] == [
        ("N", 1, 1),
        ("N", 10, 10),
    ]
    assert all(row["seconds"]["recops"] > 0 for row in rows)
    row = (tmp_path / "scaling.md").read_text().splitlines()[-1]
    assert row.startswith("| N = 10 | N=1 |")
    assert row.endswith("| exact |")
    assert (tmp_path / "scaling.svg").read_text().startswith("<?xml")
    assert run(["bench", "--scaling", "--out", str(tmp_path)]) == 2
    assert "requires one of toy" in capsys.readouterr().err


def test_lines_without_peers_are_rows_with_a_column_per_value(family, tmp_path, monkeypatch):
    def points():
        for side in ("1 thread", "2 threads"):
            for value in (1, 10):
                yield registry.Point("M", value, 1, case("op", lambda: None), of="a", side=side)

    monkeypatch.setattr(registry, "_sweeps", {"grid": points})
    arguments = ["bench", "grid", "--scaling", "--seconds", "0.01", "--out", str(tmp_path)]
    assert run(arguments) == 0
    lines = (tmp_path / "scaling.md").read_text().splitlines()[2:]
    assert lines[0] == "| | M = 1 | M = 10 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| a, 1 thread", "| a, 2 threads"]
    assert all(line.count("|") == 4 for line in lines)
    assert "2 threads" in (tmp_path / "scaling.svg").read_text()
