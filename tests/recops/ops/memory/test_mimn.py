"""MIMN's scan, streaming and reads: agreement with the reference, determinism, and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from compilation import inductor_in_ci
from instruction_sets import results_at_each
from memory_inputs import (
    DTYPES,
    UTILIZATIONS,
    MimnScan,
    map_tensors,
    mimn_params,
    mimn_state,
    own,
    same_bits,
    shuffled_events,
)
from recops import MimnParams, MimnState, reference
from tolerances import AGREEMENT

pytestmark = pytest.mark.composites

every_utilization = pytest.mark.parametrize("utilization", UTILIZATIONS)


def agrees(scan: MimnScan, **changes: Any) -> None:
    """Compare values and gradients with the reference's in float64."""
    results, gradients = scan.gradients(recops, **changes)
    correct, due_gradients = scan.gradients(reference, torch.float64)
    for name, expected in correct.items():
        actual = results[name]
        tolerance = dict(AGREEMENT[actual.dtype])
        if actual.dtype == torch.float32:
            tolerance = {"rtol": 2e-4, "atol": 2e-4}  # sharpened to powers of up to 84
        torch.testing.assert_close(actual, expected.to(actual.dtype), **tolerance, msg=name)
    for name, expected in due_gradients.items():
        actual = gradients[name]
        largest = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
        step = 1e-11 if scan.dtype == torch.float64 else 2e-3
        if scan.dtype in (torch.bfloat16, torch.float16):
            step = 8 * torch.finfo(scan.dtype).eps  # sum over the outputs' gradients
        error = (actual.double() - expected).abs().max().item() if expected.numel() else 0.0
        assert error <= step * largest, (name, error, largest)


# ---- Agreement with the reference.


@pytest.mark.numerics
@every_utilization
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_the_reference(utilization: str, dtype: torch.dtype) -> None:
    agrees(MimnScan(rows=37, steps=6, utilization=utilization, dtype=dtype))


