"""Co-action with fused look-ups: results, dense and sparse gradients, and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from coaction_inputs import CAN, LAYOUTS, networks, params_width
from compilation import every_backend
from recops import reference
from tolerances import AGREEMENT, DTYPES

pytestmark = pytest.mark.composites


def make_gather(
    options: dict[str, Any],
    dims: tuple[int, ...] = CAN,
    *,
    users: int = 9,
    time: int = 8,
    candidates: int | None = None,
    rows: tuple[int, int] = (11, 6),
    dtype: torch.dtype = torch.float64,
    index: torch.dtype = torch.int64,
    layout: str = "contiguous",
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments and options; ids past the lengths are invalid."""
    count = users if candidates is None else candidates
    sets = options.get("orders", 1) if options.get("order_independent") else 1
    width = params_width(dims, bias=options.get("bias", False), sets=sets)
    arrange = LAYOUTS[layout]
    feed_table = arrange((torch.randn(rows[0], dims[0]) * 0.5).to(dtype)).requires_grad_()
    params_table = arrange((torch.randn(rows[1], width) * 0.4).to(dtype)).requires_grad_()
    lengths = torch.randint(0, time + 1, (users,)).to(index)
    history = torch.randint(0, rows[0], (users, time)).to(index)
    history[torch.arange(time) >= lengths[:, None]] = -7
    targets = torch.randint(0, rows[1], (count,)).to(index)
    if candidates is not None:
        options = {**options, "feed_index": torch.randint(0, users, (count,)).to(index)}
    return (feed_table, history, params_table, targets, dims), {**options, "lengths": lengths}


