"""Benchmark harness: verification before timing, rows, reports and sweeps."""

import re
from itertools import islice
from xml.etree import ElementTree

import pytest
import torch

from recops._load import ops
from recops.benchmarks import registry, runner, timing
from recops.benchmarks.report import format_seconds, to_markdown, write_report
from recops.benchmarks.scaling import ScalingRow, plot
from recops.files import read_json


def make_case(**changes):
    x = torch.ones(64, 64)
    settings = {
        "op": "matmul",
        "shape": "N=64",
        "run": lambda: x @ x,
        "verify": lambda: torch.testing.assert_close(x @ x, torch.full((64, 64), 64.0)),
        "peers": {"four": lambda: (x @ x, x @ x, x @ x, x @ x)},
        "flops": 2.0 * 64**3,
    }
    return registry.Case(**{**settings, **changes})


def test_a_row_contains_the_measured_values():
    row = runner.run_case(make_case(), rounds=30, seconds=0.2)
    assert row["op"] == "matmul"
    assert row["seconds"] > 0
    assert 0 < row["ceiling_share"] < 1.1
    assert row["peers"]["four"] > 1.5


def test_peak_memory_is_reported_on_request():
    x = torch.ones(1000, 1000)
    case = make_case(
        run=lambda: x + 1, peers={"two": lambda: (x + 1, x + 2)}, verify=lambda: None, memory=True
    )
    row = runner.run_case(case, rounds=3, seconds=0.01)
    actual, two = row["peak_bytes"]["ours"], row["peak_bytes"]["two"]
    assert 4e6 <= actual < 4.1e6
    assert 8e6 <= two < 8.1e6
    assert "ours 4 MB, two 8 MB" in to_markdown([row])
    assert runner.run_case(make_case(), rounds=3, seconds=0.01)["peak_bytes"] == {}


def test_a_case_that_disagrees_is_not_timed():
    def disagree():
        raise AssertionError("peer says 2")

    case = make_case(verify=disagree, run=lambda: pytest.fail("timed a wrong result"))
    with pytest.raises(AssertionError, match="peer says 2"):
        runner.run_case(case)


def fail_on_other_threads(count):
    with runner.thread_count(count):
        assert torch.get_num_threads() == count
        raise RuntimeError("stop")


def test_thread_count_is_restored():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"):
        fail_on_other_threads(before + 1)
    assert torch.get_num_threads() == before


def test_interleave_runs_both_sides_in_turn():
    order = []
    timing.interleave(lambda: order.append("a"), lambda: order.append("b"), pairs=5, seconds=10)
    assert "".join(order) == "ab" * 6  # one round untimed


def test_unknown_family_is_named():
    with pytest.raises(ValueError, match="no family 'nothing'"):
        registry.cases("nothing")


def test_report_is_complete(tmp_path):
    row = runner.run_case(make_case(), rounds=3, seconds=0.1)
    write_report([row], tmp_path)
    assert read_json(tmp_path / "bench.json", kind="recops-bench")["rows"] == [row]
    assert to_markdown([row]) in (tmp_path / "bench.md").read_text()
    assert (tmp_path / "bench.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (0.0312, "31.2 ms"), (4.56e-6, "4.56 µs"), (9.996e-4, "1 ms")],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_fma_ceiling_counts_its_work():
    ceiling = ops.fma_ceiling
    assert ceiling(20) == 2 * ceiling(10) > 0
    with pytest.raises(ValueError, match="iterations"):
        ceiling(0)


@pytest.mark.slow
@pytest.mark.parametrize("family", registry.families())
def test_every_case_agrees_with_its_peers(family):
    for case in registry.cases(family, quick=True):
        with runner.thread_count(case.threads):
            case.verify()


def test_sweeps_change_one_size_at_a_time():
    assert registry.sweeps() == ["residual_quantization", "trie", "trie_grid"]
    sweep = list(islice(registry.points("residual_quantization"), 6))
    assert [point.value for point in sweep] == [1, 8, 64, 512, 4096, 16_384]
    assert {point.size for point in sweep} == {"N"}
    with pytest.raises(ValueError, match="coaction has no sweeps; these have: residual_quantiz"):
        registry.points("coaction")


def test_the_grid_crosses_threads_first():
    first, second, third = islice(registry.points("trie_grid"), 3)
    assert [first.side, second.side] == ["B = 1, 1 thread", "B = 1, 2 threads"]
    assert [first.case.threads, second.case.threads] == [1, 2]
    assert first.value == second.value < third.value
    second.case.verify()


def test_a_plot_is_a_compact_svg_file():
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    rows = [
        ScalingRow(
            size="M", of="a catalogue", value=value, shape="", rows=value, facts="",
            seconds={side: 1e-3},
        )
        for side in ("1 thread", "2 threads")
        for value in (1, 10, 100)
    ]  # fmt: skip
    drawing = plot(rows).decode()
    root = ElementTree.fromstring(drawing)
    texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"1 thread", "2 threads", "a catalogue"} <= {*texts}
    assert [texts.count(label) for label in ("1", "10", "100")] == [1, 1, 1], "one tick per value"
    assert not re.search(r"\d\.\d{3}|<metadata|<g id=", drawing)
