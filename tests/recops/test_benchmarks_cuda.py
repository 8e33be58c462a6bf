"""Benchmarks on a GPU: the device's name, timing, rows and the report, with a simulated timer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import recops
from recops.benchmarks.cuda import cases, peers, quantization, report
from recops.benchmarks.cuda.runner import Ceilings, CudaRow, measure_ceilings, run_cuda_case
from recops.benchmarks.cuda.timer import best_times, cuda_device
from recops.benchmarks.registry import Case
from recops.files import read_json

CPU = torch.device("cpu")
OPS_OF_LAYERS = ("recurrent_layer", "recurrent_scan")
SMALL_WORKLOAD = cases.Workload(300, 16, 3, batch=2, beams=3, exponent=0.8)


class OpCalls(TorchDispatchMode):
    """Record of the ops of this library that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "recops":
            self.names.add(func._schema.name.removeprefix("recops::"))
        return func(*args, **(kwargs or {}))


class SimulatedTimer:
    """Timer whose calls take the times that ``sides`` advance ``clock`` by.

    A cold call takes one unit longer, and the n-th call takes ``jitter[n]`` longer.
    """

    def __init__(self, jitter: tuple[float, ...] = ()) -> None:
        self.clock = 0.0
        self.calls: list[bool] = []
        self.jitter = jitter

    def side(self, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.clock += seconds

        return run

    def seconds(self, run: Callable[[], object], *, cold: bool) -> float:
        before = self.clock
        run()
        extra = self.jitter[len(self.calls)] if len(self.calls) < len(self.jitter) else 0.0
        self.calls.append(cold)
        return self.clock - before + cold + extra


def case_of(timer: SimulatedTimer, **changes: object) -> Case:
    settings: dict[str, object] = {
        "op": "rq_encode",
        "shape": "N=1",
        "run": timer.side(2.0),
        "verify": lambda: None,
        "peers": {"eager": timer.side(5.0)},
        "flops": 12.0,
        "bytes": 6.0,
        **changes,
    }
    return Case(**settings)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:3"])
def test_a_missing_gpu_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"bench: device {name} does not exist: .* no CUDA GPU$"):
        cuda_device(name)


@pytest.mark.parametrize("name", ["tpu", "mps", "cpu", "cuda:x"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"bench: device must be cpu, cuda or cuda:i, got {name}"):
        cuda_device(name)


def test_a_device_index_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert cuda_device("cuda") == torch.device("cuda:0")
    assert cuda_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match=r"cuda:2 does not exist: .* finds 2 CUDA GPUs"):
        cuda_device("cuda:2")


def test_the_best_of_interleaved_times_counts() -> None:
    timer = SimulatedTimer(jitter=(3.0, 1.0, 0.5, 0.0, 2.0, 2.0))
    order: list[str] = []
    sides = [lambda: order.append("a") or timer.side(1.0)(), lambda: timer.side(2.0)()]
    assert best_times(sides, timer, cold=True, rounds=3) == [2.5, 3.0]
    assert timer.calls == [True] * 6
    assert len(order) == 4  # one round is untimed


def test_warm_sides_run_before_each_timed_call() -> None:
    timer = SimulatedTimer()
    count: list[int] = []
    best_times([lambda: count.append(0)], timer, cold=False, rounds=4)
    assert len(count) == 1 + 2 * 4


def test_timing_stops_after_the_device_time() -> None:
    timer = SimulatedTimer()
    best_times([timer.side(1.0)], timer, cold=False, rounds=100, seconds=5.0)
    assert len(timer.calls) == 6
    timer.calls.clear()
    best_times([timer.side(100.0)], timer, cold=False, rounds=100, seconds=5.0)
    assert len(timer.calls) == 3