@pytest.mark.numerics
@settings(max_examples=30)
@given(
    rows=st.integers(0, 40),
    steps=st.integers(0, 7),
    size=st.integers(1, 18),
    hidden=st.integers(1, 18),
    slots=st.integers(1, 5),
    utilization=st.sampled_from(UTILIZATIONS),
    topk=st.integers(0, 6),
    key_memory=st.booleans(),
    ragged=st.booleans(),
    checkpoint=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_any_shape(checkpoint: int, **shape: Any) -> None:
    agrees(MimnScan(dtype=torch.float64, **shape), checkpoint=checkpoint)


@pytest.mark.numerics
@every_utilization
@pytest.mark.parametrize("topk", [0, 1, 2])
@pytest.mark.parametrize("key_memory", [True, False])
def test_gradcheck(utilization: str, topk: int, key_memory: bool) -> None:
    scan = MimnScan(
        rows=3,
        steps=3,
        size=2,
        hidden=2,
        slots=3,
        utilization=utilization,
        topk=topk,
        key_memory=key_memory,
        dtype=torch.float64,
    )
    x, state, params = scan.leaves()
    # gradcheck cannot cover the values whose gradient is stopped: memories that the unit reads,
    # usage in the head, and the weights of `added` and of the usage of "code".
    if topk or utilization != "none":
        params.induction_w_ih.data[:, scan.size :] = 0
        params.head_w.data[:, scan.hidden :] = 0
    leaves = [t for t in (x, *state.floats(), *params.state_dict().values()) if t.requires_grad]

    def run(*_: Tensor) -> tuple[Tensor, ...]:
        outputs, last = scan.run(recops, x, state, params, checkpoint=2)
        derived = [last.hidden, last.read, last.memory, last.channels, last.pooled]
        return outputs, *derived, *([] if utilization == "code" else [last.usage])

    fixed = {id(params.induction_w_ih), id(params.head_w)} if topk or utilization != "none" else {}
    leaves = [t if id(t) not in fixed else t.requires_grad_(False) for t in leaves]
    assert torch.autograd.gradcheck(run, tuple(t for t in leaves if t.requires_grad))


@pytest.mark.numerics
def test_any_strides_and_integers() -> None:
    scan = MimnScan(rows=9)
    outputs, last = scan.run(recops)
    for strided in (
        scan.x.transpose(0, 1).contiguous().transpose(0, 1),
        torch.stack([scan.x, scan.x], -1).flatten(-2)[..., ::2],
    ):
        assert scan.lengths is not None
        results, state = scan.run(recops, strided, lengths=scan.lengths.int())
        assert torch.equal(results, outputs)
        assert same_bits(state, last)


def test_the_lowest_of_equal_slots_is_chosen() -> None:
    params = mimn_params(4, 3, 3, dtype=torch.float32)
    same = params.memory_init[:1].expand(3, -1).clone()
    key_memory = torch.ones(3, 4)
    params = replace(params, memory_init=same, key_memory=key_memory)
    _, state = recops.mimn_scan(torch.randn(40, 1, 4), params)
    assert state.channels[:, 0].ne(0).all()
    assert state.channels[:, 1:].eq(0).all()


def test_large_values_saturate() -> None:
    scan = MimnScan(rows=3, steps=4, ragged=False)
    x = torch.tensor([-1e30, 1e30, 300.0, -300.0]).repeat(3, 4, 2)[:, :, : scan.size]
    results, last = scan.run(recops, x)
    correct, _ = scan.run(reference, x)
    torch.testing.assert_close(results, correct, rtol=1e-3, atol=1e-3)
    assert last.memory.isfinite().all()


@every_utilization
def test_nan_affects_only_its_row(utilization: str) -> None:
    scan = MimnScan(rows=40, ragged=False, utilization=utilization)
    outputs, last = scan.run(recops)
    results, state = scan.run(recops, scan.x.index_fill(0, torch.tensor([7]), torch.nan))
    assert results[7].isnan().all()
    others = torch.arange(40) != 7
    assert torch.equal(results[others], outputs[others])
    assert torch.equal(state.memory[others], last.memory[others])


# ---- Determinism.


@pytest.mark.numerics
@pytest.mark.composites(False)
@every_utilization
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("topk", [0, 1, 2])
def test_streaming_equals_the_scan(utilization: str, dtype: torch.dtype, topk: int) -> None:
    scan = MimnScan(rows=41, steps=9, utilization=utilization, dtype=dtype, topk=topk)
    _, last = scan.run(recops)
    assert scan.lengths is not None
    for seed in range(3):
        pool = own(scan.state)
        for rows, events in shuffled_events(scan.x, scan.lengths, seed):
            recops.mimn_step_(
                pool, rows, events, scan.params, utilization=utilization, induction_topk=topk
            )
        assert same_bits(pool, last)


@pytest.mark.composites(False)
@every_utilization
def test_a_scan_may_be_split_anywhere(utilization: str) -> None:
    scan = MimnScan(rows=19, steps=7, utilization=utilization, ragged=False)
    outputs, last = scan.run(recops)
    for split in range(8):
        first, between = scan.run(recops, scan.x[:, :split])
        second, state = scan.run(recops, scan.x[:, split:], between)
        assert torch.equal(torch.cat([first, second], 1), outputs)
        assert same_bits(state, last)


@pytest.mark.numerics
@pytest.mark.composites(False)
@every_utilization
def test_a_read_equals_one_more_step(utilization: str) -> None:
    scan = MimnScan(rows=9, utilization=utilization)
    before = own(scan.state)
    rows, target = torch.tensor([3, 0, 3, 8]), torch.randn(4, scan.size)
    results = recops.mimn_read(scan.state, rows, target, scan.params, utilization=utilization)
    assert same_bits(scan.state, before)
    state = MimnState(**{n: t[rows] for n, t in scan.state.named_tensors()})
    outputs, last = recops.mimn_scan(target[:, None], scan.params, state, utilization=utilization)
    assert torch.equal(results[0], outputs[:, 0])
    assert torch.equal(results[2], last.channels)
    target.requires_grad_()
    derived = recops.mimn_read(scan.state, rows, target, scan.params, utilization=utilization)
    for one, other in zip(results, derived, strict=True):
        assert torch.equal(one, other)


@pytest.mark.numerics
@every_utilization
def test_gradients_of_a_read(utilization: str) -> None:
    scan = MimnScan(rows=5, utilization=utilization, dtype=torch.float64)
    rows, target = torch.tensor([3, 0, 3, 4]), torch.randn(4, scan.size, dtype=torch.float64)

    def gradients(module: Any) -> list[Tensor | None]:
        _, state, params = scan.leaves()
        leaf = target.clone().requires_grad_()
        out, weights, channels = module.mimn_read(
            state, rows, leaf, params, utilization=utilization
        )
        weigh = torch.linspace(-1, 1, weights.numel(), dtype=weights.dtype).view_as(weights)
        loss = out.square().sum() + (weigh * weights).sum() + channels.square().sum()
        leaves = [leaf, *state.floats(), *params.state_dict().values()]
        return list(torch.autograd.grad(loss, leaves, allow_unused=True))

    for actual, correct in zip(gradients(recops), gradients(reference), strict=True):
        if correct is None:
            assert actual is None or actual.eq(0).all()
        else:
            torch.testing.assert_close(actual, correct, rtol=1e-9, atol=1e-9)


@every_utilization
def test_padding_changes_no_bit(utilization: str) -> None:
    scan = MimnScan(rows=18, utilization=utilization)
    results, gradients = scan.gradients(recops, checkpoint=4)
    for added in (1, 30):
        longer = torch.cat([scan.x, torch.full((18, added, scan.size), torch.nan)], 1)
        padded = replace(scan, x=longer)
        others, more = padded.gradients(recops, checkpoint=4, steps=scan.steps)
        assert others["outputs"][:, scan.steps :].eq(0).all()
        for name, correct in results.items():
            actual = others[name][:, : scan.steps] if name == "outputs" else others[name]
            assert torch.equal(actual, correct), name
        assert more["x"][:, scan.steps :].eq(0).all()
        for name, correct in gradients.items():
            actual = more[name][:, : scan.steps] if name == "x" else more[name]
            assert torch.equal(actual, correct), name


@pytest.mark.composites(False)
@every_utilization
def test_threads_change_no_bit(utilization: str, set_threads: Callable[[int], None]) -> None:
    scan = MimnScan(rows=300, steps=12, size=16, hidden=16, utilization=utilization)
    set_threads(1)
    expected, gradients = scan.gradients(recops)
    for threads in (2, 3, 7):
        set_threads(threads)
        results, others = scan.gradients(recops)
        assert all(torch.equal(results[name], correct) for name, correct in expected.items())
        assert all(torch.equal(others[name], correct) for name, correct in gradients.items())


@pytest.mark.composites(False)
def test_checkpoints_change_no_bit_of_row_gradients() -> None:
    scan = MimnScan(rows=20, steps=11, utilization="code")
    plain, _ = scan.run(recops)
    _, expected = scan.gradients(recops, checkpoint=1)
    for checkpoint in (2, 5, 10, 11, 40):
        results, gradients = scan.gradients(recops, checkpoint=checkpoint)
        assert torch.equal(results["outputs"], plain)
        for name, correct in expected.items():
            assert torch.equal(gradients[name], correct), name


# ---- Integration with torch.


@every_utilization
def test_opcheck(utilization: str) -> None:
    scan = MimnScan(rows=3, steps=2, utilization=utilization, ragged=False)
    x, state, params = scan.leaves()
    p = recops.ops.memory._mimn.op_tensors(params, torch.float32)
    common = (p.params, p.key_memory, p.usage_scale)
    arguments = (x, state.floats(), *common, None, utilization, 1, 1)
    torch.library.opcheck(torch.ops.recops.mimn_scan.default, arguments)
    detached = (scan.x, scan.state.floats(), *p.detached(), None, utilization, 1, 1)
    outputs, *last, weights, saved = torch.ops.recops.mimn_scan(*detached)
    torch.library.opcheck(
        torch.ops.recops.mimn_scan_backward.default,
        (torch.ones_like(outputs), last, weights, *detached, saved),
        test_utils=("test_schema", "test_faketensor"),
    )
    rows = torch.tensor([2, 0, 2])
    pool = own(scan.state)
    torch.library.opcheck(
        torch.ops.recops.mimn_step_.default,
        (pool.floats(), pool.count, rows, scan.x[:, 0], *p.detached(), utilization, 1),
        test_utils=("test_schema", "test_faketensor"),
    )
    torch.library.opcheck(
        torch.ops.recops.mimn_read.default,
        (pool.floats(), rows, scan.x[:, 0], *p.detached(), utilization, 1),
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.slow
@pytest.mark.composites(False)
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@inductor_in_ci
def test_compiles_into_one_graph_of_dynamic_shape(backend: str) -> None:
    def loss(x: Tensor, lengths: Tensor, params: MimnParams) -> Tensor:
        outputs, state = recops.mimn_scan(x, params, lengths=lengths, utilization="code")
        rows = torch.arange(x.shape[0])
        out, _, _ = recops.mimn_read(state, rows, x[:, 0], params, utilization="code")
        return outputs.square().sum() + state.memory.square().sum() + out.sum()

    compiled = torch.compile(loss, fullgraph=True, backend=backend, dynamic=True)
    counters = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    counters.clear()
    for rows, steps in [(21, 6), (11, 4), (17, 8)]:  # 21 differs from all sizes of the parameters
        scan = MimnScan(rows=rows, steps=steps)
        results, correct = scan.leaves(), scan.leaves()
        assert scan.lengths is not None
        actual = compiled(results[0], scan.lengths, results[2])
        expected = loss(correct[0], scan.lengths, correct[2])
        torch.testing.assert_close(actual, expected)
        one = torch.autograd.grad(actual, [results[0], results[2].head_w])
        other = torch.autograd.grad(expected, [correct[0], correct[2].head_w])
        torch.testing.assert_close(one, other)
    assert counters["unique_graphs"] == 1


@pytest.mark.composites(False)
def test_compiled_steps_update_the_pool() -> None:
    def advance(pool: MimnState, rows: Tensor, x: Tensor, params: MimnParams) -> Tensor:
        recops.mimn_step_(pool, rows, x, params, utilization="code")
        return pool.memory.sum()

    scan = MimnScan(rows=5)
    pool, twin, rows = own(scan.state), own(scan.state), torch.tensor([4, 0, 4])
    compiled = torch.compile(advance, fullgraph=True, backend="aot_eager")
    compiled(pool, rows, scan.x[:3, 0], scan.params)
    advance(twin, rows, scan.x[:3, 0], scan.params)
    assert same_bits(pool, twin)


@pytest.mark.composites(False)
def test_exports() -> None:
    class Module(torch.nn.Module):
        def forward(
            self, x: Tensor, lengths: Tensor, params: MimnParams
        ) -> tuple[Tensor, MimnState]:
            return recops.mimn_scan(x, params, lengths=lengths, utilization="code")

    scan = MimnScan(rows=5)
    rows, steps = torch.export.Dim("rows", min=2), torch.export.Dim("steps", min=2, max=500)
    program = torch.export.export(
        Module(),
        (scan.x, scan.lengths, scan.params),
        dynamic_shapes=({0: rows, 1: steps}, {0: rows}, [None] * 15),
    )
    other = MimnScan(rows=8, steps=3)
    outputs, state = program.module()(other.x, other.lengths, scan.params)
    correct, last = recops.mimn_scan(
        other.x, scan.params, lengths=other.lengths, utilization="code"
    )
    assert torch.equal(outputs, correct)
    assert same_bits(state, last)


def test_autocast_computes_in_float32() -> None:
    scan = MimnScan(rows=5)
    half = scan.x.bfloat16()
    expected, _ = scan.run(recops, half.float())
    with torch.autocast("cpu", torch.bfloat16):
        results, _ = scan.run(recops, half)
    assert torch.equal(results, expected)


def test_a_second_derivative_is_refused() -> None:
    scan = MimnScan(rows=4)
    x, state, params = scan.leaves()
    outputs, _ = scan.run(recops, x, state, params)
    (gradient,) = torch.autograd.grad(outputs.sum(), [params.out_w], create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


ON_THIS_ISA = """
import sys
import torch
import recops
from memory_inputs import UTILIZATIONS, MimnScan

results = []
for utilization in UTILIZATIONS:
    scan = MimnScan(rows=21, size=19, utilization=utilization, dtype=torch.float64)
    values, gradients = scan.gradients(recops)
    results += [value.detach() for value in values.values()] + list(gradients.values())
torch.save(results, sys.argv[2])
"""


@pytest.mark.composites(False)
def test_instruction_sets_agree(tmp_path: Path) -> None:
    first, *others = results_at_each(ON_THIS_ISA, tmp_path)
    for result in others:
        for actual, expected in zip(result, first, strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-8)


# ---- Holders and errors.


@pytest.mark.composites(False)
def test_parameters_and_states_move_and_list_their_tensors() -> None:
    params = MimnParams.random(input_size=4, hidden_size=3, num_slots=2, seed=5)
    again = MimnParams.random(input_size=4, hidden_size=3, num_slots=2, seed=5)
    assert same_bits(params, again)
    assert params.to(torch.float64).head_w.dtype == torch.float64
    assert list(params.state_dict())[:2] == ["controller_w_ih", "controller_w_hh"]
    state = MimnState.zeros(params, 3)
    assert torch.equal(state.memory[2], params.memory_init)
    assert state.to(torch.float64).count.dtype == torch.int64
    with pytest.raises(TypeError, match=r"MimnState: memory must be one of float32, float64"):
        state.to(torch.bfloat16)


@pytest.mark.composites(False)
@pytest.mark.parametrize(
    ("arguments", "keywords", "device", "dtype"),
    [
        ((torch.float64,), {}, "cpu", torch.float64),
        (("meta",), {}, "meta", torch.float32),
        (("meta", torch.float64), {}, "meta", torch.float64),
        (("meta",), {"dtype": torch.float64}, "meta", torch.float64),
        ((torch.float64,), {"device": "meta"}, "meta", torch.float64),
        ((), {"dtype": torch.float64}, "cpu", torch.float64),
        ((), {"device": torch.device("meta")}, "meta", torch.float32),
        ((), {"device": "meta", "dtype": torch.float64}, "meta", torch.float64),
    ],
)
@pytest.mark.parametrize("holder", [recops.MimnState, recops.HpmnState])
def test_parameters_and_states_move_like_modules(
    holder: Any,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    device: str,
    dtype: torch.dtype,
) -> None:
    kind = recops.MimnParams if holder is recops.MimnState else recops.HpmnParams
    params = kind.random(input_size=4, hidden_size=3, num_slots=2)
    for one in (params, holder.zeros(params, 3)):
        for name, tensor in one.to(*arguments, **keywords).named_tensors():
            assert tensor.device.type == device, name
            assert tensor.dtype == (torch.int64 if name == "count" else dtype), name
        assert one.to("cpu", torch.float32) is one


@pytest.mark.parametrize("kind", [recops.MimnState, recops.HpmnState])
def test_states_on_two_devices_are_refused(kind: Any) -> None:
    params = recops.MimnParams if kind is recops.MimnState else recops.HpmnParams
    state = kind.zeros(params.random(input_size=4, hidden_size=3, num_slots=2), 3)
    for name, tensor in state.named_tensors():
        with pytest.raises(ValueError, match=rf"^{kind.__name__}: \w+ must be on (cpu|meta), got"):
            replace(state, **{name: tensor.to("meta")})


@pytest.mark.composites(False)
@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((), {}, TypeError, "a device or a dtype must be given, got None"),
        ((3,), {}, TypeError, "target must be a device or its name, got int"),
        ((), {"dtype": "float64"}, TypeError, "dtype must be a torch.dtype, got str"),
        ((), {"device": "nowhere"}, ValueError, "device must be a device that torch can use"),
        (("cpu",), {"device": "cpu"}, TypeError, "the device must be given once, got target 'cpu'"),
        (
            (torch.float64,),
            {"dtype": torch.float32},
            TypeError,
            "the dtype must be given once, got target torch.float64, dtype torch.float32",
        ),
    ],
)
def test_errors_of_moves(
    arguments: tuple[Any, ...], keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"MimnParams.to: {message}"):
        PARAMS.to(*arguments, **keywords)


PARAMS = mimn_params(4, 3, 2, dtype=torch.float32)
POOL = mimn_state(PARAMS, 6, dtype=torch.float32)
X, ROWS = torch.zeros(2, 3, 4), torch.tensor([5, 0])


@pytest.mark.composites(False)
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"head_w": torch.zeros(22, 4)}, ValueError, r"head_w must be \(22, 5\), got \(22, 4\)"),
        ({"head_w": torch.zeros(22, 5).double()}, TypeError, "head_w must be torch.float32"),
        ({"out_b": torch.zeros(3, device="meta")}, ValueError, "out_b must be on cpu, got meta"),
        ({"key_memory": torch.zeros(2, 3)}, ValueError, r"key_memory must be \(2, 4\)"),
        ({"memory_init": None}, TypeError, "memory_init must be a tensor, got NoneType"),
        ({"usage_scale": 0.0}, ValueError, "usage_scale must be from 1e-30"),
    ],
)
def test_errors_of_params(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"MimnParams: {message}"):
        replace(PARAMS, **changes)