def tables(arguments: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    return arguments[0], arguments[2]


@pytest.mark.numerics
@settings(max_examples=60)
@given(
    options=networks(),
    dims=st.lists(st.integers(1, 18), min_size=2, max_size=3).map(tuple),
    users=st.integers(1, 30),
    time=st.integers(0, 9),
    candidates=st.one_of(st.none(), st.integers(0, 40)),
    rows=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    dtype=st.sampled_from(DTYPES),
    index=st.sampled_from([torch.int32, torch.int64]),
    layout=st.sampled_from(list(LAYOUTS)),
    seed=st.integers(0, 99),
)
def test_agrees_with_look_ups_in_torch(options: dict[str, Any], seed: int, **shape: Any) -> None:
    torch.manual_seed(seed)
    arguments, options = make_gather(options, **shape)
    wide = tuple(
        a.detach().double().requires_grad_()
        if isinstance(a, Tensor) and a.is_floating_point()
        else a
        for a in arguments
    )
    output = recops.coaction_gather(*arguments, **options)
    expected = reference.coaction_gather(*wide, **options)
    weight = torch.randn(output.shape).to(output.dtype)
    results = torch.autograd.grad(output, tables(arguments), weight)
    correct = torch.autograd.grad(expected, tables(wide), weight.double())
    for actual, other in zip((output, *results), (expected, *correct), strict=True):
        size = other.abs().max().item() if other.numel() else 0.0
        tolerance = AGREEMENT[actual.dtype]
        atol = tolerance["atol"] * max(1.0, size)
        torch.testing.assert_close(
            actual, other.to(actual.dtype), rtol=tolerance["rtol"], atol=atol
        )


@pytest.mark.numerics
def test_results_equal_coaction_of_looked_up_rows() -> None:
    arguments, options = make_gather(
        {"orders": 3}, candidates=70, rows=(65, 6), dtype=torch.float32
    )
    feed_table, history, params_table, targets, dims = arguments
    feed, params = feed_table[history.clamp(min=0)], params_table[targets]
    expected = recops.coaction(feed, params, dims, **options)
    assert torch.equal(recops.coaction_gather(*arguments, **options), expected)


@pytest.mark.parametrize("pool", ["sum", "mean"])
@pytest.mark.parametrize("candidates", [None, 70])
@pytest.mark.parametrize("rows", [3, 64, 65])  # 8 T = 64
def test_repeated_rows_are_computed_once_and_weighted(
    rows: int, candidates: int | None, pool: str
) -> None:
    arguments, options = make_gather(
        {"orders": 2, "bias": True, "pool": pool}, candidates=candidates, rows=(rows, 6)
    )
    feed_table, history, params_table, targets, dims = arguments
    options["lengths"][:2] = torch.tensor([8, 0])
    history[:] = torch.randint(0, rows, history.shape)
    history[0] = rows - 1  # one row alone, eight times
    feed, params = feed_table[history], params_table[targets]
    expected = recops.coaction(feed, params, dims, **options)
    output = recops.coaction_gather(*arguments, **options)
    torch.testing.assert_close(output, expected)
    weight = torch.randn_like(output)
    correct = torch.autograd.grad(expected, tables(arguments), weight)
    results = torch.autograd.grad(output, tables(arguments), weight)
    for actual, other in zip(results, correct, strict=True):
        torch.testing.assert_close(actual, other)


@pytest.mark.composites(False)
def test_a_small_table_without_repeats_gives_the_same_bits() -> None:
    arguments, options = make_gather({"orders": 3}, rows=(8, 6), dtype=torch.float32)
    feed_table, history, params_table, targets, dims = arguments
    history[:] = torch.stack([torch.randperm(8) for _ in history])
    expected = recops.coaction(feed_table[history], params_table[targets], dims, **options)
    assert torch.equal(recops.coaction_gather(*arguments, **options), expected)


@pytest.mark.numerics
@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_gradients_equal_dense_gradients(dtype: torch.dtype) -> None:
    arguments, options = make_gather({"orders": 2}, rows=(40, 50), dtype=dtype)
    output = recops.coaction_gather(*arguments, **options)
    weight = torch.randn_like(output)
    dense = torch.autograd.grad(output, tables(arguments), weight)
    output = recops.coaction_gather(*arguments, sparse=True, **options)
    sparse = torch.autograd.grad(output, tables(arguments), weight)
    _, history, _, targets, _ = arguments
    for actual, expected, used in zip(sparse, dense, (history[history >= 0], targets), strict=True):
        assert actual.is_coalesced()
        assert actual.dtype == dtype
        assert torch.equal(actual.indices()[0], used.unique())
        assert torch.equal(actual.to_dense(), expected)
        torch.sparse_coo_tensor(
            actual.indices(), actual.values(), actual.shape, check_invariants=True
        )


def test_a_sparse_optimizer_updates_a_repeated_row_once() -> None:
    """Adam must get one summed gradient per row; otherwise it updates the row twice."""
    arguments, options = make_gather({"orders": 3}, rows=(5, 3), dtype=torch.float32)
    op_tables, reference_tables = (
        arguments,
        tuple(
            a.detach().clone().requires_grad_() if isinstance(a, Tensor) and a.requires_grad else a
            for a in arguments
        ),
    )
    sides = (op_tables, recops.coaction_gather), (reference_tables, reference.coaction_gather)
    for _ in range(3):
        for these, function in sides:
            optimizer = torch.optim.SparseAdam(tables(these), lr=0.01)
            function(*these, sparse=True, **options).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    for actual, expected in zip(tables(op_tables), tables(reference_tables), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.numerics
@pytest.mark.composites(False)
@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_do_not_depend_on_the_number_of_threads(
    sparse: bool, set_threads: Callable[[int], None]
) -> None:
    arguments, options = make_gather(
        {"orders": 3}, users=500, time=40, rows=(60, 7), dtype=torch.float32
    )

    def everything() -> list[Tensor]:
        output = recops.coaction_gather(*arguments, sparse=sparse, **options)
        grads = torch.autograd.grad(output.sum(), tables(arguments))
        return [output, *(grad.to_dense() for grad in grads)]

    set_threads(1)
    expected = everything()
    for threads in (2, 5):
        set_threads(threads)
        for actual, one_thread in zip(everything(), expected, strict=True):
            assert torch.equal(actual, one_thread)


@pytest.mark.numerics
def test_gradcheck() -> None:
    arguments, options = make_gather({"orders": 2, "bias": True}, (3, 4, 2), users=4, time=3)
    feed_table, history, params_table, targets, dims = arguments

    def function(feed_table: Tensor, params_table: Tensor) -> Tensor:
        return recops.coaction_gather(feed_table, history, params_table, targets, dims, **options)

    assert torch.autograd.gradcheck(function, (feed_table, params_table))


def test_opcheck() -> None:
    arguments, options = make_gather({}, (3, 4, 2), candidates=7, dtype=torch.float32)
    tail = (1, options["lengths"], options["feed_index"], False, "tanh", False, True, "sum", False)
    ops = torch.ops.recops
    torch.library.opcheck(ops.coaction_gather.default, (*arguments, False, *tail))
    plain = tuple(a.detach() if isinstance(a, Tensor) else a for a in arguments)
    grad = torch.randn(7, 6)
    torch.library.opcheck(ops.coaction_gather_backward.default, (grad, *plain, *tail))
    torch.library.opcheck(ops.coaction_gather_backward_sparse.default, (grad, *plain, *tail))


@pytest.mark.composites(False)
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@every_backend
def test_compiles_into_one_graph_and_exports(backend: str) -> None:
    arguments, options = make_gather({"orders": 3}, candidates=12, dtype=torch.float32)
    feed_table, history, params_table, targets, dims = arguments

    class Unit(torch.nn.Module):
        def forward(self, feed_table: Tensor, params_table: Tensor, history: Tensor) -> Tensor:
            return recops.coaction_gather(
                feed_table, history, params_table, targets, dims, **options
            )

    operands = (feed_table, params_table, history)
    expected = Unit()(*operands)
    weight = torch.randn_like(expected)
    torch._dynamo.reset()
    actual = torch.compile(Unit(), fullgraph=True, backend=backend, dynamic=True)(*operands)
    assert torch.equal(actual, expected)
    for one, other in zip(
        torch.autograd.grad(actual, operands[:2], weight),
        torch.autograd.grad(expected, operands[:2], weight),
        strict=True,
    ):
        assert torch.equal(one, other)
    assert torch.equal(torch.export.export(Unit(), operands).module()(*operands), expected)


TABLE, HISTORY = torch.randn(5, 4), torch.tensor([[0, 4], [1, 2]])
PARAMS, TARGETS = torch.randn(3, 8), torch.tensor([2, 0])
GOOD = {
    "feed_table": TABLE,
    "history": HISTORY,
    "params_table": PARAMS,
    "targets": TARGETS,
    "dims": (4, 2),
}
ERRORS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"feed_table": TABLE.int()}, TypeError, "feed_table must be one of"),
    ({"feed_table": TABLE[:, :3]}, ValueError, "feed_table must have 4 columns"),
    ({"history": HISTORY.float()}, TypeError, "history must be one of int32, int64"),
    ({"history": HISTORY[0]}, ValueError, "history must have 2 dimensions"),
    ({"history": HISTORY + 1}, IndexError, r"history must be from 0 to 4, got history\[0, 1\] = 5"),
    ({"history": HISTORY - 1}, IndexError, r"history must be .*history\[0, 0\] = -1"),
    ({"params_table": PARAMS[:, :7]}, ValueError, "params_table must have 8 columns"),
    ({"params_table": PARAMS.half()}, TypeError, "params_table must be one of"),
    ({"targets": TARGETS + 1}, IndexError, r"targets must be from 0 to 2, got targets\[0\] = 3"),
    ({"targets": TARGETS[:1]}, ValueError, "without feed_index, targets must have .*2 users, got"),
    ({"targets": TARGETS.short()}, TypeError, "targets must be one of int32, int64"),
    ({"lengths": torch.tensor([3, 0])}, ValueError, r"lengths must be .*lengths\[0\] = 3"),
    ({"feed_index": torch.tensor([2, 0])}, IndexError, r"feed_index must be .*feed_index\[0\] = 2"),
]


@pytest.mark.parametrize(("changes", "error", "message"), ERRORS)
def test_errors(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^coaction_gather: {message}"):
        recops.coaction_gather(**{**GOOD, **changes})