def test_a_row_has_times_shares_and_ratios() -> None:
    timer = SimulatedTimer()
    row = run_cuda_case(case_of(timer), timer, Ceilings(bandwidth=4.0, matmul=8.0))
    assert row["seconds"] == 2.0
    assert row["cold_seconds"] == 3.0
    assert row["matmul_share"] == pytest.approx(12 / 3 / 8)
    assert row["bandwidth_share"] == pytest.approx(6 / 3 / 4)
    assert row["peers"] == {"eager": 2.5}
    assert row["cold_peers"] == {"eager": 2.0}


def test_a_peer_that_fails_is_reported_and_excluded() -> None:
    def fail() -> None:
        raise RuntimeError("no kernel image\nlong trace")

    timer = SimulatedTimer()
    case = case_of(timer, peers={"broken": fail, "eager": timer.side(5.0)})
    row = run_cuda_case(case, timer, Ceilings(1.0, 1.0))
    assert row["peers"] == {"eager": 2.5}
    assert row["failed"] == {"broken": "RuntimeError: no kernel image"}
    assert "broken failed (RuntimeError: no kernel image)" in report.to_markdown([row])


def test_a_wrong_result_is_not_timed() -> None:
    def disagree() -> None:
        raise AssertionError("peer says 2")

    timer = SimulatedTimer()
    with pytest.raises(AssertionError, match="peer says 2"):
        run_cuda_case(case_of(timer, verify=disagree), timer, Ceilings(1.0, 1.0))
    assert timer.calls == []


def test_ceilings_divide_work_by_the_best_time() -> None:
    class OneSecond:
        def seconds(self, run: Callable[[], object], *, cold: bool) -> float:
            run()
            return 1.0

    ceilings = measure_ceilings(CPU, OneSecond(), copied_bytes=1000, matmul_size=16)
    assert ceilings == Ceilings(bandwidth=2000, matmul=2 * 16**3)


def test_the_report_names_the_card(tmp_path: Path) -> None:
    timer = SimulatedTimer()
    row: CudaRow = run_cuda_case(case_of(timer), timer, Ceilings(1.0, 1.0))
    info = {"card": "H100", "driver": "580.1", "torch": "2.13", "date": "2026-12-01"}
    report.write_report([row], Ceilings(3e12, 7e14), info, tmp_path)
    content = read_json(tmp_path / "bench.json", kind="recops-bench-cuda")
    assert content["rows"] == [row]
    assert content["environment"] == info
    text = (tmp_path / "bench.md").read_text()
    assert "card H100, driver 580.1, torch 2.13, date 2026-12-01" in text
    assert "3.00 TB/s of copying, 700 TFLOP/s" in text
    assert "| rq_encode | N=1 | float32 | 2 s | 3 s |" in text