@pytest.mark.composites(False)
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"usage": torch.zeros(6, 3)}, ValueError, r"usage must be \(6, 2\), got \(6, 3\)"),
        ({"count": torch.zeros(6)}, TypeError, "count must be one of int64, got float32"),
        ({"count": torch.zeros(5).long()}, ValueError, r"count must be \(6,\), got \(5,\)"),
        ({"read": torch.zeros(6, 4).double()}, TypeError, "read must be torch.float32"),
    ],
)
def test_errors_of_states(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"MimnState: {message}"):
        replace(POOL, **changes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": X[0]}, ValueError, "x must have 3 dim"),
        ({"x": X.int()}, TypeError, "x must be one of"),
        ({"x": X[:, :, :3]}, ValueError, "x must be 4 wide"),
        ({"state": POOL}, ValueError, "state must have 2 rows, got 6"),
        ({"state": mimn_state(mimn_params(4, 5, 2), 2)}, ValueError, r"state must have \(slots"),
        ({"lengths": torch.tensor([1, 4])}, ValueError, r"from 0 to 3, got lengths\[1\] = 4"),
        ({"lengths": torch.tensor([1])}, ValueError, "lengths must have 2 entries, got 1"),
        ({"utilization": "all"}, ValueError, "utilization must be 'none', 'paper' or 'code'"),
        ({"induction_topk": -1}, ValueError, "induction_topk must be from 0 to"),
        ({"checkpoint": 0}, ValueError, "checkpoint must be from 1 to"),
    ],
)
def test_errors_of_scans(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"mimn_scan: .*{message}"):
        recops.mimn_scan(**{"x": X, "params": PARAMS, **changes})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"rows": torch.tensor([5, 6])},
            IndexError,
            r"rows must be from 0 to 5, got rows\[1\] = 6",
        ),
        ({"rows": torch.tensor([-1, 6])}, IndexError, r"from 0 to 5, got rows\[0\] = -1"),
        ({"rows": ROWS[:1]}, ValueError, "rows must have 2 entries, got 1"),
        ({"x": X[:, 0].double()}, TypeError, "the pool must be torch.float64 for inputs"),
        ({"x": torch.full((2, 4), torch.nan)}, ValueError, r"x must be finite, got .* in x\[0\]"),
        (
            {"x": torch.tensor([[0.0] * 4, [0, 0, torch.inf, 0]]).bfloat16()},
            ValueError,
            r"x must be finite, got NaN or infinity in x\[1\]",
        ),
        ({"params": mimn_params(4, 5, 2).to(torch.float32)}, ValueError, r"pool must have"),
        (
            {"pool": replace(POOL, hidden=torch.zeros(3, 6).T)},
            ValueError,
            "the pool's tensors must be contiguous",
        ),
    ],
)
def test_errors_of_steps(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"pool": own(POOL), "rows": ROWS, "x": X[:, 0], "params": PARAMS, **changes}
    before = own(arguments["pool"])
    with pytest.raises(error, match=f"mimn_step_: .*{message}"):
        recops.mimn_step_(**arguments, utilization="code")
    assert same_bits(arguments["pool"], before)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("row", [-1, 6])
def test_a_read_outside_the_pool(grad: bool, row: int) -> None:
    target = torch.zeros(1, 4, requires_grad=grad)
    message = rf"mimn_read: rows must be from 0 to 5, got rows\[0\] = {row}"
    with pytest.raises(IndexError, match=message):
        recops.mimn_read(POOL, torch.tensor([row]), target, PARAMS, utilization="none")


@pytest.mark.composites(False)
def test_map_tensors_reaches_every_tensor() -> None:
    doubled = map_tensors(PARAMS, lambda tensor: 2 * tensor)
    for (_, one), (_, other) in zip(PARAMS.named_tensors(), doubled.named_tensors(), strict=True):
        assert torch.equal(2 * one, other)


def test_a_backward_pass_after_a_change_of_the_pool_raises() -> None:
    x = X.clone().requires_grad_()
    state, rows = recops.MimnState.zeros(PARAMS, len(X)), torch.arange(len(X))
    out = recops.mimn_scan(x, PARAMS, state, utilization="code")[0]
    recops.mimn_step_(state, rows, X[:, 0], PARAMS, utilization="code")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(out.square().sum(), x)
