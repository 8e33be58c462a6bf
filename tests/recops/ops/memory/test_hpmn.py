"""HPMN's scan, streaming and reads: agreement with the reference, determinism, and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from compilation import every_backend
from memory_inputs import (
    DTYPES,
    hpmn_params,
    hpmn_state,
    map_tensors,
    own,
    same_bits,
    shuffled_events,
    wide,
)
from recops import HpmnParams, HpmnState, reference
from tolerances import AGREEMENT

pytestmark = pytest.mark.composites

PERIODS = [[1, 2, 6], [1, 1, 1], [1, 3, 3]]
Gradients = tuple[Tensor, HpmnState, list[Tensor]]


@dataclass
class Scan:
    rows: int = 21
    steps: int = 19
    size: int = 5
    hidden: int = 7
    periods: list[int] = field(default_factory=lambda: [1, 2, 6])
    aligned: bool = False
    ragged: bool = True
    dtype: torch.dtype = torch.float32
    seed: int = 0

    def __post_init__(self) -> None:
        random = torch.Generator().manual_seed(self.seed)
        params = hpmn_params(self.size, self.hidden, len(self.periods), seed=self.seed)
        self.params = params.to(wide(self.dtype))
        self.state = hpmn_state(self.params, self.rows, seed=self.seed).to(wide(self.dtype))
        if self.aligned:
            self.state = replace(self.state, count=torch.zeros(self.rows, dtype=torch.int64))
        x = torch.randn(self.rows, self.steps, self.size, generator=random)
        self.x = x.to(self.dtype)
        lengths = torch.randint(0, self.steps + 1, (self.rows,), generator=random)
        self.lengths = lengths if self.ragged else None

    def run(self, **changes: Any) -> tuple[Tensor, HpmnState]:
        keywords = {"x": self.x, "params": self.params, "state": self.state}
        keywords |= {"periods": self.periods, "lengths": self.lengths}
        return recops.hpmn_scan(**{**keywords, **changes})

    def gradients(self, module: Any, dtype: torch.dtype | None = None, **changes: Any) -> Gradients:
        def leaf(tensor: Tensor) -> Tensor:
            return tensor.detach().to(dtype or tensor.dtype).clone().requires_grad_()

        x, params, state = (
            leaf(self.x),
            map_tensors(self.params, leaf),
            map_tensors(self.state, leaf),
        )
        keywords = {"periods": self.periods, "lengths": self.lengths, **changes}
        memory, last = module.hpmn_scan(keywords.pop("x", x), params, state, **keywords)
        weights = torch.randn(memory.shape, generator=torch.Generator().manual_seed(1))
        leaves = [x, state.memory, *params.w_ih, params.w_hh, params.bias]
        grads = torch.autograd.grad((weights * memory).sum(), leaves, allow_unused=True)
        filled = [
            torch.zeros_like(leaf) if grad is None else grad
            for leaf, grad in zip(leaves, grads, strict=True)
        ]
        return memory.detach(), last, filled


def agrees(scan: Scan, **changes: Any) -> None:
    memory, last, gradients = scan.gradients(recops, **changes)
    correct, due_last, due_gradients = scan.gradients(reference, torch.float64)
    torch.testing.assert_close(memory, correct.to(memory.dtype), **AGREEMENT[memory.dtype])
    assert torch.equal(last.count, due_last.count)
    for actual, expected in zip(gradients, due_gradients, strict=True):
        largest = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
        tolerance = {"rtol": 1e-11 if scan.dtype == torch.float64 else 1e-4}
        if actual.dtype in (torch.bfloat16, torch.float16):
            tolerance = {"rtol": 4 * torch.finfo(actual.dtype).eps}
        tolerance["atol"] = tolerance["rtol"] * largest
        torch.testing.assert_close(actual, expected.to(actual.dtype), **tolerance)


@pytest.mark.numerics
@pytest.mark.parametrize("periods", PERIODS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("aligned", [True, False])
def test_agrees_with_the_reference(periods: list[int], dtype: torch.dtype, aligned: bool) -> None:
    agrees(Scan(periods=periods, dtype=dtype, aligned=aligned))


@pytest.mark.numerics
@settings(max_examples=30)
@given(
    rows=st.integers(0, 40),
    steps=st.integers(0, 13),
    size=st.integers(1, 18),
    hidden=st.integers(1, 18),
    periods=st.sampled_from([*PERIODS, [1], [1, 2, 4, 8, 16]]),
    aligned=st.booleans(),
    ragged=st.booleans(),
    checkpoint=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_any_shape(checkpoint: int, **shape: Any) -> None:
    agrees(Scan(dtype=torch.float64, **shape), checkpoint=checkpoint)


@pytest.mark.numerics
def test_gradcheck() -> None:
    scan = Scan(rows=3, steps=5, size=2, hidden=2, dtype=torch.float64)
    x = scan.x.clone().requires_grad_()
    params = map_tensors(scan.params, lambda t: t.clone().requires_grad_())
    state = map_tensors(scan.state, lambda t: t.clone().requires_grad_())
    leaves = (x, state.memory, *params.w_ih, params.w_hh, params.bias)

    def run(*_: Tensor) -> Tensor:
        return scan.run(x=x, params=params, state=state, checkpoint=2)[0]

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.numerics
@pytest.mark.composites(False)
@pytest.mark.parametrize("periods", PERIODS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_streaming_equals_the_scan(periods: list[int], dtype: torch.dtype) -> None:
    scan = Scan(rows=41, periods=periods, dtype=dtype)
    _, last = scan.run()
    assert scan.lengths is not None
    for seed in range(3):
        pool = own(scan.state)
        for rows, events in shuffled_events(scan.x, scan.lengths, seed):
            recops.hpmn_step_(pool, rows, events, scan.params, periods=periods)
        assert same_bits(pool, last)


def test_slots_are_updated_at_their_periods() -> None:
    scan = Scan(rows=9, periods=[1, 2, 6], ragged=False)
    pool = own(scan.state)
    rows = torch.arange(9)
    for t in range(13):
        before = own(pool)
        recops.hpmn_step_(pool, rows, scan.x[:, t], scan.params, periods=[1, 2, 6])
        for j, period in enumerate([1, 2, 6]):
            moved = pool.memory[:, j].ne(before.memory[:, j]).any(1)
            assert torch.equal(moved, (before.count + 1) % period == 0)


def test_padding_changes_no_bit() -> None:
    scan = Scan()
    memory, _, gradients = scan.gradients(recops)
    longer = torch.cat([scan.x, torch.full((21, 7, 5), torch.nan)], 1)
    padded = replace(scan)
    padded.x, padded.lengths = longer, scan.lengths
    results, _, others = padded.gradients(recops)
    assert torch.equal(results, memory)
    assert others[0][:, scan.steps :].eq(0).all()
    others[0] = others[0][:, : scan.steps]
    for actual, correct in zip(others, gradients, strict=True):
        assert torch.equal(actual, correct)


@pytest.mark.composites(False)
def test_threads_and_checkpoints_change_no_bit(set_threads: Callable[[int], None]) -> None:
    scan = Scan(rows=300, steps=40, hidden=16)
    set_threads(1)
    memory, _, gradients = scan.gradients(recops)
    for threads, checkpoint in [(2, None), (3, 7), (7, 40)]:
        set_threads(threads)
        results, _, others = scan.gradients(recops, checkpoint=checkpoint)
        assert torch.equal(results, memory)
        assert all(torch.equal(a, b) for a, b in zip(others, gradients, strict=True))


def test_nan_affects_only_its_row() -> None:
    scan = Scan(rows=40, ragged=False)
    memory, _ = scan.run()
    results, _ = scan.run(x=scan.x.index_fill(0, torch.tensor([7]), torch.nan))
    assert results[7, 0].isnan().all()
    others = torch.arange(40) != 7
    assert torch.equal(results[others], memory[others])


@pytest.mark.numerics
@pytest.mark.composites(False)
def test_reads_agree_with_the_reference() -> None:
    scan = Scan(dtype=torch.float64)
    rows = torch.tensor([3, 0, 3, 20])
    query = torch.randn(4, 5, dtype=torch.float64)

    def read(module: Any) -> list[Tensor]:
        params = map_tensors(scan.params, lambda t: t.clone().requires_grad_())
        state = map_tensors(scan.state, lambda t: t.clone().requires_grad_())
        q = query.clone().requires_grad_()
        out, weights = module.hpmn_read(q, state, rows, params)
        loss = out.square().sum() + weights[:, :, 0].sum()
        leaves = [q, state.memory, params.query_w, params.w1, params.w3, params.hop_map]
        return [out, weights, *torch.autograd.grad(loss, leaves)]

    for actual, correct in zip(read(recops), read(reference), strict=True):
        torch.testing.assert_close(actual, correct, **AGREEMENT[torch.float64])


# ---- Integration with torch.


@pytest.mark.composites(False)
@pytest.mark.parametrize("module", [recops, reference])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_no_read(module: Any, dtype: torch.dtype) -> None:
    scan = Scan()
    query = scan.x[:4, 0].to(dtype, copy=True).requires_grad_()
    params = map_tensors(scan.params, lambda t: t.clone().requires_grad_())

    def read(autocast: bool) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out, weights = module.hpmn_read(query, scan.state, torch.tensor([3, 0, 3, 20]), params)
        loss = out.square().sum() + weights[:, :, 0].sum()
        leaves = [query, params.query_w, params.w1, params.w3, params.hop_map]
        return [out, weights, *torch.autograd.grad(loss, leaves)]

    for results, correct in zip(read(True), read(False), strict=True):
        assert results.dtype == correct.dtype
        assert torch.equal(results, correct)


@pytest.mark.composites(False)
def test_a_compiled_read_is_equal_under_autocast() -> None:
    scan = Scan()
    arguments = (scan.x[:, 0], scan.state, torch.arange(21), scan.params)
    compiled = torch.compile(recops.hpmn_read, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        results = compiled(*arguments)
    for actual, correct in zip(results, recops.hpmn_read(*arguments), strict=True):
        assert torch.equal(actual, correct)


def test_opcheck() -> None:
    scan = Scan(rows=3, steps=3, ragged=False)
    params = map_tensors(scan.params, lambda t: t.clone().requires_grad_())
    weights = (list(params.w_ih), params.w_hh, params.bias)
    op = torch.ops.recops
    arguments = (scan.x, scan.state.memory, scan.state.count, *weights, [1, 2, 6], None, 1)
    torch.library.opcheck(op.hpmn_scan.default, arguments)
    plain = ([w.detach() for w in params.w_ih], params.w_hh.detach(), params.bias.detach())
    arguments = (scan.x, scan.state.memory, scan.state.count, *plain, [1, 2, 6], None, 1)
    memory, saved = op.hpmn_scan(*arguments)
    torch.library.opcheck(
        op.hpmn_scan_backward.default,
        (memory, *arguments, saved),
        test_utils=("test_schema", "test_faketensor"),
    )
    pool = own(scan.state)
    torch.library.opcheck(
        op.hpmn_step_.default,
        (pool.memory, pool.count, torch.tensor([2, 0, 2]), scan.x[:, 0], *plain, [1, 2, 6]),
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.composites(False)
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@every_backend
def test_compiles_into_one_graph_of_dynamic_shape(backend: str) -> None:
    def loss(x: Tensor, lengths: Tensor, params: HpmnParams) -> Tensor:
        memory, state = recops.hpmn_scan(x, params, periods=[1, 2, 6], lengths=lengths)
        out, _ = recops.hpmn_read(x[:, 0], state, torch.arange(x.shape[0]), params)
        return memory.square().sum() + out.sum() + recops.memory_covariance(memory).sum()

    compiled = torch.compile(loss, fullgraph=True, backend=backend, dynamic=True)
    counters = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    counters.clear()
    for rows, steps in [(9, 6), (11, 4), (17, 8)]:
        scan = Scan(rows=rows, steps=steps)
        x, twin = scan.x.clone().requires_grad_(), scan.x.clone().requires_grad_()
        assert scan.lengths is not None
        actual, expected = (
            compiled(x, scan.lengths, scan.params),
            loss(twin, scan.lengths, scan.params),
        )
        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(
            torch.autograd.grad(actual, x), torch.autograd.grad(expected, twin)
        )
    assert counters["unique_graphs"] == 1


@pytest.mark.composites(False)
def test_exports() -> None:
    class Module(torch.nn.Module):
        def forward(
            self, x: Tensor, lengths: Tensor, params: HpmnParams
        ) -> tuple[Tensor, HpmnState]:
            return recops.hpmn_scan(x, params, periods=[1, 2, 6], lengths=lengths)

    scan = Scan(rows=5)
    rows, steps = torch.export.Dim("rows", min=2), torch.export.Dim("steps", min=2, max=500)
    program = torch.export.export(
        Module(),
        (scan.x, scan.lengths, scan.params),
        dynamic_shapes=({0: rows, 1: steps}, {0: rows}, [(None,) * 3, *[None] * 11]),
    )
    other = Scan(rows=8, steps=3)
    memory, _ = program.module()(other.x, other.lengths, scan.params)
    correct, _ = recops.hpmn_scan(other.x, scan.params, periods=[1, 2, 6], lengths=other.lengths)
    assert torch.equal(memory, correct)


# ---- Errors.

PARAMS = hpmn_params(4, 3, 2, dtype=torch.float32)
POOL = hpmn_state(PARAMS, 6, dtype=torch.float32)
X, ROWS = torch.zeros(2, 3, 4), torch.tensor([5, 0])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": X[:, :, :3]}, ValueError, "x must be 4 wide"),
        ({"periods": [1, 2, 4]}, ValueError, "periods must have 2 entries as the slots"),
        ({"periods": [2, 4]}, ValueError, r"periods must begin with 1, got \[2, 4\]"),
        ({"periods": [1, 0]}, ValueError, r"periods\[1\] must be from 1 to"),
        ({"state": POOL}, ValueError, "state must have 2 rows, got 6"),
        ({"state": hpmn_state(hpmn_params(4, 5, 2), 2)}, ValueError, r"state must have \(slots"),
        ({"lengths": torch.tensor([1, 4])}, ValueError, r"from 0 to 3, got lengths\[1\] = 4"),
        ({"checkpoint": 0}, ValueError, "checkpoint must be from 1 to"),
        (
            {"state": HpmnState(torch.zeros(2, 2, 3), torch.tensor([0, -1]))},
            ValueError,
            r"count must not be negative, got count\[1\] = -1",
        ),
    ],
)
def test_errors_of_scans(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"hpmn_scan: .*{message}"):
        recops.hpmn_scan(**{"x": X, "params": PARAMS, "periods": [1, 2], **changes})


def test_periods_that_do_not_divide() -> None:
    params = hpmn_params(4, 3, 3, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"periods must each divide the next, got \[1, 2, 5\]"):
        recops.hpmn_scan(X, params, periods=[1, 2, 5])


def test_periods_whose_ratio_is_too_large() -> None:
    params, most = hpmn_params(4, 3, 2, dtype=torch.float32), 2**31 - 1
    state = HpmnState.zeros(params, len(X))
    arguments = (X, state.memory, state.count, list(params.w_ih), params.w_hh, params.bias)
    torch.ops.recops.hpmn_scan(*arguments, [1, most], None, 0)
    message = rf"periods must each be at most {most} times the last, got periods\[1\] = 4294967297"
    with pytest.raises(ValueError, match=f"hpmn_scan: {message}"):
        torch.ops.recops.hpmn_scan(*arguments, [1, 2**32 + 1], None, 0)
    with pytest.raises(ValueError, match=rf"hpmn_scan: periods\[1\] must be from 1 to {most}"):
        recops.hpmn_scan(X, params, periods=[1, most + 1])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"rows": torch.tensor([5, 6])}, IndexError, r"from 0 to 5, got rows\[1\] = 6"),
        ({"rows": ROWS[:1]}, ValueError, "rows must have 2 entries, got 1"),
        ({"x": X[:, 0].double()}, TypeError, "the pool must be torch.float64"),
        ({"x": torch.full((2, 4), torch.inf)}, ValueError, r"x must be finite, got .* in x\[0\]"),
        (
            {"pool": HpmnState(torch.zeros(6, 3, 2).transpose(1, 2), POOL.count)},
            ValueError,
            "the pool's tensors must be contiguous",
        ),
    ],
)
def test_errors_of_steps(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"pool": own(POOL), "rows": ROWS, "x": X[:, 0], "params": PARAMS, **changes}
    before = own(arguments["pool"])
    with pytest.raises(error, match=f"hpmn_step_: .*{message}"):
        recops.hpmn_step_(**arguments, periods=[1, 2])
    assert same_bits(arguments["pool"], before)


def test_a_read_outside_the_pool() -> None:
    with pytest.raises(IndexError, match=r"hpmn_read: rows must be from 0 to 5, got rows\[1\] = 6"):
        recops.hpmn_read(X[:, 0], POOL, torch.tensor([0, 6]), PARAMS)


@pytest.mark.composites(False)
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"w_ih": PARAMS.w_ih[:1]}, ValueError, "w_ih must hold 2 tensors, got 1"),
        ({"w1": torch.zeros(2, 80, 11)}, ValueError, r"w1 must be \(2, 80, 12\)"),
        ({"bias": torch.zeros(2, 9).double()}, TypeError, "bias must be torch.float32"),
    ],
)
def test_errors_of_params(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"HpmnParams: {message}"):
        replace(PARAMS, **changes)


def test_a_backward_pass_after_a_change_of_the_pool_raises() -> None:
    x = X.clone().requires_grad_()
    state, rows = recops.HpmnState.zeros(PARAMS, len(X)), torch.arange(len(X))
    out = recops.hpmn_scan(x, PARAMS, state, periods=[1, 2])[0]
    recops.hpmn_step_(state, rows, X[:, 0], PARAMS, periods=[1, 2])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(out.square().sum(), x)