def test_cases_agree_with_their_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases are built on the CPU, whose kernels must agree with the eager peer."""
    monkeypatch.setattr(cases, "QUICK_ENCODE_SHAPE", (300, 24, 2, 32))
    monkeypatch.setattr(quantization, "QUICK_CODE_SHAPE", (300, 24, 2, 32))
    monkeypatch.setattr(quantization, "QUICK_BEAM_SHAPE", (60, 24, 2, 32, 4))
    seen = []
    for case in cases.families("residual_quantization")[0](CPU, True):
        case.verify()
        case.peers["eager"]()
        assert case.flops > 0
        assert case.bytes > 0
        seen.append((case.op, case.dtype))
    assert seen == [
        ("rq_encode", "float32"),
        ("rq_encode", "bfloat16"),
        ("rq_encode", "float32"),
        ("nearest_codes", "float32"),
        ("rq_encode_beams", "float32"),
        ("nearest_codes", "float32"),
        ("rq_decode", "float32"),
        ("rq_decode", "float32"),
        ("accumulate_codes", "float32"),
    ]


def test_cases_of_co_action_agree_with_their_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "QUICK_COACTION_SHAPE", (8, None, 5))
    seen = []
    for case in cases.families("coaction")[0](CPU, True):
        case.verify()
        case.peers["eager"]()
        seen.append((case.op, case.direction))
    assert seen == [
        ("coaction", "forward"),
        ("coaction", "backward"),
        ("coaction_gather", "backward"),
        ("coaction_gather", "backward"),
        ("coaction_multi", "forward"),
        ("coaction_multi", "backward"),
    ]


def test_the_case_of_balanced_assignment_agrees_with_its_peer() -> None:
    (case,) = cases.families("balance_assignment")[0](CPU, True)
    case.verify()
    case.run()
    case.peers["nearest_codes"]()


def test_cases_of_overlap_agree_with_their_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "QUICK_OVERLAP_SHAPE", (40, 8))
    directions = []
    for case in cases.families("codebook_overlap")[0](CPU, True):
        case.verify()
        case.peers["dense"]()
        assert case.bytes > 0
        directions.append(case.direction)
    assert directions == ["forward", "backward", "forward"]


def test_a_beam_step_agrees_with_its_peer() -> None:
    search = cases.Search(cases.Workload(3000, 64, 3, batch=2, beams=10, exponent=0.8))
    case = cases.step_case(search, 1, device=CPU, dtype=torch.bfloat16)
    case.verify()
    case.peers["padded rows"]()


@pytest.mark.parametrize("in_place", [False, True])
def test_next_logits_agree_with_their_peer(in_place: bool) -> None:
    search = cases.Search(SMALL_WORKLOAD)
    case = cases.next_logits_case(search, 7, device=CPU, in_place=in_place)
    case.verify()
    case.peers["mask"]()
    assert case.bytes > 2 * 7 * 151_936


def test_lookups_in_tries_agree_with_their_peers() -> None:
    search = cases.Search(SMALL_WORKLOAD)
    seen = []
    for case in cases.lookup_cases(search, CPU, True):
        case.verify()
        case.run()
        for peer in case.peers.values():
            peer()
        assert case.bytes > 0
        seen.append(case.op.removeprefix("trie_"))
    assert seen == ["build", "find", "items", "allowed_tokens", "mask", "bans", "beam_items"]


def test_recurrent_layers_agree_with_their_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "QUICK_LAYER_SHAPE", (3, 4, 5))
    directions = []
    for case in cases.families("recurrent")[0](CPU, True):
        case.verify()
        for peer in case.peers.values():
            peer()
        directions.append((case.op, case.direction))
    layer, scan = ([(op, way) for way in ("forward", "backward")] for op in OPS_OF_LAYERS)
    assert directions == [layer[0], scan[0], layer[1], scan[1], ("recurrent_step", "forward")]


def test_memories_agree_with_their_peers() -> None:
    seen = []
    for case in cases.families("memory")[0](CPU, True):
        case.verify()
        for peer in case.peers.values():
            peer()
        seen.append((case.op, case.direction))
    scans = [("mimn_scan", "forward"), ("hpmn_scan", "forward")]
    scans += [("mimn_scan", "backward"), ("hpmn_scan", "backward")]
    calls = ("mimn_step_", "hpmn_step_", "mimn_read")
    assert seen == [*scans, *((call, "forward") for call in calls)]


def test_every_op_with_a_kernel_has_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "QUICK_ENCODE_SHAPE", (60, 24, 2, 32))
    monkeypatch.setattr(quantization, "QUICK_CODE_SHAPE", (60, 24, 2, 32))
    monkeypatch.setattr(quantization, "QUICK_BEAM_SHAPE", (60, 24, 2, 32, 4))
    monkeypatch.setattr(cases, "QUICK_OVERLAP_SHAPE", (40, 8))
    monkeypatch.setattr(cases, "QUICK_LAYER_SHAPE", (3, 4, 5))
    monkeypatch.setattr(cases, "QUICK_LOOKUP_SHAPE", (7, 4, 20, 18))
    monkeypatch.setattr(cases, "BEAM_WORKLOADS", [SMALL_WORKLOAD])
    monkeypatch.setattr(cases, "SMALL", SMALL_WORKLOAD)
    monkeypatch.setattr(cases, "QUICK_COACTION_SHAPE", (8, None, 5))
    calls = OpCalls()
    for family in cases.families():
        for case in family(CPU, True):
            with calls:
                case.run()
    backends = recops.build_info()["backends"]
    kernels = {op for op, kind in backends.items() if kind != "composite"}
    assert "mimn_scan_backward" in calls.names
    assert sorted(kernels - calls.names) == []


def test_embedding_bags_agree_with_their_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "QUICK_LOOKUP_SHAPE", (7, 4, 20, 18))
    seen = []
    for case in cases.families("embedding")[0](CPU, True):
        case.verify()
        for peer in case.peers.values():
            peer()
        seen.append((case.op, case.direction))
    updates = [("embedding_bags_update_", "forward")] * 3
    passes = [("embedding_bags", each) for each in ("forward", "backward")]
    assert seen == [*passes, *updates, passes[1]]


def test_families_on_a_gpu() -> None:
    assert len(cases.families()) == 8
    with pytest.raises(
        ValueError, match="no family 'dice' on a GPU; there are balance_assignment, coaction"
    ):
        cases.families("dice")


def test_peers_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(peers.importlib, "import_module", missing)
    timer = SimulatedTimer()
    book = torch.zeros(3, 2)
    sides = {
        name: peers.built_at_first_call(partial(build, book), book)
        for name, build in cases.SEARCHES.items()
    }
    trie = recops.SidTrie.from_sids(torch.tensor([[0, 1]]), vocab_sizes=2)
    sides["FlashRec"] = peers.built_at_first_call(partial(peers.flashrec_step, trie, 1))
    row = run_cuda_case(case_of(timer, peers=sides), timer, Ceilings(1.0, 1.0))
    assert row["peers"] == {}
    assert row["failed"] == {
        name: f"ImportError: No module named '{module}'"
        for name, module in {
            "faiss": "faiss",
            "cuVS": "cuvs.neighbors.brute_force",
            "flash-kmeans": "flash_kmeans.assign_euclid_triton",
            "FlashRec": "flashrec.kernel.beam_trie",
        }.items()
    }


def test_a_cpu_build_of_faiss_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.importlib, "import_module", lambda name: object())
    with pytest.raises(ImportError, match="this build of faiss has no GPU indexes"):
        peers.faiss_search(torch.zeros(3, 2))


class SimulatedFlashRec:
    """FlashRec's documented computation: mask the candidates by the table, then select."""

    @staticmethod
    def try_load_beam_trie() -> bool:
        return True

    @staticmethod
    def genrec_mask_topk_expand(
        cum: Tensor,
        top_logprobs: Tensor,
        top_tokens: Tensor,
        *,
        select_k: int,
        node_ids: Tensor,
        allow_table: Tensor,
        **options: bool,
    ) -> Tensor:
        assert options == {"apply_expand": False, "apply_advance": False}
        is_allowed = allow_table[node_ids[..., None], top_tokens]
        scores = (cum[..., None] + top_logprobs).masked_fill(~is_allowed, -torch.inf)
        return scores.flatten(1).topk(select_k).values


def test_flashrec_gets_the_table_of_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all tokens as candidates, its step is exact."""
    monkeypatch.setattr(peers.importlib, "import_module", lambda name: SimulatedFlashRec)
    search = cases.Search(cases.Workload(3000, 16, 3, batch=2, beams=10, exponent=0.8))
    nodes, scores = search.beams(1)
    step = peers.flashrec_step(search.trie, 1)
    expected = recops.trie_beam_step(search.logits(1), search.trie, nodes, scores, num_beams=10)
    torch.testing.assert_close(step(search.logits(1), nodes, scores, 10), expected.scores)
